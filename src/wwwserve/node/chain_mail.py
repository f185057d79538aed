"""What nodes say to each other about the ledger's log, opened on the way in, paced on the way out.

Rules:

1. What a peer says is opened in a worker, in the order in which it was said; one turn of one peer
   is short, so that none delays the others.
2. A block is encoded once for all links. A link that does not keep up is left out: its peer hears
   of a later block, and asks.
3. Whoever asks for blocks is answered from the disk, one question of each peer at a time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from wwwserve.core.chain import ChainNews, ChainWord, Receiver, read_blocks
from wwwserve.core.events import Event
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.node.ledger_home import make_reader
from wwwserve.ports.store import RangeReader
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import KIB, MIB
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Verifier, encode_message
from wwwserve.wire.chain import (
    BLOCKS_TOLD_MAX,
    FEED_HOPS_MAX,
    BlocksWanted,
    BlockTold,
    ChainRecord,
    FeedTold,
    read_chain_record,
)
from wwwserve.wire.ledger import FeedOpener, PointChecker, SealedFeed

WORDS_QUEUED_MAX: Final = 4_096
"""Words of one peer that wait to be opened: four full blocks. Further ones are dropped, and the
block they belong to is asked for again."""
WORDS_QUEUED_BYTES_MAX: Final = 8 * MIB
"""Their bytes: two full blocks."""
TURN_WORDS_MAX: Final = 64
"""Words of one peer opened in one turn, and ..."""
TURN_S: Final = 0.02
"""... the time after which a turn ends with the word at hand: a puzzle takes as long alone."""
BLOCKS_QUEUED_MAX: Final = 4
"""New blocks that wait for one link; one more is left out."""
BURST_MESSAGES_MAX: Final = 128
"""Messages put on a link at once, and ..."""
BURST_BYTES_MAX: Final = 256 * KIB
"""... their bytes, so that what else is said on it finds room in between."""
BURST_SPACING_S: Final = 0.01
"""Between two bursts: 12 000 messages or 25 MiB a second at most."""
ROOM_WAIT_S: Final = 0.1
"""Until a link that had no room is tried again, and ..."""
ROOM_TRIES_MAX: Final = 300
"""... how often: half a minute. Then the rest of the block is left out."""
BLOCKS_READ_MAX: Final = 8
"""Blocks of an answer in memory at once: 40 MiB at the very most."""


class MailLinks(Protocol):
    """What the mail needs of a node's links (`node.links.LinkTable`)."""

    def send_payload(self, peer: NodeId, payload: bytes) -> bool:
        """Queue an encoded message; False if there is no room, or no link."""
        ...

    def list_peers(self) -> tuple[NodeId, ...]:
        """Everybody there is a link to."""
        ...

    def refuse(self, peer: NodeId, refusal: Refusal) -> None:
        """A peer said what breaks a rule."""
        ...


@dataclass(slots=True)
class _Desk:
    """What is under way with one peer."""

    receiver: Receiver
    words: deque[tuple[ChainWord, int]] = field(default_factory=deque)
    """Not opened yet, each with its bytes."""
    word_bytes: int = 0
    opening: asyncio.Task[None] | None = None
    blocks: deque[tuple[bytes, ...]] = field(default_factory=deque)
    """Messages of new blocks, not sent yet."""
    publishing: asyncio.Task[None] | None = None
    answering: asyncio.Task[None] | None = None


@dataclass(slots=True)
class ChainMail:
    """The log's words on all links of one node."""

    own: NodeId
    verifier: Verifier
    points: PointChecker
    store: RangeReader
    tasks: asyncio.TaskGroup
    get_ledger: Callable[[], AsksLedger | None]
    """The ledger, once its genesis is known here; before, nothing is understood."""
    links: MailLinks
    deliver: Callable[[Event], None]
    _desks: dict[NodeId, _Desk] = field(default_factory=dict)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """One worker opens, for one peer after the other."""

    def receive(self, peer: NodeId, word: ChainWord | BlocksWanted, size: int) -> None:
        """A peer said something about the log, in a message of so many bytes."""
        desk = self._find_desk(peer)
        if desk is None:
            return
        if isinstance(word, BlocksWanted):
            if desk.answering is None:
                desk.answering = self.tasks.create_task(self._answer(peer, desk, word))
            return
        has_room = len(desk.words) < WORDS_QUEUED_MAX
        if not has_room or desk.word_bytes + size > WORDS_QUEUED_BYTES_MAX:
            return
        desk.words.append((word, size))
        desk.word_bytes += size
        if desk.opening is None:
            desk.opening = self.tasks.create_task(self._open(peer, desk))

    def open_own(self, feed: SealedFeed) -> None:
        """Open a feed block of this node's own, as one that a peer told."""
        self.receive(self.own, FeedTold(feed, FEED_HOPS_MAX), len(feed.ops))

    def publish(self, record: ChainRecord) -> None:
        """Tell all links of a block that this node made."""
        messages = tuple(_list_messages(record))
        for peer in self.links.list_peers():
            desk = self._find_desk(peer)
            if desk is None or len(desk.blocks) >= BLOCKS_QUEUED_MAX:
                continue
            desk.blocks.append(messages)
            if desk.publishing is None:
                desk.publishing = self.tasks.create_task(self._publish(peer, desk))

    def forget(self, peer: NodeId) -> None:
        """The link to a peer is gone, and what was under way with it."""
        desk = self._desks.pop(peer, None)
        if desk is not None:
            for task in (desk.opening, desk.publishing, desk.answering):
                if task is not None:
                    task.cancel()

    def end(self) -> None:
        """The node ends."""
        for peer in list(self._desks):
            self.forget(peer)

    def _find_desk(self, peer: NodeId) -> _Desk | None:
        desk = self._desks.get(peer)
        ledger = self.get_ledger()
        if desk is not None or ledger is None:
            return desk
        memory = ledger.parameters.puzzle_memory_log2
        opener = FeedOpener(self.verifier, self.points, ledger.network_id, memory)
        desk = self._desks[peer] = _Desk(Receiver(opener))
        return desk

    # -- the way in ------------------------------------------------------------------------------

    async def _open(self, peer: NodeId, desk: _Desk) -> None:
        while desk.words:
            async with self._turn:
                words = [desk.words.popleft() for _ in range(min(len(desk.words), TURN_WORDS_MAX))]
                found = await asyncio.to_thread(_open_some, desk.receiver, peer, words)
            # What the turn was too short for is the first of the next.
            desk.words.extendleft(reversed(words[len(found) :]))
            desk.word_bytes -= sum(size for _, size in words[: len(found)])
            for one in found:
                if isinstance(one, Refusal):
                    self.links.refuse(peer, one)
                elif one is not None:
                    self.deliver(one)
        desk.opening = None

    # -- the way out -----------------------------------------------------------------------------

    async def _publish(self, peer: NodeId, desk: _Desk) -> None:
        while desk.blocks:
            await self._send_all(peer, desk.blocks.popleft())
        desk.publishing = None

    async def _answer(self, peer: NodeId, desk: _Desk, wanted: BlocksWanted) -> None:
        last = min(wanted.last, wanted.first + BLOCKS_TOLD_MAX - 1)
        for first in range(wanted.first, last + 1, BLOCKS_READ_MAX):
            until = min(first + BLOCKS_READ_MAX - 1, last)
            blocks = await asyncio.to_thread(self._read, first, until)
            if not all([await self._send_all(peer, messages) for messages in blocks]) or not blocks:
                break
        desk.answering = None

    def _read(self, first: int, last: int) -> list[tuple[bytes, ...]]:
        """Messages of blocks on disk; for a worker."""
        read = make_reader(self.store)
        records = (read_chain_record(data) for _, data in read_blocks(read, first, last))
        return [tuple(_list_messages(record)) for record in records]

    async def _send_all(self, peer: NodeId, messages: tuple[bytes, ...]) -> bool:
        """Send the messages of one block in bursts; False if the link takes no more."""
        count = size = tries = 0
        for message in messages:
            while not self.links.send_payload(peer, message):
                tries += 1
                if tries > ROOM_TRIES_MAX:
                    return False
                await asyncio.sleep(ROOM_WAIT_S)
            count, size = count + 1, size + len(message)
            if count >= BURST_MESSAGES_MAX or size >= BURST_BYTES_MAX:
                count = size = 0
                await asyncio.sleep(BURST_SPACING_S)
        return True


def _open_some(
    receiver: Receiver, peer: NodeId, words: list[tuple[ChainWord, int]]
) -> list[ChainNews | Refusal | None]:
    """Open words in order as long as a turn lasts, at least one; for a worker."""
    until = time.monotonic() + TURN_S
    found: list[ChainNews | Refusal | None] = []
    for word, _ in words:
        try:
            found.append(receiver.receive(peer, word))
        except Refusal as refusal:
            found.append(refusal)
        if time.monotonic() >= until:
            break
    return found


def _list_messages(record: ChainRecord) -> Iterator[bytes]:
    for feed in record.feeds:
        yield encode_message(FeedTold(feed))
    yield encode_message(BlockTold(record.block))
