"""A scenario played without peers: its engines, and its users' requests from arrival to end.

Nobody joins, leaves or fails. Which engine runs a request, and how long the news of it travels, is
for those who build on this: one scheduler (`sim.central`), or a rule for each node
(`sim.baselines`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wwwserve.core.effects import RequestError, RequestErrorCode
from wwwserve.sim.engines import PretendEngine, Run
from wwwserve.sim.jobs import Job, create_job
from wwwserve.sim.plans import Scenario
from wwwserve.sim.truth import Outcome, UserRequest, digest_outcomes
from wwwserve.sim.workload import Arrival, create_entropy, draw_requests
from wwwserve.sim.world import Action, World
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Usage


class PlainTrial(ABC):
    """The engines of a scenario and everybody's requests."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        """Nothing happens before `start`. Raises `BadInput` for a plan that cannot be."""
        self.scenario = scenario
        self.seed = seed
        self.entropy = create_entropy(scenario, seed)
        self.requests: dict[bytes, UserRequest] = {}
        self.world = World(self.entropy.split("world"))
        self.node_names = list(scenario.nodes)
        self.message_counts: dict[str, int] = {}
        self.frame_count = 0
        self.engines = [
            PretendEngine(
                self.world, plan.engine, plan.models, self.entropy.split(f"engine {name}")
            )
            for name, plan in scenario.nodes.items()
        ]
        for engine in self.engines:
            engine.tells_progress = False
        self._arrived: list[UserRequest] = []
        """All so far; their jobs count them."""
        self._open = 0

    def start(self, trace: Sequence[Arrival] | None = None) -> None:
        """Arrange all requests: the same as the network has with this seed."""
        self.prepare(trace)
        self._await_next(iter(draw_requests(self.scenario, self.seed, trace)))

    def run_until(self, moment_us: int) -> None:
        """Let virtual time pass."""
        self.world.run_until(moment_us)

    def is_quiet(self) -> bool:
        """Whether no request is open."""
        return not self._open

    def get_digest(self) -> str:
        """A digest over what became of each request."""
        return digest_outcomes(self.requests.values())

    # -- what decides ----------------------------------------------------------------------------

    @abstractmethod
    def prepare(self, trace: Sequence[Arrival] | None) -> None:
        """The requests will be these, or drawn from the scenario: make whatever decides."""

    @abstractmethod
    def place(self, job: Job) -> None:
        """A request has come: decide about it, now or later."""

    @abstractmethod
    def withdraw(self, job: Job) -> None:
        """Its user has given up: wherever a request is, it is to stop."""

    @abstractmethod
    def carry_back(self, job: Job, action: Action) -> None:
        """Do something where a request's user is, when the news from its engine is there."""

    @abstractmethod
    def leave_engine(self, job: Job) -> None:
        """A request's run is over."""

    @abstractmethod
    def note_over(self, job: Job, outcome: Outcome) -> None:
        """A request is over for its user."""

    # -- the life of a request -------------------------------------------------------------------

    def get_request(self, job: Job) -> UserRequest:
        """The request that a job stands for."""
        return self._arrived[job.number]

    def run(self, job: Job, engine: int) -> Run:
        """Let an engine run a request."""
        request = self.get_request(job)
        return self.engines[engine].start(request, _Answer(self, job, request, engine))

    def finish(self, job: Job, outcome: Outcome) -> None:
        """A request is over for its user, unless it was before."""
        request = self.get_request(job)
        if request.outcome is not Outcome.OPEN:
            return
        request.outcome = outcome
        request.ended_us = self.world.now_us
        self._open -= 1
        self.note_over(job, outcome)

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
        job = create_job(request, len(self._arrived))
        self._arrived.append(request)
        self._open += 1
        if request.patience_us:
            self.world.after(request.patience_us, lambda: self._give_up(job, Outcome.CANCELLED))
        if request.deadline_us:
            self.world.after(request.deadline_us, lambda: self._give_up(job, Outcome.FAILED))
        self.place(job)

    def _give_up(self, job: Job, outcome: Outcome) -> None:
        if self.get_request(job).outcome is Outcome.OPEN:
            # An answer that is whole at this very instant counts.
            self.withdraw(job)
            self.finish(job, outcome)


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """One run of a request, and what its user hears of it; the run's listener."""

    trial: PlainTrial
    job: Job
    request: UserRequest
    engine: int

    def on_first_output(self) -> None:
        """See `Listener`."""
        self.trial.carry_back(self.job, self._show_first)

    def on_progress(self, completion_tokens: int) -> None:
        """See `Listener`; the engine itself is asked instead."""

    def on_end(self, usage: Usage) -> None:
        """See `Listener`."""
        assert usage.completion_tokens == self.request.completion_tokens, self.request
        self.trial.leave_engine(self.job)
        self.trial.carry_back(self.job, self._finish_whole)

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        """See `Listener`."""
        self.trial.leave_engine(self.job)
        error = RequestError(RequestErrorCode.FAILED, f"{kind.name} {status} {detail}")
        self.trial.carry_back(self.job, lambda: self._finish_broken(error))

    def _show_first(self) -> None:
        if self.request.outcome is Outcome.OPEN:
            self.request.first_output_us = self.trial.world.now_us

    def _finish_whole(self) -> None:
        if self.request.outcome is Outcome.OPEN:
            self.request.executor = self.engine
            self.trial.finish(self.job, Outcome.ANSWERED)

    def _finish_broken(self, error: RequestError) -> None:
        if self.request.outcome is Outcome.OPEN:
            self.request.error = error
            self.trial.finish(self.job, Outcome.FAILED)
