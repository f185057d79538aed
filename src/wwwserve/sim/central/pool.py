"""The simplest ideal: each request goes at once where all work, this included, ends the soonest.

It is told how long each answer will be, and adds up shares of engines rather than foresee batches;
so it can also be played in front of real engines, which `bench network` does.
"""

from collections.abc import Sequence

from wwwserve.enginemodel import Demand, EngineProfile, compute_saturated_us, compute_share_us
from wwwserve.sim.jobs import Job


class Dispatcher:
    """Knows how much work each engine has, and where one more request is done soonest."""

    def __init__(self, profiles: Sequence[EngineProfile], typical: Sequence[Demand]) -> None:
        """`typical` requests tell how fast each engine is when it is full."""
        self._profiles = tuple(profiles)
        self._work_us = [0.0] * len(profiles)
        self._scales = [_compute_scale(profile, typical) for profile in profiles]

    def choose(self, demand: Demand) -> int:
        """The engine that takes a request, by its number; `finish` it there later."""
        ends = [
            work_us + self._compute_cost_us(engine, demand)
            for engine, work_us in enumerate(self._work_us)
        ]
        best = min(range(len(ends)), key=ends.__getitem__)
        self._work_us[best] = ends[best]
        return best

    def finish(self, engine: int, demand: Demand) -> None:
        """A request is over, well or not."""
        self._work_us[engine] -= self._compute_cost_us(engine, demand)

    def _compute_cost_us(self, engine: int, demand: Demand) -> float:
        return self._scales[engine] * compute_share_us(self._profiles[engine], demand)


class PoolScheduler:
    """A `Dispatcher` as a `Scheduler`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._waiting: list[Job] = []
        self._places: dict[int, int] = {}

    def arrive(self, job: Job) -> None:
        """See `Scheduler`."""
        self._waiting.append(job)

    def leave(self, job: Job, made_tokens: int) -> None:
        """See `Scheduler`; there is nothing to learn from how long an answer was."""
        assert made_tokens >= 0, made_tokens
        self._dispatcher.finish(self._places.pop(job.number), job.truth)

    def place(self, now_us: int) -> list[tuple[Job, int]]:
        """See `Scheduler`; whatever the time, nothing waits."""
        assert now_us >= 0, now_us
        placed = [(job, self._dispatcher.choose(job.truth)) for job in self._waiting]
        self._places |= {job.number: engine for job, engine in placed}
        self._waiting.clear()
        return placed


def _compute_scale(profile: EngineProfile, typical: Sequence[Demand]) -> float:
    """How much more requests really cost a full engine than their shares say."""
    shares = sum(compute_share_us(profile, demand) for demand in typical)
    return compute_saturated_us(profile, typical) * len(typical) / shares
