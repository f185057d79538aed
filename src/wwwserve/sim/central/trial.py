"""A scenario played with one scheduler in front of its engines; nodes, links and faults are not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wwwserve.core.effects import RequestError, RequestErrorCode
from wwwserve.sim.central.jobs import Job, Scheduler, Station, create_job
from wwwserve.sim.central.pool import Dispatcher, PoolScheduler
from wwwserve.sim.central.schedulers import RULES, CentralScheduler
from wwwserve.sim.engines import PretendEngine, Run
from wwwserve.sim.objectives import parse_objective
from wwwserve.sim.plans import Scenario
from wwwserve.sim.profiles import get_profile, get_reference
from wwwserve.sim.traces import list_demands
from wwwserve.sim.truth import Outcome, UserRequest, digest_outcomes
from wwwserve.sim.workload import Arrival, create_entropy, draw_requests, draw_typical
from wwwserve.sim.world import World
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Usage

POOL = "pool"
"""The strategy that is not one of `RULES`."""


@dataclass(slots=True, eq=False)
class _Work:
    """One request from its arrival to its end; the listener of its run."""

    central: "Central"
    request: UserRequest
    job: Job
    engine: int | None = None
    run: Run | None = None

    def on_first_output(self) -> None:
        """See `Listener`."""
        self.request.first_output_us = self.central.world.now_us

    def on_progress(self, completion_tokens: int) -> None:
        """See `Listener`; the engine itself is asked instead."""

    def on_end(self, usage: Usage) -> None:
        """See `Listener`."""
        assert usage.completion_tokens == self.request.completion_tokens, self.request
        self.request.executor = self.engine
        self.central.finish(self, Outcome.ANSWERED)

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        """See `Listener`."""
        self.request.error = RequestError(RequestErrorCode.FAILED, f"{kind.name} {status} {detail}")
        self.central.finish(self, Outcome.FAILED)


class Central:
    """The engines of a scenario behind one scheduler."""

    def __init__(self, scenario: Scenario, seed: int, strategy: str) -> None:
        """Nothing happens before `start`. Raises `BadInput` for a plan that cannot be."""
        entropy = create_entropy(scenario, seed)
        self.scenario = scenario
        self.seed = seed
        self.requests: dict[bytes, UserRequest] = {}
        self.world = World(entropy.split("world"))
        self.node_names = list(scenario.nodes)
        self.message_counts: dict[str, int] = {}
        self.frame_count = 0
        self._strategy = strategy
        self._engines = [
            PretendEngine(self.world, plan.engine, plan.models, entropy.split(f"engine {name}"))
            for name, plan in scenario.nodes.items()
        ]
        for engine in self._engines:
            engine.tells_progress = False
        self._stations = [
            Station(get_profile(plan.engine), plan.models, self._read_made, engine.count_cached)
            for plan, engine in zip(scenario.nodes.values(), self._engines, strict=True)
        ]
        self._works: dict[int, _Work] = {}
        """Not over yet, by their jobs' numbers."""
        self._arrived = 0
        self._scheduler: Scheduler | None = None

    def start(self, trace: Sequence[Arrival] | None = None) -> None:
        """Arrange all requests: the same as the network has with this seed."""
        self._scheduler = self._create_scheduler(trace)
        self._await_next(iter(draw_requests(self.scenario, self.seed, trace)))

    def run_until(self, moment_us: int) -> None:
        """Let virtual time pass."""
        self.world.run_until(moment_us)

    def is_quiet(self) -> bool:
        """Whether no request is open."""
        return not self._works

    def get_digest(self) -> str:
        """A digest over what became of each request."""
        return digest_outcomes(self.requests.values())

    def finish(self, work: _Work, outcome: Outcome) -> None:
        """A request is over."""
        request = work.request
        if request.outcome is not Outcome.OPEN:
            return
        request.outcome = outcome
        request.ended_us = self.world.now_us
        del self._works[work.job.number]
        if work.engine is not None:
            del self._stations[work.engine].jobs[work.job.number]
        is_whole = outcome is Outcome.ANSWERED
        self._get_scheduler().leave(work.job, request.completion_tokens if is_whole else 0)
        # Others may end at this very instant: what is free is seen when all have.
        self.world.after(0, self._place)

    def _create_scheduler(self, trace: Sequence[Arrival] | None) -> Scheduler:
        if self._strategy == POOL:
            typical = list_demands(trace or ()) or draw_typical(self.scenario.workload)
            profiles = [station.profile for station in self._stations]
            return PoolScheduler(Dispatcher(profiles, typical))
        return CentralScheduler(
            RULES[self._strategy],
            self._stations,
            parse_objective(self.scenario.objectives[0]),
            get_reference(self.scenario),
        )

    def _get_scheduler(self) -> Scheduler:
        assert self._scheduler is not None, "it has started"
        return self._scheduler

    def _read_made(self, job: Job) -> int:
        work = self._works[job.number]
        if work.engine is None or work.run is None:
            return 0
        return self._engines[work.engine].count_made(work.run)

    def _await_next(self, requests: Iterator[UserRequest]) -> None:
        request = next(requests, None)
        if request is None:
            return

        def arrive() -> None:
            self._submit(request)
            self._await_next(requests)

        self.world.at(request.arrival_us, arrive)

    def _submit(self, request: UserRequest) -> None:
        self.requests[request.request] = request
        self._arrived += 1
        job = create_job(request, self._arrived)
        work = self._works[job.number] = _Work(self, request, job)
        if request.patience_us:
            self.world.after(request.patience_us, lambda: self._give_up(work, Outcome.CANCELLED))
        if request.deadline_us:
            self.world.after(request.deadline_us, lambda: self._give_up(work, Outcome.FAILED))
        self._get_scheduler().arrive(job)
        self._place()

    def _place(self) -> None:
        for busy in self._engines:
            busy.catch_up()
        for job, engine in self._get_scheduler().place(self.world.now_us):
            work = self._works[job.number]
            work.engine = engine
            self._stations[engine].jobs[job.number] = job
            work.run = self._engines[engine].start(work.request, work)

    def _give_up(self, work: _Work, outcome: Outcome) -> None:
        if work.engine is not None and work.run is not None:
            self._engines[work.engine].stop(work.run)
        self.finish(work, outcome)
