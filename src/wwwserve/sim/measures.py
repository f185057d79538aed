"""What a run was like for its users: latencies, objectives met, work spread, messages spent.

Percentiles are nearest-rank. Failures, refusals and time-outs miss every objective; users who left
by themselves count neither way. Times become seconds only here, where people read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wwwserve.sim.objectives import parse_objective
from wwwserve.sim.plans import Scenario
from wwwserve.sim.profiles import get_reference
from wwwserve.sim.runs import RunResult
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.moments import SECOND

ASKING_MESSAGES = ("Probe", "Quote", "Room")
"""Control messages spent on finding a place; frames of request streams are counted beside them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles of a time, in seconds."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Measures:
    """One run in numbers."""

    requests: int
    completed: int
    completed_in_time: int
    """Of them, those answered while requests still came: what the engines did in that time."""
    failed: int
    refused: int
    slo: dict[str, float]
    """Share of requests that met each objective."""
    e2e_s: Spread
    ttft_s: Spread
    tpot_s: Spread
    goodput_rps: float
    """Requests a second that met the first objective."""
    offloaded: float
    """Share of the completed that another node answered."""
    prefix_hits: float
    """Share of the prompts' tokens that the engines had in their caches and did not read."""
    messages_per_request: float
    """Probes, quotes and stream frames other than output, per request."""
    probes_per_request: float
    membership_rate: float
    """Membership messages per node and second."""
    membership_bytes: float
    """Bytes that membership and the heartbeats of links take, per node and second, since users
    came."""
    served: dict[str, int]
    """Requests each node answered, its own users' included."""


def measure(result: RunResult) -> Measures:
    """The numbers of one run."""
    counted = [one for one in result.requests if one.outcome is not Outcome.CANCELLED]
    # A request that every engine refuses has its right answer when it is refused.
    counted = [one for one in counted if not one.is_wrong]
    completed = [one for one in counted if one.outcome is Outcome.ANSWERED]
    slo = compute_attainment(result.scenario, counted)
    seconds = max(1, result.ended_us) / SECOND
    arriving_s = max(1, result.arrivals_end_us - result.scenario.join_us) / SECOND
    asking = sum(result.message_counts.get(kind, 0) for kind in ASKING_MESSAGES)
    membership = sum(result.message_counts.values()) - asking
    good = slo[result.scenario.objectives[0]] * len(counted)
    return Measures(
        requests=len(result.requests),
        completed=len(completed),
        completed_in_time=sum(one.ended_us <= result.arrivals_end_us for one in completed),
        failed=_count(counted, Outcome.FAILED) + _count(counted, Outcome.LOST),
        refused=_count(counted, Outcome.REFUSED),
        slo=slo,
        e2e_s=compute_spread([one.e2e_us for one in completed]),
        ttft_s=compute_spread([one.ttft_us for one in completed]),
        tpot_s=compute_spread([count_tpot_us(one) for one in completed]),
        goodput_rps=good / arriving_s,
        offloaded=_share(sum(one.is_offloaded for one in completed), len(completed)),
        prefix_hits=_share(
            sum(one.cached_tokens for one in completed), sum(one.prompt_tokens for one in completed)
        ),
        messages_per_request=_share(asking + result.frame_count, len(result.requests)),
        probes_per_request=_share(result.message_counts.get("Probe", 0), len(result.requests)),
        membership_rate=membership / seconds / len(result.node_names),
        membership_bytes=_compute_membership_bytes(result),
        served={
            name: sum(one.executor == index for one in completed)
            for index, name in enumerate(result.node_names)
        },
    )


def compute_attainment(scenario: Scenario, requests: Sequence[UserRequest]) -> dict[str, float]:
    """The share of requests that met each of a scenario's objectives."""
    reference = get_reference(scenario)
    return {
        name: _share(
            sum(parse_objective(name).is_met(one, reference) for one in requests), len(requests)
        )
        for name in scenario.objectives
    }


def compute_spread(times_us: Sequence[int]) -> Spread:
    """Mean and nearest-rank percentiles; all 0 for nothing."""
    ordered = sorted(times_us)
    if not ordered:
        return Spread(0.0, 0.0, 0.0, 0.0, 0.0)
    mean = sum(ordered) / len(ordered) / SECOND
    p50, p90, p95, p99 = (
        compute_percentile(ordered, percent) / SECOND for percent in (50, 90, 95, 99)
    )
    return Spread(mean, p50, p90, p95, p99)


def compute_percentile(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that at least `percent` of all do not exceed."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, rank - 1)]


def _compute_membership_bytes(result: RunResult) -> float:
    """By a node in a second."""
    sent = sum(count for kind, count in result.message_bytes.items() if kind not in ASKING_MESSAGES)
    seconds = max(1, result.ended_us - result.scenario.join_us) / SECOND
    return sent / seconds / len(result.node_names)


def count_tpot_us(request: UserRequest) -> int:
    """Time of each token after the first, in microseconds."""
    after_first = max(1, request.completion_tokens - 1)
    return (request.e2e_us - request.ttft_us) // after_first


def _count(requests: Sequence[UserRequest], outcome: Outcome) -> int:
    return sum(one.outcome is outcome for one in requests)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
