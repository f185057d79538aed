"""What a network is held against: one dispatcher in front of the same engines, no nodes between.

The dispatcher is ideal: it sees every request and every engine, knows how long each answer will be,
and nothing takes time but the engines. Each request goes at once to the engine that would be
through with all its work the soonest, this request included.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wwwserve.core.effects import RequestError, RequestErrorCode
from wwwserve.enginemodel import Demand, EngineProfile, compute_saturated_us, compute_share_us
from wwwserve.sim.engines import PretendEngine, Run
from wwwserve.sim.plans import Scenario
from wwwserve.sim.profiles import get_profile
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.sim.workload import (
    Arrival,
    create_entropy,
    draw_requests,
    draw_typical,
    list_demands,
)
from wwwserve.sim.world import World
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Usage


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


def _compute_scale(profile: EngineProfile, typical: Sequence[Demand]) -> float:
    """How much more requests really cost a full engine than their shares say."""
    shares = sum(compute_share_us(profile, demand) for demand in typical)
    return compute_saturated_us(profile, typical) * len(typical) / shares


@dataclass(slots=True, eq=False)
class _PooledRun:
    """One request on its engine; the listener of its run."""

    pool: "Pool"
    request: UserRequest
    engine: int
    run: Run | None = None

    def on_first_output(self) -> None:
        """See `Listener`."""
        self.request.first_output_us = self.pool.world.now_us

    def on_progress(self, completion_tokens: int) -> None:
        """See `Listener`; nobody asks."""

    def on_end(self, usage: Usage) -> None:
        """See `Listener`."""
        assert usage.completion_tokens == self.request.completion_tokens, self.request
        self.request.executor = self.engine
        self.pool.finish(self, Outcome.ANSWERED)

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        """See `Listener`."""
        self.request.error = RequestError(RequestErrorCode.FAILED, f"{kind.name} {status} {detail}")
        self.pool.finish(self, Outcome.FAILED)


class Pool:
    """The engines of a scenario behind one dispatcher; its nodes, links and faults do not exist."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        """Nothing happens before `start`. Raises `BadInput` for a plan that cannot be."""
        entropy = create_entropy(scenario, seed)
        self.scenario = scenario
        self.seed = seed
        self.requests: dict[bytes, UserRequest] = {}
        self.world = World(entropy.split("world"))
        self.node_names = list(scenario.nodes)
        self.message_counts: dict[str, int] = {}
        self.frame_count = 0
        self._engines = [
            PretendEngine(self.world, plan.engine, plan.models, entropy.split(f"engine {name}"))
            for name, plan in scenario.nodes.items()
        ]
        self._dispatcher: Dispatcher | None = None

    def start(self, trace: Sequence[Arrival] | None = None) -> None:
        """Arrange all requests: the same as the network has with this seed."""
        nodes = list(self.scenario.nodes.values())
        typical = list_demands(trace or ()) or draw_typical(self.scenario.workload)
        self._dispatcher = Dispatcher([get_profile(plan.engine) for plan in nodes], typical)
        self._await_next(iter(draw_requests(self.scenario, self.seed, trace)))

    def run_until(self, moment_us: int) -> None:
        """Let virtual time pass."""
        self.world.run_until(moment_us)

    def is_quiet(self) -> bool:
        """Whether no request is open."""
        return all(request.outcome is not Outcome.OPEN for request in self.requests.values())

    def get_digest(self) -> str:
        """A digest over what became of each request."""
        digest = hashlib.blake2b(digest_size=16)
        for request in self.requests.values():
            digest.update(f"{request.outcome.value} {request.executor} {request.ended_us}".encode())
        return digest.hexdigest()

    def finish(self, pooled: _PooledRun, outcome: Outcome) -> None:
        """A request is over."""
        request = pooled.request
        if request.outcome is Outcome.OPEN:
            assert self._dispatcher is not None, "it has started"
            self._dispatcher.finish(pooled.engine, _get_demand(request))
            request.outcome = outcome
            request.ended_us = self.world.now_us

    def _await_next(self, requests: Iterator[UserRequest]) -> None:
        request = next(requests, None)
        if request is None:
            return

        def arrive() -> None:
            self._submit(request)
            self._await_next(requests)

        self.world.at(request.arrival_us, arrive)

    def _submit(self, request: UserRequest) -> None:
        assert self._dispatcher is not None, "it has started"
        self.requests[request.request] = request
        pooled = _PooledRun(self, request, self._dispatcher.choose(_get_demand(request)))
        pooled.run = self._engines[pooled.engine].start(request, pooled)
        if request.patience_us:
            self.world.after(request.patience_us, lambda: self._give_up(pooled, Outcome.CANCELLED))
        if request.deadline_us:
            self.world.after(request.deadline_us, lambda: self._give_up(pooled, Outcome.FAILED))

    def _give_up(self, pooled: _PooledRun, outcome: Outcome) -> None:
        assert pooled.run is not None, "it was started"
        self._engines[pooled.engine].stop(pooled.run)
        self.finish(pooled, outcome)


def _get_demand(request: UserRequest) -> Demand:
    return Demand(request.prompt_tokens, request.completion_tokens)
