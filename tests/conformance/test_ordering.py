"""Every engine that orders the log keeps the same promises, whatever stands behind them.

One suite runs on every engine, in virtual time with disks, links and crashes (`OrderingNet`): all
readers come to one order; a word is final once, over restarts too; nothing is told before it is
durable; the beacon is the hash chain it must be; blocks come at the pace of the rules, and the
ledger clock never runs ahead of anybody's own by more than one per cent and a second; who came
late is not late with every block.
"""

import hashlib
from collections.abc import Sequence

import pytest

from tests.fakes.ordering_net import NETWORK, MakeEngine, OrderingNet, first_head, make_word, settle
from tests.property.ledger_world import Pen, name
from wwwserve.core.consensus import (
    AGE_HEIGHTS_MAX,
    CLOCK_LEAD_MS,
    CLOCK_LEAD_PERMILLE,
    POOL_WORDS_MAX,
    Head,
    HeadReceived,
    OrderingEngine,
    Solo,
    SoloSetup,
)
from wwwserve.values.ledger_parameters import MAIN_LEDGER
from wwwserve.values.moments import MILLISECOND, SECOND, Moment
from wwwserve.values.refusals import Refusal
from wwwserve.wire.chain import BLOCK_FEEDS_BYTES_MAX
from wwwserve.wire.ledger import FEEDS_PER_BLOCK_MAX, OpenedBlock

LEADER = 0
MEMBERS = 3
PACE_US = MAIN_LEDGER.height_ms_min * MILLISECOND
IDLE_US = MAIN_LEDGER.height_ms_idle * MILLISECOND


def make_solo(
    number: int, head: Head, now: Moment, recent: Sequence[OpenedBlock]
) -> OrderingEngine:
    signer = Pen(name(LEADER)) if number == LEADER else None
    setup = SoloSetup(NETWORK, MAIN_LEDGER, name(LEADER), signer)
    return Solo(setup, head, now, recent)


@pytest.fixture(params=[make_solo], ids=["solo"])
def net(request: pytest.FixtureRequest) -> OrderingNet:
    make: MakeEngine = request.param
    net = OrderingNet(MEMBERS, make)
    net.start(*range(MEMBERS))
    return net


def words(first: int, count: int) -> list[bytes]:
    return [make_word(number) for number in range(first, first + count)]


def test_all_readers_come_to_one_order_and_each_word_is_final_once(net: OrderingNet) -> None:
    # [ORDER-SAME.1]
    said = words(0, 40)
    for word in said:
        net.submit(LEADER, word)
        net.run(70 * MILLISECOND)
    settle(net)
    for member in net.members:
        assert sorted(member.words) == sorted(said)
        assert member.words == net.members[LEADER].words
        assert not member.refused
    assert all(len(ids) == 1 for ids in net.published.values())


def test_heights_have_no_gap_and_the_beacon_is_a_hash_over_all_blocks(net: OrderingNet) -> None:
    # [ORDER-SAME.2]
    net.run(3 * IDLE_US)
    for member in net.members:
        assert [final.height for final in member.finals] == [1, 2, 3][: len(member.finals)]
        beacon, time_ms = first_head().beacon, 0
        for final in member.finals:
            beacon = hashlib.sha256(beacon + final.block.block_id).digest()
            time_ms += final.block.header.dt_ms
            assert (final.beacon, final.time_ms) == (beacon, time_ms)


def test_a_word_said_twice_is_refused_before_and_after_it_is_final(net: OrderingNet) -> None:
    # [ORDER-WORD.1]
    word = make_word(1)
    net.submit(LEADER, word)
    with pytest.raises(Refusal, match="pool-known"):
        net.submit(LEADER, word)
    settle(net)
    with pytest.raises(Refusal, match="pool-known"):
        net.submit(LEADER, word)
    net.run(2 * IDLE_US)
    assert net.members[LEADER].words == [word]


@pytest.mark.parametrize("word", [b"", b"no word", bytes(30_000)])
def test_what_is_no_word_is_refused(net: OrderingNet, word: bytes) -> None:
    with pytest.raises(Refusal, match="encoding"):
        net.submit(LEADER, word)


@pytest.mark.slow
def test_the_pool_is_bounded_and_empties_into_full_blocks(net: OrderingNet) -> None:
    # [ORDER-WORD.2]
    net.submit(LEADER, *words(0, POOL_WORDS_MAX))
    with pytest.raises(Refusal, match="pool-full"):
        net.submit(LEADER, make_word(POOL_WORDS_MAX))
    net.run(PACE_US)
    net.submit(LEADER, make_word(POOL_WORDS_MAX))
    net.run(POOL_WORDS_MAX // FEEDS_PER_BLOCK_MAX * 2 * PACE_US)
    for member in net.members:
        assert len(member.words) == POOL_WORDS_MAX + 1
        assert max(len(final.words) for final in member.finals) == FEEDS_PER_BLOCK_MAX


def test_large_words_make_smaller_blocks(net: OrderingNet) -> None:
    # [ORDER-WORD.2]
    net.submit(LEADER, *(make_word(number, 12_000) for number in range(800)))
    net.run(20 * PACE_US)
    for member in net.members:
        assert len(member.words) == 800
        assert not member.refused
        sizes = [sum(map(len, final.words)) for final in member.finals]
        assert BLOCK_FEEDS_BYTES_MAX - 13_000 < max(sizes) <= BLOCK_FEEDS_BYTES_MAX


def test_blocks_come_at_most_four_times_a_second_however_much_waits(net: OrderingNet) -> None:
    # [ORDER-PACE.1]
    for number in range(200):
        net.submit(LEADER, make_word(number))
        net.run(20 * MILLISECOND)
    finals = net.members[LEADER].finals
    assert 10 <= len(finals) <= 4 * 4 + 1
    assert all(final.block.header.dt_ms >= MAIN_LEDGER.height_ms_min for final in finals[1:])


def test_a_word_waits_for_no_more_than_the_pace(net: OrderingNet) -> None:
    # [ORDER-PACE.1]
    net.run(IDLE_US + 7 * SECOND)
    net.submit(LEADER, make_word(1))
    net.run(PACE_US + 100 * MILLISECOND)
    assert all(member.words == [make_word(1)] for member in net.members)


def test_while_nothing_waits_there_is_one_empty_block_in_half_a_minute(net: OrderingNet) -> None:
    # [ORDER-PACE.1]
    net.run(10 * IDLE_US + SECOND)
    assert all(len(member.finals) == 10 for member in net.members)
    assert not net.members[LEADER].words


def test_a_window_of_the_state_ends_with_a_block_at_its_instant(net: OrderingNet) -> None:
    # [ORDER-PACE.1]
    net.members[LEADER].due_ms = 41_500
    net.run(42 * SECOND)
    assert [final.time_ms for final in net.members[LEADER].finals] == [30_000, 41_500]


def test_the_ledger_clock_goes_with_the_leaders_and_stands_still_in_a_stall(
    net: OrderingNet,
) -> None:
    # [ORDER-CLOCK.1]
    net.run(100 * SECOND)
    before_ms = net.members[LEADER].finals[-1].time_ms
    assert before_ms == 90_000
    net.crash(LEADER)
    net.run(3_600 * SECOND)
    net.start(LEADER)
    net.run(IDLE_US + SECOND)
    finals = net.members[LEADER].finals
    assert [final.time_ms - before_ms for final in finals] == [30_000]


@pytest.mark.parametrize("rate_permille", [700, 1_005, 1_500, 4_000])
def test_the_ledger_clock_runs_ahead_of_nobody(net: OrderingNet, rate_permille: int) -> None:
    # [ORDER-CLOCK.2]
    net.members[LEADER].rate_permille = rate_permille
    net.start(LEADER)
    epochs_ms = MAIN_LEDGER.epoch_ms
    began: dict[int, tuple[int, int]] = {}
    for _ in range(400):
        net.run(5 * SECOND)
        for member in net.members[1:]:
            time_ms = member.finals[-1].time_ms if member.finals else 0
            epoch = time_ms // epochs_ms
            first_ms, first_at = began.setdefault(member.number * 1_000 + epoch, (time_ms, net.at))
            # A look every five seconds may see an epoch begin that much late.
            passed_ms = (net.at - first_at) // MILLISECOND + 5_000
            lead_ms = passed_ms * (1_000 + CLOCK_LEAD_PERMILLE) // 1_000 + CLOCK_LEAD_MS
            # Who has just begun cannot know how old the block is that it begins from.
            lead_ms += 0 if epoch else AGE_HEIGHTS_MAX * MAIN_LEDGER.height_ms_idle
            assert time_ms - first_ms <= lead_ms
    assert all(not member.refused for member in net.members)
    slowest = min(member.finals[-1].time_ms for member in net.members)
    assert slowest >= 400 * 5_000 * min(rate_permille, 1_000) // 1_000 - 31_000


@pytest.mark.parametrize("away_s", [1, 19, 25, 47, 200])
def test_who_comes_late_believes_blocks_as_they_come(net: OrderingNet, away_s: int) -> None:
    # [ORDER-CLOCK.3]: none waits for a clock that began late, in this epoch or the next. A second,
    # or 19, miss no block; 25 and 47 one, of which it is told as it links; 200 several.
    leader, late, other = net.members
    net.run(40 * SECOND)
    net.crash(late.number)
    net.run(away_s * SECOND)
    net.start(late.number)
    net.tell(late.number, HeadReceived(name(LEADER), leader.disk[-1][0]))
    for _ in range(100):
        net.run(10 * SECOND)
        assert late.disk == other.disk


@pytest.mark.parametrize("pause_us", [0, 2 * MILLISECOND, 5 * MILLISECOND, 300 * MILLISECOND])
def test_a_restart_resumes_at_the_head_and_says_nothing_else_of_a_height(
    net: OrderingNet, pause_us: int
) -> None:
    said = words(0, 12)
    for word in said:
        net.submit(LEADER, word)
        net.run(PACE_US + pause_us)
        net.crash(LEADER)
        told = max(net.published, default=0)
        net.start(LEADER)
        assert len(net.members[LEADER].disk) >= told
        net.run(4 * SECOND)
    net.run(2 * IDLE_US)
    assert all(len(ids) == 1 for ids in net.published.values())
    durable = [word for _, kept in net.members[LEADER].disk for word in kept]
    assert len(durable) == len(set(durable))
    for member in net.members[1:]:
        assert member.words == durable
        assert [block.block_id for block, _ in member.disk] == [
            block.block_id for block, _ in net.members[LEADER].disk
        ]


def test_who_was_away_catches_up_with_all_it_missed(net: OrderingNet) -> None:
    # [ORDER-FOLLOW.2]
    net.run(SECOND)
    net.crash(1)
    for number in range(150):
        net.submit(LEADER, make_word(number))
        net.run(PACE_US)
    net.start(1)
    net.run(IDLE_US + 5 * SECOND)
    net.submit(LEADER, make_word(150))
    net.run(2 * SECOND)
    disks = [[block.block_id for block, _ in member.disk] for member in net.members]
    assert len(disks[0]) >= 150
    assert disks[1] == disks[0]
    assert disks[2] == disks[0]


def test_a_new_set_of_validators_disturbs_nothing(net: OrderingNet) -> None:
    for epoch in range(4):
        for number, member in enumerate(net.members):
            assert member.engine is not None
            member.engine.set_validators(epoch, {name(0): 3 + epoch, name(number): 1})
        net.submit(LEADER, make_word(epoch))
        settle(net)
    assert all(len(member.words) == 4 for member in net.members)


def test_nothing_is_final_before_it_is_durable(net: OrderingNet) -> None:
    # [ORDER-DURABLE.1]
    net.submit(LEADER, make_word(1))
    net.run(MILLISECOND)
    assert not net.members[LEADER].finals
    net.run(10 * MILLISECOND)
    assert net.members[LEADER].words == [make_word(1)]
