"""The log of one node: what may wait, what is durable when, and where a restart goes on.

A node in virtual time on a pretend disk (`ChainNode`) that dies at every write in turn, before and
after it was done. Nothing acknowledged is lost, no height is told twice differently, and snapshot
and tail come to the state of a replay.
"""

import pytest
from msgspec.structs import replace

from tests.fakes.chain_node import ChainNode, Died, Disk, User
from tests.property.ledger_world import Anyone, Pen, make_genesis, name
from wwwserve.core.chain import (
    ACCOUNT_WAITING_MAX,
    BlocksMissing,
    ForkFound,
    PublishHead,
    SendFeed,
    Suspicious,
    begin_chain,
    open_record,
    read_blocks,
)
from wwwserve.core.ledger import FeedVoid, Ledger, LedgerHalted
from wwwserve.core.log_news import ForkTold, HeadTold
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import Refusal
from wwwserve.wire import encode
from wwwserve.wire.chain import strip_list
from wwwserve.wire.ledger import (
    Door,
    Evidence,
    EvidenceKind,
    Join,
    OpenedBlock,
    OpenedFeed,
    Transfer,
    Unbond,
    compute_feeds_hash,
    open_block,
    seal_block,
)

LEADER, TREASURY, ALICE, BOB, CAROL, STRANGER = range(6)
PACE_US = TINY_LEDGER.height_ms_min * MILLISECOND
LISTENING_US = 3 * SECOND
DISK_WAIT_US = 5 * MILLISECOND


@pytest.fixture
def node() -> ChainNode:
    return ChainNode(LEADER)


def replay(node: ChainNode) -> Ledger:
    """The ledger that the blocks on disk come to, from genesis."""
    ledger = begin_chain(node.genesis).ledger
    for _, record in read_blocks(node.disk.read, 1):
        ledger.apply_block(*open_record(record, node.opener))
    return ledger


def reopen(node: ChainNode) -> ChainNode:
    return ChainNode(node.number, Disk(dict(node.disk.values)), at=node.at)


def make_fork(node: ChainNode) -> tuple[OpenedBlock, OpenedBlock]:
    """The first block of a node, and another of its height."""
    first = open_block(node.published[0].block, Anyone(), node.network_id)
    header = replace(first.header, dt_ms=first.header.dt_ms + 1, feeds_hash=compute_feeds_hash(()))
    return first, seal_block(header, (), Pen(name(LEADER)), node.network_id)


def test_a_payment_is_in_the_log_within_a_pace_and_a_write(node: ChainNode) -> None:
    alice = User(ALICE, node.opener)
    node.submit(alice.pay(BOB, CREDIT))
    before = node.balance(BOB)
    node.run(PACE_US + 10 * MILLISECOND)
    assert node.balance(BOB) == before + CREDIT
    assert [told.height for told in node.told] == [1]
    assert len(node.published) == 1


def test_words_of_one_account_wait_in_its_order(node: ChainNode) -> None:
    alice = User(ALICE, node.opener)
    first, second, third = (alice.pay(BOB, 1_000) for _ in range(3))
    with pytest.raises(Refusal, match="feed-seq"):
        node.submit(second)
    node.submit(first, second)
    with pytest.raises(Refusal, match="pool-known"):
        node.submit(second)
    node.submit(third)
    node.run(SECOND)
    assert node.acknowledged == [first.feed_id, second.feed_id, third.feed_id]


def test_one_account_cannot_fill_the_pool(node: ChainNode) -> None:
    alice = User(ALICE, node.opener)
    node.submit(*(alice.pay(BOB, 1) for _ in range(ACCOUNT_WAITING_MAX)))
    rest = [alice.pay(BOB, 1) for _ in range(2)]
    with pytest.raises(Refusal, match="pool-account"):
        node.submit(rest[0])
    node.run(SECOND)
    node.submit(*rest)
    node.run(SECOND)
    assert len(node.acknowledged) == ACCOUNT_WAITING_MAX + 2


def test_nobody_fills_the_log_with_words_that_cost_nothing(node: ChainNode) -> None:
    """Who gives away all cannot have more words wait than could still be paid."""
    # [ORDER-WORD.3]
    carol = User(CAROL, node.opener)
    everything = node.balance(CAROL) - TINY_LEDGER.op_fee
    node.submit(carol.pay(BOB, everything))
    with pytest.raises(Refusal, match="pool-funds"):
        node.submit(carol.pay(BOB, 1))
    with pytest.raises(Refusal, match="account-unknown"):
        node.submit(User(STRANGER, node.opener).pay(BOB, 1))
    node.run(2 * SECOND)
    assert not any(isinstance(fact, FeedVoid) for told in node.told for fact in told.facts)


def test_the_dearer_fees_of_a_flood_are_counted_before_it_is_let_in(node: ChainNode) -> None:
    alice = User(ALICE, node.opener)
    # Two seats: so many ops at each of the fees there are.
    allowed = 2 * TINY_LEDGER.rate_ops_per_seat * TINY_LEDGER.rate_fee_factor_max
    for said in range(allowed):
        if said % (ACCOUNT_WAITING_MAX - 1) == 0:
            node.run(2 * PACE_US)
        node.submit(alice.pay(BOB, 1))
    with pytest.raises(Refusal, match="feed-rate"):
        node.submit(alice.pay(BOB, 1))
    node.run(SECOND)
    assert len(node.acknowledged) == allowed
    assert not any(isinstance(fact, FeedVoid) for told in node.told for fact in told.facts)


def test_what_expires_too_soon_or_too_late_does_not_wait(node: ChainNode) -> None:
    node.run(2 * SECOND)
    alice = User(ALICE, node.opener)
    with pytest.raises(Refusal, match="feed-early"):
        node.submit(alice.pay(BOB, 1, until_ms=10**9))
    alice = User(ALICE, node.opener)
    node.submit(alice.pay(BOB, 1))
    early, late = User(ALICE, node.opener, 1, alice.head), User(ALICE, node.opener, 1, alice.head)
    for user, until_ms in ((early, 0), (late, 10**9)):
        with pytest.raises(Refusal, match="feed-expired"):
            node.submit(user.pay(BOB, 1, until_ms=until_ms))


def test_a_key_without_an_account_comes_in_by_a_door_that_is_open(node: ChainNode) -> None:
    def knock(person: int, door: Door, until_ms: int = TINY_LEDGER.epoch_ms) -> None:
        user = User(person, node.opener, seq=-1)
        node.submit(user.say(Join(door, None), until_ms=until_ms))

    with pytest.raises(Refusal, match="account-unknown"):
        knock(STRANGER, Door.SPONSOR)
    with pytest.raises(Refusal, match="join-puzzle"):
        knock(STRANGER, Door.FAUCET)
    knock(STRANGER, Door.DEV)
    with pytest.raises(Refusal, match="pool-full"):
        knock(STRANGER, Door.DEV, until_ms=TINY_LEDGER.epoch_ms + 1)
    node.run(SECOND)
    assert node.balance(STRANGER) == TINY_LEDGER.faucet_grant - TINY_LEDGER.op_fee
    closed = ChainNode(LEADER, genesis=replace(make_genesis(), doors=(Door.SPONSOR,)))
    with pytest.raises(Refusal, match="join-door"):
        closed.submit(User(STRANGER, closed.opener, seq=-1).say(Join(Door.DEV, None)))


def test_a_window_that_ends_gets_a_block_at_once() -> None:
    """Unbonding stake comes free at its instant, not when the next idle block comes by."""
    genesis = make_genesis()
    slow = replace(genesis.parameters, height_ms_idle=5_000, unbonding_ms=1_234)
    node = ChainNode(LEADER, genesis=replace(genesis, parameters=slow))
    node.submit(User(ALICE, node.opener).say(Unbond(1)))
    node.run(4 * SECOND)
    assert [told.time_ms for told in node.told][1:] == [node.told[0].time_ms + 1_234]


def test_a_large_block_is_applied_in_many_calls(node: ChainNode) -> None:
    # [ORDER-BOUNDS.1]
    alice, bob = User(ALICE, node.opener), User(BOB, node.opener)
    for user, other in ((alice, BOB), (bob, ALICE)):
        node.submit(user.say(*(Transfer(name(other), 1) for _ in range(40))))
        node.submit(user.say(Transfer(name(other), 1)))
    calls = 0
    while not node.told:
        node.run(max(node.chain.next_deadline() - node.at, 0) if calls else PACE_US)
        calls += 1
        # Between two slices of it, the node can be told and asked other things.
        assert node.chain.get_status().height <= 1
    assert len(node.acknowledged) == 4


# -- the disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 14))
def test_a_death_at_any_write_loses_nothing_acknowledged_and_forks_nothing(
    number: int, point: str
) -> None:
    # [ORDER-DURABLE.2]
    disk = Disk(dies_at=(number, point == "after"))
    node = ChainNode(LEADER, disk)
    alice, bob = User(ALICE, node.opener), User(BOB, node.opener)
    said = [(alice.pay(BOB, 5), bob.pay(ALICE, 7)) for _ in range(10)]
    died = speak(node, said)
    # One write for the genesis, and one for each block.
    assert died == (number <= 11)
    disk.dies_at = None
    again = ChainNode(LEADER, disk, at=node.at)
    written = [open_record(record, again.opener) for _, record in read_blocks(disk.read, 1)]
    in_log = [opened.feed_id for _, feeds in written for opened in feeds]
    assert in_log[: len(node.acknowledged)] == node.acknowledged
    told = [record.block for record in node.published]
    assert told == [block.sealed for block, _ in written][: len(told)]
    # Whatever is not in the log is said again, as a wallet does; nothing is in it twice.
    again.run(LISTENING_US + SECOND // 2)
    for opened in (one for pair in said for one in pair if one.feed_id not in in_log):
        again.submit(opened)
    again.run(SECOND)
    assert not [record for record in again.published if record.block in told]
    assert again.chain.ledger.root == replay(again).root
    written = [open_record(record, again.opener) for _, record in read_blocks(disk.read, 1)]
    in_log = [opened.feed_id for _, feeds in written for opened in feeds]
    assert sorted(in_log) == sorted(opened.feed_id for pair in said for opened in pair)


def speak(node: ChainNode, said: list[tuple[OpenedFeed, OpenedFeed]]) -> bool:
    """Say one pair after the other, each in a block of its own; whether the process died of it."""
    try:
        for pair in said:
            node.submit(*pair)
            node.run(PACE_US + DISK_WAIT_US)
    except Died:
        return True
    return False


def test_snapshot_and_tail_come_to_the_state_of_a_replay(node: ChainNode) -> None:
    # [ORDER-DURABLE.3]
    alice = User(ALICE, node.opener)
    for _ in range(12):
        node.submit(alice.pay(BOB, 3))
        node.run(PACE_US + DISK_WAIT_US)
        again = reopen(node)
        assert again.chain.ledger.root == replay(again).root
        assert again.chain.ledger.take_snapshot() == replay(again).take_snapshot()
        assert again.chain.get_status().head == replay(again).log.head


def test_a_snapshot_that_was_tampered_with_is_refused(node: ChainNode) -> None:
    node.submit(User(ALICE, node.opener).pay(BOB, 3))
    node.run(2 * SECOND)
    place = b"sa" + name(BOB)
    account = replace(node.chain.ledger.accounts[name(BOB)], avail=10**12)
    node.disk.values[place] = encode(account)
    with pytest.raises(Refusal, match="block-state-root"):
        reopen(node)


def test_a_state_of_another_network_is_refused(node: ChainNode) -> None:
    node.run(2 * SECOND)
    other = ChainNode(LEADER, genesis=make_genesis(pool=3))
    other.run(SECOND)
    node.disk.values[b"g"] = other.disk.values[b"g"]
    with pytest.raises(Refusal, match="chain-genesis"):
        reopen(node)


# -- following -----------------------------------------------------------------------------------


def follow(leader: ChainNode, follower: ChainNode) -> None:
    for record in leader.published:
        follower.tell_record(record)
        follower.run(100 * MILLISECOND)


def test_a_follower_comes_to_the_same_state_and_passes_heads_on(node: ChainNode) -> None:
    alice = User(ALICE, node.opener)
    for _ in range(5):
        node.submit(alice.pay(BOB, 10), alice.pay(CAROL, 10))
        node.run(200 * MILLISECOND)
    follower = ChainNode(BOB)
    follow(node, follower)
    assert follower.chain.ledger.root == node.chain.ledger.root
    assert follower.others == [PublishHead(strip_list(record.block)) for record in node.published]
    assert reopen(follower).chain.ledger.root == node.chain.ledger.root
    follower.submit(opened := alice.pay(BOB, 1))
    assert follower.others[-1] == SendFeed(opened)


def test_a_follower_that_missed_blocks_asks_for_them(node: ChainNode) -> None:
    node.run(5 * SECOND)
    follower = ChainNode(BOB)
    head = open_block(node.published[-1].block, Anyone(), node.network_id)
    follower.tell(HeadTold(name(CAROL), head))
    assert follower.others == [BlocksMissing(name(CAROL), 1, head.header.height)]
    follow(node, follower)
    assert follower.chain.get_status().height == head.header.height


def test_a_follower_refuses_a_block_that_makes_money(node: ChainNode) -> None:
    """The sequencer's own signature does not help a state that does not follow."""
    node.run(3 * SECOND)
    follower = ChainNode(BOB)
    follower.tell_record(node.published[0])
    follower.run(100 * MILLISECOND)
    good = open_block(node.published[1].block, Anyone(), node.network_id)
    header = replace(good.header, state_root=b"r" * 32)
    bad = seal_block(header, (), Pen(name(LEADER)), node.network_id)
    follower.tell_record(replace(node.published[1], block=bad.sealed))
    refused = [effect for effect in follower.others if isinstance(effect, Suspicious)]
    assert [effect.refusal.rule for effect in refused] == ["block-state-root"]
    assert follower.chain.get_status().height == 1


def test_two_histories_stop_a_node_for_good(node: ChainNode) -> None:
    # [ORDER-FORK.1]
    node.run(2 * SECOND)
    fork = make_fork(node)
    follower = ChainNode(BOB)
    follow(node, follower)
    follower.tell(HeadTold(name(CAROL), fork[1]))
    found = [effect for effect in follower.others if isinstance(effect, ForkFound)]
    assert len(found) == 1
    assert follower.chain.get_status().fork is not None
    height = follower.chain.get_status().height
    follower.run(SECOND)
    again = ChainNode(BOB, follower.disk, at=follower.at)
    assert again.chain.get_status().fork is not None
    again.run(10 * SECOND)
    assert again.chain.get_status().height == height
    # And whoever is shown the proof stops as well.
    node.tell(ForkTold(name(BOB), found[0].first, found[0].second))
    node.run(10 * SECOND)
    assert node.chain.get_status().fork is not None
    with pytest.raises(Refusal, match="halted"):
        node.submit(User(ALICE, node.opener).pay(BOB, 1))


def test_what_proves_nothing_stops_nobody(node: ChainNode) -> None:
    node.run(2 * SECOND)
    first, second = make_fork(node)
    header = replace(second.header, leader=name(CAROL))
    stranger = seal_block(header, (), Pen(name(CAROL)), node.network_id)
    for pair in ((first, first), (stranger, seal_other(node, stranger)), (first, stranger)):
        node.tell(ForkTold(name(BOB), *pair))
    assert [type(effect) for effect in node.others] == [Suspicious] * 3
    assert node.chain.get_status().fork is None


def seal_other(node: ChainNode, block: OpenedBlock) -> OpenedBlock:
    header = replace(block.header, dt_ms=block.header.dt_ms + 1)
    return seal_block(header, (), Pen(name(CAROL)), node.network_id)


def test_proof_in_the_log_itself_stops_the_sequencer_too(node: ChainNode) -> None:
    node.run(2 * SECOND)
    first, second = (encode(strip_list(block.sealed)) for block in make_fork(node))
    evidence = Evidence(EvidenceKind.SEQUENCER, first, second)
    node.submit(User(ALICE, node.opener).say(evidence))
    node.run(SECOND)
    assert any(isinstance(fact, LedgerHalted) for told in node.told for fact in told.facts)
    assert node.chain.get_status().fork is not None
    height = node.chain.get_status().height
    node.run(10 * SECOND)
    assert node.chain.get_status().height == height
    assert reopen(node).chain.get_status().height == height
