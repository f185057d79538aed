"""Trying a guest before a node lets it in: `rehearse` in a test of your own.

from wwwserve.policies.testing import make_offer, rehearse

def test_my_policy() -> None:
    guest = MyPolicy()
    rehearse(guest)
    assert guest.decide(make_offer(prompt_tokens=9_000)) == Declined(DeclineReason.POLICY)
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wwwserve.policies import (
    GUEST_TIME_US,
    Case,
    Counts,
    Guest,
    LoadView,
    ModelOffer,
    Question,
    RequestSummary,
    Verdict,
    find_fault,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.wire import Endpoint

ROUNDS = 5
"""How often each case is asked about: the first time may be slow, and the answers must agree."""
_NANOSECONDS_PER_MICROSECOND = 1_000
_MODEL = "org/model"
_IDLE = LoadView(slots=8, used=0)
_LOADS = (
    _IDLE,
    LoadView(slots=8, used=5, peer_running=3, asker_running=1),
    LoadView(slots=8, used=8, kv_used_permille=950, own_waiting=2, peer_running=2),
)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One case and what the guest made of it."""

    case: Case
    answer: Verdict | None
    time_us: int
    """The least of several times, so that another program's work is not held against the guest."""


class GuestAtFault(AssertionError):
    """A node would not listen to this guest."""


def make_offer(
    *,
    prompt_tokens: int = 500,
    completion_tokens_max: int = 250,
    asker: int = 1,
    load: LoadView = _IDLE,
    counts: Counts | None = None,
) -> Case:
    """Another node's request; nodes are small numbers."""
    return Case(
        question=Question.OFFER,
        summary=_make_summary(prompt_tokens, completion_tokens_max),
        at=Moment(0),
        load=load,
        asker=NodeId(bytes([asker]) * 32),
        offer=ModelOffer(_MODEL, context_tokens=32_768),
        counts=counts or Counts(),
    )


def make_own(
    *, prompt_tokens: int = 500, completion_tokens_max: int = 250, load: LoadView | None = _IDLE
) -> Case:
    """An own user's request; without a load no engine here can run it now."""
    summary = _make_summary(prompt_tokens, completion_tokens_max)
    return Case(Question.OWN, summary, Moment(0), load)


def make_waiting(*, prompt_tokens: int = 500, completion_tokens_max: int = 250) -> Case:
    """An own user's request for which no place was found."""
    summary = _make_summary(prompt_tokens, completion_tokens_max)
    return Case(Question.WAIT, summary, Moment(0), None)


def list_cases() -> tuple[Case, ...]:
    """A spread of everything a guest may be asked: idle and full, small and large, own and not."""
    sizes = ((1, 0), (500, 250), (30_000, 2_000))
    cases: list[Case] = []
    for prompt, answer in sizes:
        cases += [
            make_offer(prompt_tokens=prompt, completion_tokens_max=answer, load=load, asker=asker)
            for load in _LOADS
            for asker in (1, 2)
        ]
        cases += [
            make_own(prompt_tokens=prompt, completion_tokens_max=answer, load=load)
            for load in (*_LOADS, None)
        ]
        cases.append(make_waiting(prompt_tokens=prompt, completion_tokens_max=answer))
    return tuple(cases)


def rehearse(
    guest: Guest,
    cases: Iterable[Case] = (),
    *,
    read_time_ns: Callable[[], int] = time.perf_counter_ns,
) -> tuple[Rehearsed, ...]:
    """Ask a guest about these cases, or else all of `list_cases`, as a node would.

    Raises `GuestAtFault` for what a node would not listen to: an exception, an answer that cannot
    be one, a time over `GUEST_TIME_US`; and for an answer that differs when asked again, which
    makes a probe and the offer after it meet different ones.
    """
    return tuple(_try(guest, case, read_time_ns) for case in cases or list_cases())


def _try(guest: Guest, case: Case, read_time_ns: Callable[[], int]) -> Rehearsed:
    answers: list[Verdict | None] = []
    times: list[int] = []
    for _ in range(ROUNDS):
        began = read_time_ns()
        try:
            answers.append(guest.decide(case))
        except Exception as error:
            message = f"it raised {type(error).__name__}: {error}; asked about {case}"
            raise GuestAtFault(message) from error
        times.append((read_time_ns() - began) // _NANOSECONDS_PER_MICROSECOND)
    fault = find_fault(case, answers[0])
    if not fault and any(answer != answers[0] for answer in answers):
        fault = f"it answered {answers[0]} first and otherwise later"
    if not fault and min(times) > GUEST_TIME_US:
        fault = f"it took {min(times)} us, allowed are {GUEST_TIME_US}"
    if fault:
        raise GuestAtFault(f"{fault}; asked about {case}")
    return Rehearsed(case, answers[0], min(times))


def _make_summary(prompt_tokens: int, completion_tokens_max: int) -> RequestSummary:
    return RequestSummary(
        request=bytes(16),
        endpoint=Endpoint.CHAT,
        models=(_MODEL,),
        prompt_tokens=prompt_tokens,
        completion_tokens_max=completion_tokens_max,
        body_bytes=4 * prompt_tokens + 200,
    )
