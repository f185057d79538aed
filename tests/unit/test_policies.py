"""The harness for providers' own policies passes good ones and says what is wrong with others.

The clock of the harness is the test's own, so that no machine is too slow for it.
"""

from collections.abc import Callable
from itertools import count

import pytest

from wwwserve.policies import (
    GUEST_TIME_US,
    Accepted,
    Case,
    Declined,
    DeclineReason,
    Guest,
    Question,
    Queued,
    Verdict,
)
from wwwserve.policies.testing import (
    GuestAtFault,
    list_cases,
    make_offer,
    make_own,
    make_waiting,
    rehearse,
)

NO = Declined(DeclineReason.POLICY)


class Evening:
    """The example of `docs/guides/policies.md`: strangers get short answers, friends anything."""

    friends = frozenset({bytes([1]) * 32})

    def decide(self, case: Case) -> Verdict | None:
        """No to long answers for strangers; all else as the settings say."""
        if case.question is not Question.OFFER or case.asker in self.friends:
            return None
        is_long = not 0 < case.summary.completion_tokens_max <= 1_000
        return NO if is_long else None


def of(decide: Callable[[Case], object]) -> Guest:
    """A guest out of a function that may answer anything."""
    return type("Made", (), {"decide": lambda self, case: decide(case)})()  # type: ignore[no-any-return]


def steady(step_us: int) -> Callable[[], int]:
    """A clock on which every answer takes so long."""
    ticks = count()
    return lambda: next(ticks) * step_us * 1_000


def test_the_example_is_well_behaved() -> None:
    rehearsed = rehearse(Evening(), read_time_ns=steady(10))
    assert len(rehearsed) == len(list_cases())
    assert {one.time_us for one in rehearsed} == {10}
    assert {type(one.answer) for one in rehearsed} == {Declined, type(None)}
    assert Evening().decide(make_offer(asker=2, completion_tokens_max=4_000)) == NO
    assert Evening().decide(make_offer(asker=1, completion_tokens_max=4_000)) is None


def test_the_cases_ask_everything() -> None:
    cases = list_cases()
    assert {case.question for case in cases} == set(Question)
    assert {case.load is None for case in cases if case.question is Question.OWN} == {True, False}
    assert len({case.asker for case in cases}) == 3


@pytest.mark.parametrize(
    ("guest", "words"),
    [
        (of(lambda case: 1 // 0), "ZeroDivisionError"),
        (of(lambda case: True), "bool"),
        (of(lambda case: Accepted()), "Accepted to WAIT"),
        (of(lambda case: Queued()), "Queued to OFFER"),
    ],
)
def test_what_a_node_would_not_hear_is_told(guest: Guest, words: str) -> None:
    with pytest.raises(GuestAtFault, match=words):
        rehearse(guest, read_time_ns=steady(1))


def test_a_slow_guest_is_told() -> None:
    rehearse(Evening(), read_time_ns=steady(GUEST_TIME_US))
    with pytest.raises(GuestAtFault, match="took 1001 us"):
        rehearse(Evening(), read_time_ns=steady(GUEST_TIME_US + 1))


def test_a_guest_that_changes_its_mind_is_told() -> None:
    answers = count()
    fickle = of(lambda case: NO if next(answers) % 2 else None)
    with pytest.raises(GuestAtFault, match="otherwise later"):
        rehearse(fickle, [make_offer()], read_time_ns=steady(1))


def test_own_cases_can_be_made() -> None:
    assert make_own(load=None).load is None
    assert make_own().question is Question.OWN
    assert make_waiting(prompt_tokens=9).summary.prompt_tokens == 9
