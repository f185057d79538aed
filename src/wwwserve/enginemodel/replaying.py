"""A list of demands run through an engine from the first to the last: when each was answered."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wwwserve.enginemodel.batching import BatchingEngine
from wwwserve.enginemodel.demands import Demand, SequenceId
from wwwserve.enginemodel.profiles import EngineProfile
from wwwserve.values.moments import NEVER, Moment


@dataclass(frozen=True, slots=True)
class Arrival:
    """One demand and when it comes, in microseconds from the start."""

    at: Moment
    demand: Demand


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long a request took: to its first token, and to its last; and between two of them."""

    ttft_us: float
    e2e_us: float
    tpot_us: float
    """Mean time from one token to the next; 0 for a single token."""


def replay(profile: EngineProfile, arrivals: Sequence[Arrival]) -> list[Lateness]:
    """How long each of `arrivals` (in order of time) takes on an engine of its own."""
    engine = BatchingEngine(profile)
    coming = deque(enumerate(arrivals))
    first: dict[SequenceId, Moment] = {}
    last: dict[SequenceId, Moment] = {}
    while coming or engine.next_deadline() != NEVER:
        now = min(engine.next_deadline(), coming[0][1].at if coming else NEVER)
        while coming and coming[0][1].at <= now:
            index, arrival = coming.popleft()
            engine.submit(SequenceId(index), arrival.demand, arrival.at)
        for iteration in engine.advance(now):
            first |= dict.fromkeys(iteration.first, iteration.ended)
            last |= dict.fromkeys(iteration.finished, iteration.ended)
    return [
        compute_lateness(arrival, first[SequenceId(index)], last[SequenceId(index)])
        for index, arrival in enumerate(arrivals)
    ]


def compute_lateness(arrival: Arrival, first: Moment, last: Moment) -> Lateness:
    """What a user saw of a request whose first and last token came at these instants."""
    gaps = arrival.demand.output_tokens - 1
    return Lateness(
        ttft_us=first - arrival.at,
        e2e_us=last - arrival.at,
        tpot_us=(last - first) / gaps if gaps else 0.0,
    )
