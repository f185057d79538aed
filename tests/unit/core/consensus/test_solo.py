"""One sequencer and its followers: what they refuse, how two histories are caught, and backups.

A small network in virtual time (`OrderingNet`); blocks that no honest sequencer would sign are
signed by hand and told to a follower.
"""

import pytest
from msgspec.structs import replace

from tests.fakes.ordering_net import NETWORK, OrderingNet, make_word, settle
from tests.property.ledger_world import Pen, name
from wwwserve.core.consensus import (
    LISTENING_US,
    BlockReceived,
    ForkFound,
    HeadReceived,
    Solo,
    SoloSetup,
)
from wwwserve.values.ledger_parameters import MAIN_LEDGER
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import Refusal
from wwwserve.wire.chain import read_feed_shape
from wwwserve.wire.ledger import BlockHeader, OpenedBlock, compute_feeds_hash, seal_block

LEADER, FOLLOWER, OTHER = range(3)
PACE_US = MAIN_LEDGER.height_ms_min * 1_000


@pytest.fixture
def net() -> OrderingNet:
    def make(number, head, now, recent):  # type: ignore[no-untyped-def]
        signer = Pen(name(LEADER)) if number == LEADER else None
        return Solo(SoloSetup(NETWORK, MAIN_LEDGER, name(LEADER), signer), head, now, recent)

    net = OrderingNet(3, make)
    net.start(LEADER, FOLLOWER, OTHER)
    net.submit(LEADER, make_word(1))
    settle(net)
    return net


def sign(header: BlockHeader, *words: bytes, author: int = LEADER) -> OpenedBlock:
    ids = tuple(read_feed_shape(word).compute_id() for word in words)
    header = replace(header, feeds_hash=compute_feeds_hash(ids), leader=name(author))
    return seal_block(header, ids, Pen(name(author)), NETWORK)


def next_header(net: OrderingNet) -> BlockHeader:
    """The next block as it ought to be, empty, half a second after the last."""
    head = net.members[FOLLOWER].compute_head()
    return BlockHeader(
        format=1,
        height=head.height + 1,
        parent=head.block_id,
        epoch=0,
        dt_ms=500,
        feeds_hash=compute_feeds_hash(()),
        vrf_proof=b"",
        state_root=head.root,
        leader=name(LEADER),
    )


def tell(net: OrderingNet, block: OpenedBlock, *words: bytes) -> list[str]:
    """Tell the follower a block; the rules it broke, or "" if it was taken."""
    member = net.members[FOLLOWER]
    before, height = len(member.refused), len(member.disk)
    net.tell(FOLLOWER, BlockReceived(name(OTHER), block, words))
    net.run(100_000)
    return member.refused[before:] or ([""] if len(member.disk) > height else [])


def test_a_good_block_from_anybody_is_taken(net: OrderingNet) -> None:
    word = make_word(2)
    assert tell(net, sign(next_header(net), word), word) == [""]
    assert net.members[FOLLOWER].words == [make_word(1), word]


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("block-parent", {"parent": b"p" * 32}),
        ("block-state-root", {"state_root": b"r" * 32}),
        ("block-epoch", {"epoch": 1}),
        ("block-time", {"dt_ms": MAIN_LEDGER.height_ms_max + 1}),
    ],
)
def test_a_wrong_block_of_the_sequencer_is_refused(
    net: OrderingNet, rule: str, wrong: dict[str, object]
) -> None:
    # [ORDER-FOLLOW.1]
    assert tell(net, sign(replace(next_header(net), **wrong))) == [rule]


def test_a_block_of_anybody_else_is_refused(net: OrderingNet) -> None:
    assert tell(net, sign(next_header(net), author=OTHER)) == ["block-leader"]
    assert not net.members[FOLLOWER].forks


def test_a_block_must_come_with_what_it_lists_each_once(net: OrderingNet) -> None:
    # [ORDER-FOLLOW.1]
    word, other = make_word(2), make_word(3)
    assert tell(net, sign(next_header(net), word), other) == ["block-feeds"]
    assert tell(net, sign(next_header(net), word)) == ["block-feeds"]
    net.start(FOLLOWER)
    assert tell(net, sign(next_header(net), word, word), word, word) == ["block-twice"]


def test_a_block_with_too_many_bytes_is_refused(net: OrderingNet) -> None:
    words = [make_word(number, 16_000) for number in range(2, 302)]
    assert tell(net, sign(next_header(net), *words), *words) == ["block-bytes"]


def test_two_blocks_of_one_height_stop_whoever_sees_both(net: OrderingNet) -> None:
    # [ORDER-FORK.1]
    header = next_header(net)
    first, second = sign(header), sign(replace(header, dt_ms=501))
    assert tell(net, first) == [""]
    net.tell(FOLLOWER, HeadReceived(name(OTHER), second))
    assert net.members[FOLLOWER].forks == [ForkFound(first, second)]
    # Nothing counts any more, not even what would follow.
    assert tell(net, sign(next_header(net))) == []
    with pytest.raises(Refusal, match="halted"):
        net.submit(FOLLOWER, make_word(9))
    net.run(60 * SECOND)
    assert len(net.members[FOLLOWER].disk) == header.height


def test_a_head_told_ahead_is_compared_when_its_height_comes(net: OrderingNet) -> None:
    header = next_header(net)
    first, second = sign(header), sign(replace(header, dt_ms=501))
    net.tell(FOLLOWER, HeadReceived(name(OTHER), second))
    assert not net.members[FOLLOWER].forks
    assert tell(net, first) == []
    assert net.members[FOLLOWER].forks == [ForkFound(second, first)]


def test_a_fork_far_back_is_found_after_a_restart(net: OrderingNet) -> None:
    other = sign(replace(net.members[FOLLOWER].disk[0][0].header, dt_ms=7))
    net.crash(FOLLOWER)
    net.start(FOLLOWER)
    net.tell(FOLLOWER, HeadReceived(name(OTHER), other))
    assert len(net.members[FOLLOWER].forks) == 1


def test_the_sequencer_itself_stops_when_shown_another_block_of_its_own(net: OrderingNet) -> None:
    other = sign(replace(net.members[LEADER].disk[0][0].header, dt_ms=7))
    net.tell(LEADER, HeadReceived(name(OTHER), other))
    assert len(net.members[LEADER].forks) == 1
    height = len(net.members[LEADER].disk)
    net.run(120 * SECOND)
    assert len(net.members[LEADER].disk) == height


def test_a_sequencer_restored_from_a_backup_takes_its_later_blocks_from_its_peers(
    net: OrderingNet,
) -> None:
    # [ORDER-DURABLE.4]
    backup = list(net.members[LEADER].disk)
    for number in range(2, 100):
        net.submit(LEADER, make_word(number))
        net.run(PACE_US)
    settle(net)
    height = len(net.members[FOLLOWER].disk)
    assert height > len(backup) + 70
    net.crash(LEADER)
    net.members[LEADER].disk[:] = backup
    net.start(LEADER)
    net.submit(LEADER, make_word(500))
    # Its links come up, and each peer tells its head.
    head = net.members[FOLLOWER].disk[-1][0]
    net.run(LISTENING_US // 2)
    net.tell(LEADER, HeadReceived(name(FOLLOWER), head))
    net.run(10 * SECOND)
    assert all(len(ids) == 1 for ids in net.published.values())
    assert not any(member.forks for member in net.members)
    for member in net.members:
        assert len(member.disk) > height
        assert [word for _, words in member.disk for word in words].count(make_word(500)) == 1


def test_a_restarted_sequencer_listens_before_it_signs(net: OrderingNet) -> None:
    height = len(net.members[LEADER].disk)
    net.crash(LEADER)
    net.start(LEADER)
    net.submit(LEADER, make_word(2))
    net.run(LISTENING_US - 1)
    assert len(net.members[LEADER].disk) == height
    net.run(SECOND)
    assert len(net.members[LEADER].disk) == height + 1


def test_an_answer_that_never_comes_is_asked_for_again(net: OrderingNet) -> None:
    # [ORDER-FOLLOW.2]
    header = replace(next_header(net), height=200)
    # The one who told it is gone: nobody has such blocks.
    net.members[OTHER].disk.clear()
    effects = net.tell(FOLLOWER, HeadReceived(name(OTHER), sign(header)))
    assert len(effects) == 1
    engine = net.members[FOLLOWER].engine
    assert engine is not None
    assert net.at < engine.next_deadline() <= net.at + SECOND
