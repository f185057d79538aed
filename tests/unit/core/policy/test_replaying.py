"""A day lived through by another policy: what it would have taken, refused, quoted and earned.

The day is written by hand, a few requests long, so that every number can be checked by reading.
"""

from msgspec.structs import replace

from tests.unit.core.desk import node, summary
from wwwserve.core.deciding import (
    NO_COUNTS,
    Case,
    Counts,
    PastSpending,
    PastUse,
    Question,
    UseCounted,
)
from wwwserve.core.placing import LoadView
from wwwserve.core.policy import (
    Carried,
    Decided,
    InForce,
    Life,
    Record,
    Remembered,
    Spent,
    Used,
    replay,
)
from wwwserve.core.policy_settings import PolicySettings, Window
from wwwserve.core.pricing import Prices, PriceTable
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.credits import CREDIT
from wwwserve.values.moments import SECOND, Moment
from wwwserve.wire import ModelOffer

OFFER = ModelOffer("org/small", context_tokens=1_000)
START = Moment(1_000 * SECOND)
HOUR = 3600 * SECOND
PRICES = PriceTable(Prices(prompt=1_000 * CREDIT, completion=2_000 * CREDIT))


def case(number: int, at: int, asker: int = 1, **fields: object) -> Case:
    """A request of 100 prompt tokens and an answer of at most 100, on an engine of four slots."""
    return Case(
        question=Question.OFFER,
        summary=summary(number),
        at=Moment(START + at),
        asker=node(asker),
        offer=OFFER,
        **({"load": LoadView(slots=4, used=0)} | fields),  # type: ignore[arg-type]
    )


def used(number: int, at: int, tokens: int, asker: int = 1, *, is_over: bool = True) -> Used:
    return Used(
        UseCounted(
            session=SessionId(Role.EXECUTOR, number),
            request=summary(number).request,
            asker=node(asker),
            model=OFFER.model,
            at=Moment(START + at),
            prompt_tokens=100,
            completion_tokens=tokens,
            is_over=is_over,
        )
    )


def served(number: int, at: int, counts: Counts = NO_COUNTS) -> list[Record]:
    """Probed, offered, taken, and over a second later."""
    asked = case(number, at, counts=counts)
    return [
        Decided(asked, "accepted", "all of them"),
        Decided(replace(asked, at=Moment(asked.at + 1)), "accepted", "all of them"),
        used(number, at + 1, 100, is_over=False),
        used(number, at + SECOND, 50),
    ]


BOTH = Counts(day_tokens=300, day_tokens_asker=300)
DAY: list[Record] = [
    Life(START, 10**15),
    InForce(START, PolicySettings()),
    *served(1, 0),
    *served(2, HOUR, counts=Counts(1, 1, 150, 150)),
    Decided(case(3, 2 * HOUR, load=LoadView(4, 4), counts=BOTH), "busy", "room"),
    Decided(case(4, 3 * HOUR, load=LoadView(4, 3), counts=BOTH), "busy", "own_first"),
]


def test_the_same_policy_has_the_same_day() -> None:
    same = replay(DAY, prices=PRICES)
    assert (same.decisions, same.changed, same.quoted) == (6, 0, 0)
    assert same.was == same.is_now
    assert (same.was.taken, same.was.tokens) == (2, 300)
    # 200 prompt tokens and 100 of answers.
    assert same.was.microcredits == 400_000
    assert same.was.refused.total() == 2


def test_a_tighter_policy_takes_less_and_what_it_did_not_take_does_not_count() -> None:
    other = PolicySettings(tokens_per_day_max=300)
    tight = replay(DAY, other, PRICES)
    assert (tight.was.taken, tight.is_now.taken) == (2, 1)
    assert tight.is_now.refused["tokens_per_day_max"] == 4
    assert tight.is_now.microcredits == 200_000
    tighter = replay(DAY, PolicySettings(tokens_per_day_max=199), PRICES)
    assert (tighter.is_now.taken, tighter.is_now.refused["tokens_per_day_max"]) == (0, 6)


def test_a_looser_policy_would_have_quoted_more() -> None:
    loose = replay(DAY, PolicySettings(own_first=False), PRICES)
    (change,) = loose.changes
    assert (change.was, change.was_rule, change.is_now) == ("busy", "own_first", "accepted")
    assert (loose.quoted, loose.quoted_most) == (1, 300_000)
    assert loose.is_now.taken == 2


def test_other_hours_are_read_from_the_week_of_each_case() -> None:
    monday = [record if not isinstance(record, Decided) else replace_week(record) for record in DAY]
    first_hour = PolicySettings(hours=(Window(0, 30),))
    shut = replay(monday, first_hour, PRICES)
    assert (shut.is_now.taken, shut.is_now.refused["hours"]) == (1, 4)


def replace_week(record: Decided) -> Decided:
    asked = replace(record.case, week_us=record.case.at - START)
    return Decided(asked, record.answer, record.rule)


def test_what_would_not_run_leaves_its_slot_to_others() -> None:
    """Two at once were too many for the third; without the second there would have been room."""
    day: list[Record] = [
        InForce(START, PolicySettings(concurrent_max=2)),
        Decided(case(1, 0), "accepted", "all of them"),
        used(1, 0, 100, is_over=False),
        Decided(case(2, 1, 2, load=LoadView(4, 1, peer_running=1)), "accepted", "all of them"),
        used(2, 1, 100, 2, is_over=False),
        Decided(
            case(3, 2, load=LoadView(4, 2, peer_running=2, asker_running=1)),
            "busy",
            "concurrent_max",
        ),
    ]
    other = PolicySettings(concurrent_max=2, deny_nodes=(node(2),))
    assert [change.is_now for change in replay(day, other).changes] == ["not_allowed", "accepted"]


def test_a_share_that_was_not_drawn_is_taken_from_the_requests_id() -> None:
    day = [record for number in range(1_000) for record in served(number, number)]
    half = replay(day, PolicySettings(accept_permille=500))
    assert half.is_now.taken == 500


def test_a_guests_answers_are_those_it_gave() -> None:
    settings = PolicySettings(guest="mine")
    day: list[Record] = [
        InForce(START, settings),
        Decided(case(1, 0), "policy", "guest mine"),
        Decided(case(2, 0), "accepted", "all of them", "it raised ValueError"),
    ]
    assert replay(day).changed == 0
    without = replay(day, PolicySettings())
    assert [change.is_now for change in without.changes] == ["accepted"]


# -- what a diary remembers ----------------------------------------------------------------------


def remember(*records: Record) -> Remembered:
    remembered = Remembered()
    for record in records:
        remembered.read(record)
    return remembered


def test_a_new_process_is_told_the_day_on_its_own_clock() -> None:
    later = Life(Moment(5), 10**15 + 2 * HOUR)
    (use,) = remember(*DAY[:6], later).list_use()
    assert use.tokens == 150
    # It was one grain of the day at most before it is said to have been, and two hours ago.
    assert -2 * HOUR <= use.at <= -2 * HOUR + 24 * HOUR // 60


def test_what_ran_when_a_process_died_counts_as_the_most_it_may_have_come_to() -> None:
    killed = (DAY[0], used(1, 0, 100, is_over=False), Life(Moment(5), 10**15 + SECOND))
    assert [use.tokens for use in remember(*killed).list_use()] == [200]
    late = used(1, 0, 1)
    assert [use.tokens for use in remember(*killed, late).list_use()] == [200]


def test_when_a_process_died_is_not_known_so_what_ran_counts_from_the_next_one_on() -> None:
    later = Life(Moment(5), 10**15 + 20 * HOUR)
    (use,) = remember(DAY[0], used(1, 0, 100, is_over=False), later).list_use()
    assert use.tokens == 200
    assert use.at >= later.at


def test_spending_is_remembered_likewise() -> None:
    first, second = SessionId(Role.ORIGIN, 1), SessionId(Role.ORIGIN, 2)
    records: list[Record] = [
        Life(START, 10**15),
        Spent(first, START, 170, is_over=False),
        Spent(second, START, 90, is_over=False),
        Spent(first, START, 120, is_over=True),
    ]
    assert sum(spent.microcredits for spent in remember(*records).list_spending()) == 210
    again = remember(*records, Life(Moment(7), 10**15 + HOUR))
    assert sum(spent.microcredits for spent in again.list_spending()) == 210


def test_what_is_no_longer_kept_is_carried_on() -> None:
    life = Life(START, 10**15)
    use = (PastUse(node(1), START, 30), PastUse(None, START, 4))
    carried = Carried(life, use, (PastSpending(START, 9),))
    # Told again while all of it is known, it adds nothing.
    remembered = remember(carried, carried)
    assert sum(use.tokens for use in remembered.list_use()) == 34
    assert sum(spent.microcredits for spent in remembered.list_spending()) == 9
