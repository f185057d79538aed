"""The nodes of a baseline's world: engines, lines between them, and requests that travel."""

from collections.abc import Callable
from typing import Protocol

from wwwserve.core.engines import EngineHealth
from wwwserve.core.entropy import Entropy
from wwwserve.sim.baselines.draws import draw_weighted
from wwwserve.sim.baselines.sites import PERMILLE, REPLY_WAIT_US, EngineUse, Parcel, Reply, Rule
from wwwserve.sim.engines import PretendEngine, Run
from wwwserve.sim.network import draw_delay_us, draw_latency_us
from wwwserve.sim.plans import NetworkPlan, NodePlan
from wwwserve.sim.profiles import get_profile
from wwwserve.sim.world import Action, World

_FULL = EngineUse(usage_permille=PERMILLE, waiting=0)
"""What is taken of an engine that is not ready."""


class Lines:
    """What is sent from one node to another arrives: later, in order, and always.

    Each pair has the latency that the network of the same scenario and seed gives it.
    """

    def __init__(self, world: World, plan: NetworkPlan, nodes: int) -> None:
        self._world = world
        self._plan = plan
        self._entropy = world.entropy.split("network")
        self._latencies_us: dict[tuple[int, int], int] = {}
        self._arrivals_us: dict[tuple[int, int], int] = {}
        """When the latest thing on its way arrives."""
        for node in range(nodes):
            for other in range(node):
                latency_us = draw_latency_us(plan, self._entropy)
                self._latencies_us[node, other] = self._latencies_us[other, node] = latency_us

    def carry(self, sender: int, receiver: int, action: Action, *, extra_us: int = 0) -> None:
        """Do `action` when what is sent now arrives."""
        way = (sender, receiver)
        delay_us = draw_delay_us(self._plan, self._latencies_us[way], self._entropy)
        arrival_us = max(self._arrivals_us.get(way, 0), self._world.now_us + delay_us)
        self._arrivals_us[way] = arrival_us
        self._world.at(arrival_us + extra_us, action)


class Surroundings(Protocol):
    """What a node needs of the world around it."""

    world: World
    message_counts: dict[str, int]
    nodes: list["Node"]
    seats: list[int]
    """Of each node."""
    lines: Lines

    def run_here(self, parcel: Parcel) -> None:
        """Run a request on the engine of the last node on its path."""
        ...

    def pass_on(self, parcel: Parcel, number: int) -> None:
        """Carry a request to another node."""
        ...


class Node:
    """One node: a rule and its engine; the rule's `Site`."""

    def __init__(
        self,
        number: int,
        around: Surroundings,
        engine: PretendEngine,
        plan: NodePlan,
        entropy: Entropy,
    ) -> None:
        """It decides nothing before `follow`."""
        self.number = number
        self.entropy = entropy
        self.engine = engine
        self.profile = get_profile(plan.engine)
        self.models = plan.models
        self.runs: dict[int, tuple[Parcel, Run]] = {}
        """What its engine has, by the jobs' numbers, in the order it came."""
        self._around = around
        self._rule: Rule | None = None

    # -- told of what happens --------------------------------------------------------------------

    def follow(self, rule: Rule) -> None:
        """Decide by this rule."""
        self._rule = rule

    @property
    def rule(self) -> Rule:
        """The rule it decides by."""
        assert self._rule is not None, "the world has started"
        return self._rule

    def take(self, parcel: Parcel) -> None:
        """A request is here; its rule decides, if this node could run it at all."""
        if parcel.job.model in self.models:
            self.rule.take(parcel)
            return
        seats = {node: self.get_seats(node) for node in self.list_others(parcel)}
        for node in draw_weighted(self.entropy, seats, 1):
            self.send(parcel, node)

    # -- what its rule asks for ------------------------------------------------------------------

    def read_use(self) -> EngineUse:
        """See `Site`."""
        reading = self.engine.read_state()
        if reading.health is not EngineHealth.READY:
            return _FULL
        waiting = reading.waiting or 0
        if reading.slots:
            taken = (reading.running or 0) + waiting
            return EngineUse(taken * PERMILLE // reading.slots, waiting)
        # Engines admit in order, so who waits came last.
        newest = list(self.runs.values())[-waiting:] if waiting else []
        waiting_tokens = sum(parcel.job.prompt_tokens for parcel, _ in newest)
        usage_permille = reading.kv_used_permille or 0
        usage_permille += waiting_tokens * PERMILLE // self.profile.kv_capacity_tokens
        return EngineUse(usage_permille, waiting)

    def list_others(self, parcel: Parcel) -> list[int]:
        """See `Site`."""
        return [
            node.number
            for node in self._around.nodes
            if node is not self
            and node.number not in parcel.path
            and parcel.job.model in node.models
        ]

    def get_seats(self, node: int) -> int:
        """See `Site`."""
        return self._around.seats[node]

    def run(self, parcel: Parcel) -> None:
        """See `Site`."""
        if not parcel.is_over:
            self._around.run_here(parcel)

    def send(self, parcel: Parcel, node: int) -> None:
        """See `Site`."""
        if not parcel.is_over:
            self._around.pass_on(parcel, node)

    def ask(self, parcel: Parcel, node: int, on_reply: Callable[[Reply], None]) -> None:
        """See `Site`."""
        around, other = self._around, self._around.nodes[node]
        is_waiting = True

        def settle(reply: Reply) -> None:
            nonlocal is_waiting
            if is_waiting:
                is_waiting = False
                on_reply(reply)

        def answer() -> None:
            reply = other.rule.reply(parcel)
            _count(around.message_counts, "Quote")
            around.lines.carry(node, self.number, lambda: settle(reply))

        _count(around.message_counts, "Probe")
        around.lines.carry(self.number, node, answer)
        self.after(REPLY_WAIT_US, lambda: settle(None))

    def after(self, span_us: int, action: Action) -> None:
        """See `Site`."""
        self._around.world.after(span_us, action)


def _count(counts: dict[str, int], kind: str) -> None:
    counts[kind] = counts.get(kind, 0) + 1
