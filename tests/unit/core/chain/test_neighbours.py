"""The log among neighbours: what is kept of a peer's words, who is asked, and what is passed on.

Each machine is told what one peer at a time says, out of order, in part, or falsely.
"""

import pytest
from msgspec.structs import replace

from tests.fakes.chain_node import ChainNode, User
from tests.property.ledger_world import Anyone, Pen, make_genesis, name
from wwwserve.core.chain import (
    ChainDesk,
    FeedRelay,
    GenesisSearch,
    Receiver,
    begin_chain,
    tell_genesis,
)
from wwwserve.core.chain import receiving as bounds
from wwwserve.core.effects import Report, SendMessage
from wwwserve.core.events import (
    DeadlineReached,
    EnvelopeReceived,
    LinkClosed,
    LinkOpened,
)
from wwwserve.core.facts import PeerRefused
from wwwserve.core.ledger import Ledger
from wwwserve.core.log_news import BlockTold, FeedTold, HeadTold
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.moments import MILLISECOND, SECOND, Moment
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Envelope, encode
from wwwserve.wire import chain as words
from wwwserve.wire.chain import ChainRecord, GenesisTold, GenesisWanted, strip_list
from wwwserve.wire.ledger import FeedOpener, Transfer, compute_genesis_id, open_genesis

LEADER, TREASURY, ALICE, BOB, CAROL = range(5)
GENESIS = make_genesis()
NETWORK_ID = compute_genesis_id(GENESIS)
OPENER = FeedOpener(Anyone(), Anyone(), NETWORK_ID, puzzle_memory_log2=1)
START = Moment(0)
PEER, OTHER = name(ALICE), name(BOB)


def make_block(payments: int = 2) -> ChainRecord:
    """A block of the sequencer's, with feed blocks of one account."""
    node = ChainNode(LEADER)
    user = User(ALICE, node.opener)
    node.submit(*(user.pay(BOB, 1_000) for _ in range(payments)))
    node.run(TINY_LEDGER.height_ms_min * MILLISECOND + SECOND)
    return next(record for record in node.published if record.feeds)


# -- opening -------------------------------------------------------------------------------------


def test_a_block_is_told_with_the_feed_blocks_that_came_before_it() -> None:
    # [ORDER-TELL.1]
    record, receiver = make_block(), Receiver(OPENER)
    for feed in record.feeds:
        assert receiver.receive(PEER, words.FeedTold(feed)) is None
    told = receiver.receive(PEER, words.BlockTold(record.block))
    assert isinstance(told, BlockTold)
    assert tuple(opened.signed.sealed for opened in told.feeds) == record.feeds


def test_a_block_whose_feed_blocks_are_missing_is_told_as_a_head_so_that_all_is_asked_for() -> None:
    # [ORDER-TELL.1]
    record, receiver = make_block(), Receiver(OPENER)
    receiver.receive(PEER, words.FeedTold(record.feeds[0]))
    told = receiver.receive(PEER, words.BlockTold(record.block))
    assert isinstance(told, HeadTold)
    assert told.head.sealed == strip_list(record.block)


def test_of_too_many_feed_blocks_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    # [ORDER-TELL.2]
    monkeypatch.setattr(bounds, "FEEDS_KEPT_MAX", 1)
    record, receiver = make_block(), Receiver(OPENER)
    for feed in record.feeds:
        receiver.receive(PEER, words.FeedTold(feed))
    assert isinstance(receiver.receive(PEER, words.BlockTold(record.block)), HeadTold)


def test_what_is_for_the_sequencer_is_not_kept_for_a_block() -> None:
    record, receiver = make_block(1), Receiver(OPENER)
    told = receiver.receive(PEER, words.FeedTold(record.feeds[0], hops=2))
    assert isinstance(told, FeedTold)
    assert (told.sender, told.hops) == (PEER, 2)
    assert isinstance(receiver.receive(PEER, words.BlockTold(record.block)), HeadTold)


def test_a_false_word_is_refused_and_changes_nothing() -> None:
    record, receiver = make_block(1), Receiver(OPENER)
    with pytest.raises(Refusal):
        receiver.receive(PEER, words.FeedTold(replace(record.feeds[0], ops=b"\x90")))
    receiver.receive(PEER, words.FeedTold(record.feeds[0]))
    assert isinstance(receiver.receive(PEER, words.BlockTold(record.block)), BlockTold)


# -- the genesis ---------------------------------------------------------------------------------


def tell(search: GenesisSearch, sender: bytes, told: GenesisTold) -> list[SendMessage | Report]:
    return search.handle(EnvelopeReceived(Envelope(NodeId(sender), told)), START)


def read_wanted(effects: list[SendMessage | Report]) -> tuple[bytes, GenesisWanted]:
    (asked,) = effects
    assert isinstance(asked, SendMessage)
    assert isinstance(asked.message, GenesisWanted)
    return asked.peer, asked.message


def test_a_genesis_is_put_together_from_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    # [ORDER-GENESIS.1]
    monkeypatch.setattr("wwwserve.core.chain.finding.GENESIS_PART_BYTES_MAX", 100)
    record = encode(GENESIS)
    search = GenesisSearch(NETWORK_ID, GENESIS.peer_parameters)
    asked = search.handle(LinkOpened(PEER, "", is_dialled=True), START)
    for _ in range(-(-len(record) // 100)):
        assert search.found is None
        peer, wanted = read_wanted(asked)
        told = tell_genesis(record, NETWORK_ID, wanted)
        assert told is not None
        asked = tell(search, peer, told)
    assert search.found == GENESIS
    assert asked == []


def test_who_does_not_answer_or_lies_is_followed_by_the_next() -> None:
    # [ORDER-GENESIS.1]
    search = GenesisSearch(NETWORK_ID, GENESIS.peer_parameters)
    peer, _ = read_wanted(search.handle(LinkOpened(PEER, "", is_dialled=True), START))
    assert peer == PEER
    assert search.handle(LinkOpened(OTHER, "", is_dialled=True), START) == []
    late = search.next_deadline()
    peer, _ = read_wanted(search.handle(DeadlineReached(), late))
    assert peer == OTHER
    false = encode(replace(GENESIS, name="another"))
    refused = tell(search, OTHER, GenesisTold(NETWORK_ID, 0, len(false), false))
    assert [type(effect.fact) for effect in refused if isinstance(effect, Report)] == [PeerRefused]
    peer, _ = read_wanted(search.handle(DeadlineReached(), search.next_deadline()))
    assert peer == PEER
    peer, _ = read_wanted(search.handle(LinkClosed(PEER, ""), late))
    assert peer == OTHER


def test_a_genesis_of_other_numbers_of_membership_is_not_followed() -> None:
    record = encode(GENESIS)
    search = GenesisSearch(NETWORK_ID, b"other".ljust(32))
    search.handle(LinkOpened(PEER, "", is_dialled=True), START)
    refused = tell(search, PEER, GenesisTold(NETWORK_ID, 0, len(record), record))
    assert search.found is None
    assert isinstance(refused[0], Report)


def test_a_peer_is_told_a_genesis_a_few_times_and_no_more() -> None:
    # [ORDER-TELL.2]
    desk = ChainDesk(begin_chain(GENESIS), Pen(name(CAROL)), START)
    desk.start((PEER,), START)
    wanted = EnvelopeReceived(Envelope(PEER, GenesisWanted(NETWORK_ID, 0)))
    told = [desk.handle(wanted, START) for _ in range(100)]
    answers = [one.message for effects in told for one in effects if isinstance(one, SendMessage)]
    assert 1 <= len(answers) < 50
    assert isinstance(answers[0], GenesisTold)
    assert open_genesis(answers[0].part) == GENESIS


# -- feed blocks on their way --------------------------------------------------------------------


def make_relay() -> FeedRelay:
    return FeedRelay(Ledger.from_genesis(GENESIS))


def list_peers(sent: list[SendMessage]) -> list[tuple[bytes, int]]:
    return [(one.peer, one.message.hops) for one in sent if isinstance(one.message, words.FeedTold)]


def test_a_feed_block_goes_to_the_sequencer_if_it_is_linked_else_to_all_others_once() -> None:
    # [ORDER-FEED.1]
    relay, feed = make_relay(), User(ALICE, OPENER).pay(BOB, 1_000)
    for peer in (PEER, OTHER):
        relay.on_link_opened(peer)
    told = FeedTold(PEER, feed, 3)
    assert list_peers(relay.pass_on(told)) == [(OTHER, 2)]
    assert relay.pass_on(told) == []

    direct = make_relay()
    direct.on_link_opened(name(LEADER))
    direct.on_link_opened(OTHER)
    assert list_peers(direct.pass_on(told)) == [(name(LEADER), 1)]


def test_what_nobody_could_have_said_or_has_come_far_enough_goes_no_further() -> None:
    # [ORDER-FEED.1]
    relay = make_relay()
    relay.on_link_opened(OTHER)
    stranger = User(7, OPENER).say(Transfer(OTHER, 1))
    assert relay.pass_on(FeedTold(PEER, stranger, 3)) == []
    assert relay.pass_on(FeedTold(PEER, User(ALICE, OPENER).pay(BOB, 1), 1)) == []


def test_whoever_brings_a_feed_block_says_it_again_until_it_has_expired() -> None:
    # [ORDER-FEED.1]
    relay, feed = make_relay(), User(ALICE, OPENER).pay(BOB, 1_000)
    relay.keep(feed, START)
    assert list_peers(relay.on_link_opened(OTHER)) == [(OTHER, words.FEED_HOPS_MAX)]
    assert relay.take_due(START) == []
    assert relay.take_due(relay.next_deadline()) == [feed]
    assert relay.take_due(Moment(relay.next_deadline())) == []
