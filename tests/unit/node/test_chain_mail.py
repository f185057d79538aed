"""The log's words on a node's links: in order, in turns, paced, and bounded for each peer.

Links are fakes that take or refuse messages; opening, the worker and the disk are real.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest

from tests.fakes.chain_node import ChainNode, User
from tests.property.ledger_world import Anyone, make_genesis, name
from wwwserve.adapters.storage import MemoryStore
from wwwserve.core.chain import LedgerView
from wwwserve.core.events import (
    Event,
)
from wwwserve.core.lanes import Lane
from wwwserve.core.log_news import BlockTold, FeedTold, HeadTold
from wwwserve.node import chain_mail
from wwwserve.node.chain_mail import ChainMail
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import Refusal
from wwwserve.wire import chain as words
from wwwserve.wire import decode
from wwwserve.wire.chain import BlocksWanted, ChainRecord
from wwwserve.wire.ledger import SealedFeed

PEER, OTHER = name(2), name(3)
_BLOCK_TOLD = msgspec.msgpack.Decoder(words.BlockTold)
WAIT_S = 20


@dataclass
class Links:
    """Takes messages for some peers, up to a room of so many."""

    peers: tuple[NodeId, ...] = (PEER, OTHER)
    room: int = 1_000_000
    sent: dict[NodeId, list[bytes]] = field(default_factory=dict)
    refused: list[tuple[NodeId, str]] = field(default_factory=list)

    def send_payload(self, peer: NodeId, payload: bytes) -> bool:
        said = self.sent.setdefault(peer, [])
        if len(said) >= self.room:
            return False
        said.append(payload)
        return True

    def list_peers(self) -> tuple[NodeId, ...]:
        return self.peers

    def refuse(self, peer: NodeId, refusal: Refusal) -> None:
        self.refused.append((peer, refusal.rule))


@dataclass
class Desk:
    """One node's mail, and what came of it."""

    mail: ChainMail
    links: Links
    heard: list[Event]

    async def wait_heard(self, count: int) -> list[Event]:
        async with asyncio.timeout(WAIT_S):
            while len(self.heard) < count:  # noqa: ASYNC110 - a worker's answer
                await asyncio.sleep(0.001)
        return self.heard

    async def wait_sent(self, peer: NodeId, count: int) -> list[bytes]:
        async with asyncio.timeout(WAIT_S):
            while len(self.links.sent.get(peer, [])) < count:  # noqa: ASYNC110 - a task's work
                await asyncio.sleep(0.001)
        return self.links.sent[peer]


@pytest.fixture
def sequencer() -> ChainNode:
    """A log of a few blocks, one with feed blocks."""
    node = ChainNode(0, genesis=make_genesis())
    user = User(2, node.opener)
    node.submit(*(user.pay(3, 1_000) for _ in range(3)))
    node.run(TINY_LEDGER.height_ms_min * MILLISECOND + 4 * SECOND)
    return node


@asynccontextmanager
async def open_desk(node: ChainNode) -> AsyncIterator[Desk]:
    links = Links()
    heard: list[Event] = []
    view = LedgerView(node.chain)
    async with asyncio.TaskGroup() as tasks:
        mail = ChainMail(
            own=name(0),
            verifier=Anyone(),
            points=Anyone(),
            store=MemoryStore({Lane.CHAIN: node.disk.values}),
            tasks=tasks,
            get_ledger=lambda: view,
            links=links,
            deliver=heard.append,
        )
        yield Desk(mail, links, heard)
        mail.end()


def find_full(node: ChainNode) -> ChainRecord:
    return next(record for record in node.published if record.feeds)


async def test_a_peers_words_are_opened_in_the_order_in_which_it_said_them(
    sequencer: ChainNode,
) -> None:
    record = find_full(sequencer)
    async with open_desk(sequencer) as desk:
        for feed in record.feeds:
            desk.mail.receive(PEER, words.FeedTold(feed), 300)
        desk.mail.receive(PEER, words.BlockTold(record.block), 300)
        # From another peer the same block comes alone.
        desk.mail.receive(OTHER, words.BlockTold(record.block), 300)
        heard = await desk.wait_heard(2)
    by_sender = {event.sender: type(event) for event in heard}  # type: ignore[union-attr]
    assert by_sender == {PEER: BlockTold, OTHER: HeadTold}


async def test_a_false_word_is_the_fault_of_who_said_it(sequencer: ChainNode) -> None:
    feed = find_full(sequencer).feeds[0]
    false = SealedFeed(feed.header, feed.ops, bytes(64))
    async with open_desk(sequencer) as desk:
        desk.mail.receive(PEER, words.FeedTold(false, 1), 300)
        desk.mail.receive(PEER, words.FeedTold(feed, 1), 300)
        (heard,) = await desk.wait_heard(1)
    assert isinstance(heard, FeedTold)
    assert [peer for peer, _ in desk.links.refused] == [PEER]


async def test_above_its_bound_a_peer_is_not_heard_and_others_are(
    sequencer: ChainNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_mail, "WORDS_QUEUED_MAX", 2)
    feed = find_full(sequencer).feeds[0]
    async with open_desk(sequencer) as desk:
        for _ in range(10):
            desk.mail.receive(PEER, words.FeedTold(feed, 1), 300)
        desk.mail.receive(OTHER, words.FeedTold(feed, 1), 300)
        heard = await desk.wait_heard(3)
    senders = [event.sender for event in heard]  # type: ignore[union-attr]
    assert sorted(senders) == sorted([PEER, PEER, OTHER])


async def test_own_feed_blocks_are_opened_as_a_peers(sequencer: ChainNode) -> None:
    feed = find_full(sequencer).feeds[0]
    async with open_desk(sequencer) as desk:
        desk.mail.open_own(feed)
        (heard,) = await desk.wait_heard(1)
    assert isinstance(heard, FeedTold)
    assert heard.sender == name(0)


async def test_who_wants_blocks_is_told_them_from_the_disk_each_after_its_feed_blocks(
    sequencer: ChainNode,
) -> None:
    async with open_desk(sequencer) as desk:
        records = sequencer.published[:3]
        desk.mail.receive(PEER, BlocksWanted(1, 3), 10)
        # A second question is not answered while the first is.
        desk.mail.receive(PEER, BlocksWanted(1, 3), 10)
        wanted = [len(record.feeds) + 1 for record in records]
        sent = await desk.wait_sent(PEER, sum(wanted))
    assert len(sent) == sum(wanted)
    told = [words.is_chain_message(payload) for payload in sent]
    assert all(told)
    last = decode(sent[-1], _BLOCK_TOLD, bytes_max=65_536)
    assert last.block == records[-1].block


async def test_a_new_block_goes_to_all_links_and_waits_where_there_is_no_room(
    sequencer: ChainNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_mail, "ROOM_WAIT_S", 0.001)
    record = find_full(sequencer)
    async with open_desk(sequencer) as desk:
        desk.links.room = 2
        desk.mail.publish(record)
        await desk.wait_sent(PEER, 2)
        await desk.wait_sent(OTHER, 2)
        desk.links.room = 100
        assert len(await desk.wait_sent(PEER, len(record.feeds) + 1)) == len(record.feeds) + 1
        assert await desk.wait_sent(OTHER, len(record.feeds) + 1) == desk.links.sent[PEER]
