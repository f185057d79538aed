"""A scenario played by nodes that follow a baseline's rule; nobody joins, leaves or fails."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wwwserve.core.effects import RequestError, RequestErrorCode
from wwwserve.sim.baselines.nodes import Lines, Node
from wwwserve.sim.baselines.sites import Baseline, Parcel
from wwwserve.sim.central import create_job
from wwwserve.sim.engines import PretendEngine
from wwwserve.sim.plans import Scenario
from wwwserve.sim.truth import Outcome, UserRequest, digest_outcomes
from wwwserve.sim.workload import Arrival, create_entropy, draw_requests
from wwwserve.sim.world import Action, World
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Usage

_EQUAL_SEATS = 1
"""Of every node, where the plan names no seats."""


@dataclass(slots=True, eq=False)
class _Travel:
    """One request from its arrival to its end; the listener of its run."""

    trial: "BaselineTrial"
    request: UserRequest
    parcel: Parcel

    def on_first_output(self) -> None:
        """See `Listener`."""
        self.trial.carry_back(self.parcel, self._show_first)

    def on_progress(self, completion_tokens: int) -> None:
        """See `Listener`; the engine itself is asked instead."""

    def on_end(self, usage: Usage) -> None:
        """See `Listener`."""
        assert usage.completion_tokens == self.request.completion_tokens, self.request
        self.trial.leave_engine(self.parcel)
        self.trial.carry_back(self.parcel, self._finish_whole)

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        """See `Listener`."""
        self.trial.leave_engine(self.parcel)
        error = RequestError(RequestErrorCode.FAILED, f"{kind.name} {status} {detail}")
        self.trial.carry_back(self.parcel, lambda: self._finish_broken(error))

    def _show_first(self) -> None:
        if self.request.outcome is Outcome.OPEN:
            self.request.first_output_us = self.trial.world.now_us

    def _finish_whole(self) -> None:
        if self.request.outcome is Outcome.OPEN:
            self.request.executor = self.parcel.path[-1]
            self.trial.finish(self.request, Outcome.ANSWERED)
            home = self.trial.nodes[self.parcel.path[0]]
            home.rule.notice_answer(self.parcel)

    def _finish_broken(self, error: RequestError) -> None:
        if self.request.outcome is Outcome.OPEN:
            self.request.error = error
            self.trial.finish(self.request, Outcome.FAILED)


class BaselineTrial:
    """The nodes of a scenario, each with its engine and a rule."""

    def __init__(self, scenario: Scenario, seed: int, baseline: Baseline) -> None:
        """Nothing happens before `start`. Raises `BadInput` for a plan that cannot be."""
        entropy = create_entropy(scenario, seed)
        self.scenario = scenario
        self.seed = seed
        self.requests: dict[bytes, UserRequest] = {}
        self.world = World(entropy.split("world"))
        self.node_names = list(scenario.nodes)
        self.message_counts: dict[str, int] = {}
        self.frame_count = 0
        plans = scenario.nodes.values()
        is_seated = any(plan.seats for plan in plans)
        self.seats = [plan.seats if is_seated else _EQUAL_SEATS for plan in plans]
        self.lines = Lines(self.world, scenario.network, len(scenario.nodes))
        self.nodes = [
            Node(
                number,
                self,
                PretendEngine(
                    self.world, plan.engine, plan.models, entropy.split(f"engine {name}")
                ),
                plan,
                entropy.split(f"rule {name}"),
            )
            for number, (name, plan) in enumerate(scenario.nodes.items())
        ]
        for node in self.nodes:
            node.engine.tells_progress = False
        self._baseline = baseline
        self._arrived: list[UserRequest] = []
        """All so far; their jobs count them."""
        self._open = 0

    def start(self, trace: Sequence[Arrival] | None = None) -> None:
        """Arrange all requests: the same as the network has with this seed."""
        for node, rule in zip(self.nodes, self._baseline.create_rules(self.nodes), strict=True):
            node.follow(rule)
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

    def finish(self, request: UserRequest, outcome: Outcome) -> None:
        """A request is over for its user."""
        request.outcome = outcome
        request.ended_us = self.world.now_us
        self._open -= 1

    # -- what nodes ask for ----------------------------------------------------------------------

    def run(self, parcel: Parcel) -> None:
        """See `Surroundings`."""
        node = self.nodes[parcel.path[-1]]
        request = self._find_request(parcel)
        run = node.engine.start(request, _Travel(self, request, parcel))
        node.runs[parcel.job.number] = (parcel, run)

    def pass_on(self, parcel: Parcel, number: int) -> None:
        """See `Surroundings`; its body takes time too."""
        sender = parcel.path[-1]
        parcel.path.append(number)
        self.frame_count += 1
        body_bytes = self._find_request(parcel).prompt_tokens * self.scenario.body_bytes_per_token
        self.lines.carry(
            sender,
            number,
            lambda: self._take(parcel),
            extra_us=body_bytes * SECOND // self.scenario.network.bytes_per_s,
        )

    def carry_back(self, parcel: Parcel, action: Action) -> None:
        """Do something at a request's own node when the news is there, hop by hop."""
        self._carry(parcel, len(parcel.path) - 1, action)

    def leave_engine(self, parcel: Parcel) -> None:
        """A run is over; its node hears of it when all that ends now has ended."""
        node = self.nodes[parcel.path[-1]]
        del node.runs[parcel.job.number]
        self.world.after(0, node.rule.notice_end)

    def _carry(self, parcel: Parcel, place: int, action: Action) -> None:
        if place == 0:
            action()
            return
        sender, receiver = parcel.path[place], parcel.path[place - 1]
        self.frame_count += 1
        self.lines.carry(sender, receiver, lambda: self._carry(parcel, place - 1, action))

    def _take(self, parcel: Parcel) -> None:
        if not parcel.is_over:
            self.nodes[parcel.path[-1]].take(parcel)

    def _find_request(self, parcel: Parcel) -> UserRequest:
        return self._arrived[parcel.job.number]

    # -- users -----------------------------------------------------------------------------------

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
        parcel = Parcel(create_job(request, len(self._arrived)), [request.origin])
        self._arrived.append(request)
        self._open += 1
        if request.patience_us:
            self.world.after(request.patience_us, lambda: self._give_up(parcel, Outcome.CANCELLED))
        if request.deadline_us:
            self.world.after(request.deadline_us, lambda: self._give_up(parcel, Outcome.FAILED))
        self._take(parcel)

    def _give_up(self, parcel: Parcel, outcome: Outcome) -> None:
        request = self._find_request(parcel)
        if request.outcome is Outcome.OPEN:
            parcel.is_over = True
            self.finish(request, outcome)
            self._stop_from(parcel, 0)

    def _stop_from(self, parcel: Parcel, place: int) -> None:
        """Let the word that nobody waits follow a request to where it runs, if it does."""
        if place + 1 < len(parcel.path):
            self.frame_count += 1
            sender, receiver = parcel.path[place : place + 2]
            self.lines.carry(sender, receiver, lambda: self._stop_from(parcel, place + 1))
            return
        node = self.nodes[parcel.path[place]]
        if parcel.job.number in node.runs:
            _, run = node.runs[parcel.job.number]
            node.engine.stop(run)
            if parcel.job.number in node.runs:
                self.leave_engine(parcel)
