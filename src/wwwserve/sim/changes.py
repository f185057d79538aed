"""What it costs users when nodes come and go: how soon one is used, what fails, how long it shows.

| figure | exactly |
|---|---|
| used after | from the change to the first output of an answer that was whole in the end |
| slowdown | the time of a whole answer over what an idle reference engine takes for it |
| before | its mean over the answers whole in the `BEFORE_US` before the change |
| recovered after | until the last window of `WINDOW_US` ended in which it was a tenth more |
| broken | answers that broke off after their user had seen a part |
| failed | other requests without an answer, refused ones included |
| lost | requests whose own node died under them |

What ended so is counted from one change to the next. Slowdowns are watched until another node comes
or goes: that of a node that was away for a while, until after its return. One that is never a tenth
more is recovered after 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from wwwserve.enginemodel import Demand, EngineProfile, compute_alone_us
from wwwserve.sim.plans import Fault, Scenario
from wwwserve.sim.profiles import get_reference
from wwwserve.sim.runs import RunResult
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.moments import SECOND

BEFORE_US = 60 * SECOND
WINDOW_US = 20 * SECOND
STEP_US = 5 * SECOND
"""From one window's begin to the next one's."""
TOLERANCE = 1.1

ChangeKind = Literal["join", "leave", "drain", "kill", "cut", "back"]
_KINDS: dict[str, ChangeKind] = {
    "leave": "leave",
    "drain": "drain",
    "kill": "kill",
    "power-cut": "kill",
    "isolate": "cut",
    "start": "back",
    "resume": "back",
}
"""What a fault means for who may use the node; other faults are no change of that."""
_GONE_FOR_A_WHILE = ("kill", "power-cut", "isolate")


@dataclass(frozen=True, slots=True)
class Change:
    """A node came or went, and what came of it; times in seconds."""

    kind: ChangeKind
    node: str
    at_s: float
    used_after_s: float | None
    """Of one that came: None = never. Of one that went: None."""
    slowdown_before: float
    slowdown_worst: float
    """Of any window that was watched."""
    recovered_after_s: float | None
    """None = not as long as it was watched."""
    broken: int
    failed: int
    lost: int


def measure_changes(result: RunResult) -> list[Change]:
    """Every change of a run, in order of time; none in a network where nobody comes or goes."""
    planned = list_changes(result.scenario)
    if not planned:
        return []
    ends = [at_us for at_us, _, _ in planned[1:]] + [result.arrivals_end_us]
    reference = get_reference(result.scenario)
    whole = sorted(
        (one.ended_us, _compute_slowdown(one, reference))
        for one in result.requests
        if one.outcome is Outcome.ANSWERED
    )
    return [_measure(result, planned[index:], end_us, whole) for index, end_us in enumerate(ends)]


def list_changes(scenario: Scenario) -> list[tuple[int, ChangeKind, str]]:
    """When which node comes or goes by a plan once there are users, in order of time."""
    joins: list[tuple[int, ChangeKind, str]] = [
        (plan.start_us, "join", name) for name, plan in scenario.nodes.items() if plan.start_us
    ]
    changes = [*joins, *(one for fault in scenario.faults for one in _list_of(fault))]
    return sorted(change for change in changes if change[0] >= scenario.join_us)


def _list_of(fault: Fault) -> list[tuple[int, ChangeKind, str]]:
    kind = _KINDS.get(fault.kind)
    if kind is None:
        return []
    changes = [(fault.at_us, kind, fault.node)]
    if fault.kind in _GONE_FOR_A_WHILE and fault.for_us:
        changes.append((fault.at_us + fault.for_us, "back", fault.node))
    return changes


def _measure(
    result: RunResult,
    changes: Sequence[tuple[int, ChangeKind, str]],
    end_us: int,
    whole: Sequence[tuple[int, float]],
) -> Change:
    """The first of these changes, with all that ended before `end_us`."""
    at_us, kind, node = changes[0]
    others_us = (other_us for other_us, _, other in changes if other != node)
    watched_us = next(others_us, result.arrivals_end_us)
    before = _compute_mean(whole, at_us - BEFORE_US, at_us)
    windows = [
        (begin_us + WINDOW_US, _compute_mean(whole, begin_us, begin_us + WINDOW_US))
        for begin_us in range(at_us, watched_us - WINDOW_US + 1, STEP_US)
    ]
    above = [until_us for until_us, slowdown in windows if slowdown > TOLERANCE * before]
    is_open = bool(above) and above[-1] == windows[-1][0]
    recovered_us = above[-1] - at_us if above else 0
    is_coming = kind in {"join", "back"}
    used_us = _find_first_output(result, node, at_us) if is_coming else None
    ended = [_judge_end(one) for one in result.requests if at_us <= one.ended_us < end_us]
    return Change(
        kind=kind,
        node=node,
        at_s=at_us / SECOND,
        used_after_s=None if used_us is None else (used_us - at_us) / SECOND,
        slowdown_before=before,
        slowdown_worst=max((slowdown for _, slowdown in windows), default=before),
        recovered_after_s=None if is_open else recovered_us / SECOND,
        broken=ended.count("broken"),
        failed=ended.count("failed"),
        lost=ended.count("lost"),
    )


def _judge_end(request: UserRequest) -> str:
    match request.outcome:
        case Outcome.FAILED if request.first_output_us and request.is_streamed:
            return "broken"
        case Outcome.FAILED | Outcome.REFUSED:
            return "failed"
        case Outcome.LOST:
            return "lost"
        case Outcome.ANSWERED | Outcome.CANCELLED | Outcome.OPEN:
            return ""
        case _:
            assert_never(request.outcome)


def _find_first_output(result: RunResult, node: str, at_us: int) -> int | None:
    index = result.node_names.index(node)
    outputs = [
        one.first_output_us
        for one in result.requests
        if one.executor == index and one.first_output_us >= at_us
    ]
    return min(outputs, default=None)


def _compute_slowdown(request: UserRequest, reference: EngineProfile) -> float:
    demand = Demand(request.prompt_tokens, request.completion_tokens)
    return request.e2e_us / max(1, compute_alone_us(reference, demand))


def _compute_mean(whole: Sequence[tuple[int, float]], from_us: int, until_us: int) -> float:
    """Of the answers that were whole within a span; 0 when there was none."""
    times = [slowdown for ended_us, slowdown in whole if from_us <= ended_us < until_us]
    return sum(times) / len(times) if times else 0.0
