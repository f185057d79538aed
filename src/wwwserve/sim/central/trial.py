"""A scenario played with one scheduler in front of its engines; nodes, links and faults are not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wwwserve.sim.central.pool import Dispatcher, PoolScheduler
from wwwserve.sim.central.schedulers import RULES, CentralScheduler
from wwwserve.sim.central.stations import Scheduler, Station
from wwwserve.sim.jobs import Job
from wwwserve.sim.objectives import parse_objective
from wwwserve.sim.plain_trial import PlainTrial
from wwwserve.sim.plans import Scenario
from wwwserve.sim.profiles import get_profile, get_reference
from wwwserve.sim.traces import list_demands
from wwwserve.sim.truth import Outcome
from wwwserve.sim.workload import Arrival, draw_typical
from wwwserve.sim.world import Action

if TYPE_CHECKING:
    from wwwserve.sim.engines import Run

POOL = "pool"
"""The strategy that is not one of `RULES`."""


class Central(PlainTrial):
    """The engines of a scenario behind one scheduler."""

    def __init__(self, scenario: Scenario, seed: int, strategy: str) -> None:
        """Nothing happens before `start`. Raises `BadInput` for a plan that cannot be."""
        super().__init__(scenario, seed)
        self._strategy = strategy
        self._stations = [
            Station(get_profile(plan.engine), plan.models, self._read_made, engine.count_cached)
            for plan, engine in zip(scenario.nodes.values(), self.engines, strict=True)
        ]
        self._runs: dict[int, tuple[int, Run]] = {}
        """The engine and the run of each request that has one, by its job's number."""
        self._scheduler: Scheduler | None = None

    def prepare(self, trace: Sequence[Arrival] | None) -> None:
        """See `PlainTrial`."""
        if self._strategy == POOL:
            typical = list_demands(trace or ()) or draw_typical(self.scenario.workload)
            profiles = [station.profile for station in self._stations]
            self._scheduler = PoolScheduler(Dispatcher(profiles, typical))
            return
        self._scheduler = CentralScheduler(
            RULES[self._strategy],
            self._stations,
            parse_objective(self.scenario.objectives[0]),
            get_reference(self.scenario),
        )

    def place(self, job: Job) -> None:
        """See `PlainTrial`."""
        self._get_scheduler().arrive(job)
        self._place_waiting()

    def withdraw(self, job: Job) -> None:
        """See `PlainTrial`."""
        if job.number in self._runs:
            engine, run = self._runs[job.number]
            self.engines[engine].stop(run)

    def carry_back(self, job: Job, action: Action) -> None:
        """See `PlainTrial`; no news takes time here."""
        assert job.number in self._runs, job
        action()

    def leave_engine(self, job: Job) -> None:
        """See `PlainTrial`; its end for its user is at the same instant."""

    def note_over(self, job: Job, outcome: Outcome) -> None:
        """See `PlainTrial`."""
        if job.number in self._runs:
            engine, _ = self._runs.pop(job.number)
            del self._stations[engine].jobs[job.number]
        is_whole = outcome is Outcome.ANSWERED
        made_tokens = self.get_request(job).completion_tokens if is_whole else 0
        self._get_scheduler().leave(job, made_tokens)
        # Others may end at this very instant: what is free is seen when all have.
        self.world.after(0, self._place_waiting)

    def _get_scheduler(self) -> Scheduler:
        assert self._scheduler is not None, "it has started"
        return self._scheduler

    def _read_made(self, job: Job) -> int:
        if job.number not in self._runs:
            return 0
        engine, run = self._runs[job.number]
        return self.engines[engine].count_made(run)

    def _place_waiting(self) -> None:
        for busy in self.engines:
            busy.catch_up()
        for job, engine in self._get_scheduler().place(self.world.now_us):
            self._stations[engine].jobs[job.number] = job
            self._runs[job.number] = engine, self.run(job, engine)
