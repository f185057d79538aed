"""What a run was like for its users: latencies, objectives met, work spread, messages spent.

Percentiles are nearest-rank. Failures, refusals and time-outs miss every objective; users who left
by themselves count neither way. Times become seconds only here, where people read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wwwserve.enginemodel import Demand, EngineProfile, compute_alone_us
from wwwserve.sim.profiles import get_profile
from wwwserve.sim.runs import RunResult
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.moments import SECOND

SLO_FACTORS = (2, 3)
"""E2E within so many times the unloaded time on the reference engine, and a second."""
SLO_TTFT_S = (1, 5)
"""First output within so many seconds."""
ASKING_MESSAGES = ("Probe", "Quote")
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
    messages_per_request: float
    """Probes, quotes and stream frames other than output, per request."""
    membership_rate: float
    """Membership messages per node and second."""
    served: dict[str, int]
    """Requests each node answered, its own users' included."""


def measure(result: RunResult) -> Measures:
    """The numbers of one run."""
    counted = [one for one in result.requests if one.outcome is not Outcome.CANCELLED]
    # A request that every engine refuses has its right answer when it is refused.
    counted = [one for one in counted if not one.is_wrong]
    completed = [one for one in counted if one.outcome is Outcome.ANSWERED]
    reference = get_profile(next(iter(result.scenario.nodes.values())).engine)
    slo = compute_attainment(counted, reference)
    seconds = max(1, result.ended_us) / SECOND
    arriving_s = max(1, result.arrivals_end_us - result.scenario.join_us) / SECOND
    asking = sum(result.message_counts.get(kind, 0) for kind in ASKING_MESSAGES)
    membership = sum(result.message_counts.values()) - asking
    good = slo[f"{SLO_FACTORS[0]}x"] * len(counted)
    return Measures(
        requests=len(result.requests),
        completed=len(completed),
        completed_in_time=sum(one.ended_us <= result.arrivals_end_us for one in completed),
        failed=_count(counted, Outcome.FAILED) + _count(counted, Outcome.LOST),
        refused=_count(counted, Outcome.REFUSED),
        slo=slo,
        e2e_s=compute_spread([one.ended_us - one.arrival_us for one in completed]),
        ttft_s=compute_spread([_get_ttft_us(one) for one in completed]),
        tpot_s=compute_spread([_get_tpot_us(one) for one in completed]),
        goodput_rps=good / arriving_s,
        offloaded=_share(sum(one.is_offloaded for one in completed), len(completed)),
        messages_per_request=_share(asking + result.frame_count, len(result.requests)),
        membership_rate=membership / seconds / len(result.node_names),
        served={
            name: sum(one.executor == index for one in completed)
            for index, name in enumerate(result.node_names)
        },
    )


def compute_attainment(
    requests: Sequence[UserRequest], reference: EngineProfile
) -> dict[str, float]:
    """The share of requests that met each objective."""
    slo: dict[str, float] = {}
    for factor in SLO_FACTORS:
        met = sum(
            _is_within(one, factor * compute_unloaded_us(one, reference) + SECOND)
            for one in requests
        )
        slo[f"{factor}x"] = _share(met, len(requests))
    for bound_s in SLO_TTFT_S:
        met = sum(
            one.outcome is Outcome.ANSWERED and _get_ttft_us(one) <= bound_s * SECOND
            for one in requests
        )
        slo[f"ttft_{bound_s}s"] = _share(met, len(requests))
    return slo


def compute_unloaded_us(request: UserRequest, engine: EngineProfile) -> int:
    """How long an idle engine takes for a request."""
    return compute_alone_us(engine, Demand(request.prompt_tokens, request.completion_tokens))


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


def _is_within(request: UserRequest, bound_us: int) -> bool:
    return request.outcome is Outcome.ANSWERED and request.ended_us - request.arrival_us <= bound_us


def _get_ttft_us(request: UserRequest) -> int:
    """A request that is not streamed shows its first output when it shows the last."""
    seen_us = request.first_output_us if request.is_streamed else request.ended_us
    return seen_us - request.arrival_us


def _get_tpot_us(request: UserRequest) -> int:
    after_first = max(1, request.completion_tokens - 1)
    return (request.ended_us - request.arrival_us - _get_ttft_us(request)) // after_first


def _count(requests: Sequence[UserRequest], outcome: Outcome) -> int:
    return sum(one.outcome is outcome for one in requests)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
