"""A provider's own Python policy is heard while it behaves, and costs the node little when not.

Guests come by entry points made for the test. Time that must be over is the clock's, which is a
number; where a guest must hang, it waits for an event that the test sets in the end.
"""

import sys
import threading
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from wwwserve.core.deciding import GuestFault
from wwwserve.node.guests import (
    GRACE_SPAN_US,
    REST_MAX_US,
    REST_MIN_US,
    GuestHouse,
    find_guests,
    load_guest,
)
from wwwserve.policies import Accepted, Case, Declined, DeclineReason, Queued, Verdict
from wwwserve.policies.testing import make_offer, make_waiting
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import BadInput

NO = Declined(DeclineReason.POLICY)
PATIENCE_US = 30 * SECOND
"""More than any machine needs to answer; nothing here waits for it to pass."""


class Clock:
    def __init__(self) -> None:
        self.time = Moment(0)

    def now(self) -> Moment:
        return self.time

    def wait(self, span_us: int) -> None:
        self.time = Moment(self.time + span_us)


class Small:
    """Takes small prompts only."""

    def decide(self, case: Case) -> Verdict | None:
        return NO if case.summary.prompt_tokens > 1_000 else None


class Moody:
    """Raises, answers nonsense or behaves, by the size of the prompt."""

    def decide(self, case: Case) -> Verdict | None:
        if case.summary.prompt_tokens == 1:
            raise ValueError("not today")
        return Queued() if case.summary.prompt_tokens == 2 else Accepted()


class Hangs:
    """Does not answer before it is let go."""

    gate = threading.Event()

    def decide(self, case: Case) -> Verdict | None:
        self.gate.wait()
        return NO


class Slow:
    """Says no, after as many microseconds of the test's clock as the prompt has tokens."""

    clock: Clock
    gate = threading.Event()

    def decide(self, case: Case) -> Verdict | None:
        if case.summary.prompt_tokens == 0:
            self.gate.wait()
        self.clock.wait(case.summary.prompt_tokens)
        return NO


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no settings")


class Dumb:
    """No policy at all."""


GUESTS = {
    "small": Small,
    "moody": Moody,
    "hangs": Hangs,
    "slow": Slow,
    "broken": Broken,
    "dumb": Dumb,
}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("guests_of_the_test")
    vars(module).update(GUESTS)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def find() -> tuple[EntryPoint, ...]:
    return tuple(
        EntryPoint(name, f"guests_of_the_test:{name}", "wwwserve.policies") for name in GUESTS
    )


def house(name: str, clock: Clock, limit_us: int = PATIENCE_US, grace_us: int = 0) -> GuestHouse:
    guests = GuestHouse(clock, limit_us=limit_us, grace_us=grace_us, find=find)
    guests.prepare(name)()
    return guests


def test_a_guest_answers_or_leaves_it_to_the_settings() -> None:
    guests = house("small", Clock())
    assert guests.ask("small", make_offer(prompt_tokens=2_000)) == NO
    assert guests.ask("small", make_offer(prompt_tokens=10)) is None
    guests.close()
    assert isinstance(guests.ask("small", make_offer()), GuestFault)


def test_whoever_raises_is_not_heard_and_left_alone_longer_each_time() -> None:
    clock = Clock()
    guests = house("moody", clock)
    for rest_us in (REST_MIN_US, 2 * REST_MIN_US, 4 * REST_MIN_US):
        fault = guests.ask("moody", make_offer(prompt_tokens=1))
        assert isinstance(fault, GuestFault)
        assert "ValueError: not today" in fault.detail
        clock.wait(rest_us - 1)
        alone = guests.ask("moody", make_offer())
        assert isinstance(alone, GuestFault)
        assert "left alone" in alone.detail
        clock.wait(1)
    assert guests.ask("moody", make_offer()) == Accepted()
    for _ in range(10):
        guests.ask("moody", make_offer(prompt_tokens=1))
        clock.wait(REST_MAX_US)
    assert guests.ask("moody", make_offer()) == Accepted()


def test_what_cannot_be_an_answer_is_none() -> None:
    guests = house("moody", Clock())
    fault = guests.ask("moody", make_offer(prompt_tokens=2))
    assert isinstance(fault, GuestFault)
    assert "Queued" in fault.detail
    guests = house("moody", Clock())
    assert guests.ask("moody", make_waiting(prompt_tokens=2)) == Queued()


def test_a_guest_that_hangs_is_not_waited_for_twice() -> None:
    Hangs.gate.clear()
    clock = Clock()
    guests = house("hangs", clock, limit_us=1_000)
    late = guests.ask("hangs", make_offer())
    assert isinstance(late, GuestFault)
    assert "within 1000 us" in late.detail
    clock.wait(REST_MAX_US)
    busy = guests.ask("hangs", make_offer())
    assert isinstance(busy, GuestFault)
    assert "still busy" in busy.detail
    Hangs.gate.set()
    # Another guest can come while one hangs.
    guests.prepare("small")()
    assert isinstance(guests.ask("hangs", make_offer()), GuestFault)


def test_a_busy_machine_is_forgiven_until_the_grace_of_a_second_is_gone() -> None:
    clock = Slow.clock = Clock()
    guests = house("slow", clock, limit_us=1_000, grace_us=PATIENCE_US)
    late = make_offer(prompt_tokens=1_000 + PATIENCE_US)
    assert guests.ask("slow", late) == NO
    # All grace is gone, so who hangs now is waited for no longer than the limit.
    Slow.gate.clear()
    fault = guests.ask("slow", make_offer(prompt_tokens=0))
    assert isinstance(fault, GuestFault)
    assert "within 1000 us" in fault.detail
    Slow.gate.set()
    guests.close()
    guests.prepare("slow")()
    clock.wait(GRACE_SPAN_US)
    assert guests.ask("slow", late) == NO


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smal", "did you mean small"),
        ("other", "installed are broken, dumb"),
        ("broken", "RuntimeError: no settings"),
        ("dumb", "no method decide"),
    ],
)
def test_a_guest_that_cannot_come_is_refused_with_the_fix(name: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_guest(name, find)
    assert caught.value.field == "policy.guest"
    assert words in str(caught.value)


def test_nobody_is_installed_by_this_product_itself() -> None:
    assert find_guests() == ()
    with pytest.raises(BadInput, match="none is installed"):
        load_guest("mine")


def test_a_guest_that_cannot_come_leaves_the_one_who_is_here() -> None:
    guests = house("small", Clock())
    with pytest.raises(BadInput):
        guests.prepare("broken")
    assert guests.ask("small", make_offer(prompt_tokens=2_000)) == NO
