"""Swarm testing: a seed chooses the network, its faults, users, policies and cheats, and runs them.

First *safety*: faults are on, and nothing bad may ever happen. Then *liveness*: a core of honest
nodes is healed and its faults stop, though nodes outside it may stay broken or dishonest. Now
everything good must happen before a deadline: the core sees itself whole, every open request ends,
every new one is answered, and in a network that pays every hold is settled.
"""

from collections.abc import Callable, Sequence
from typing import get_args

from msgspec.structs import replace

from wwwserve.core.entropy import Entropy
from wwwserve.core.facts import MemberStatus
from wwwserve.core.peer import Peer
from wwwserve.sim.cluster import Cluster, CreateCore
from wwwserve.sim.hosts import Host
from wwwserve.sim.people import PEOPLE
from wwwserve.sim.plans import (
    MODEL,
    EnginePlan,
    Fault,
    FaultKind,
    LedgerPlan,
    NetworkPlan,
    NodePlan,
    PolicyValue,
    Scenario,
    WorkloadPlan,
)
from wwwserve.sim.runs import STEP_US, RunResult, Stuck, conclude, describe_open, judge
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.ids import RequestId
from wwwserve.values.limits import ATTEMPTS_MAX, DEFERRED_WAIT_US, STALL_US
from wwwserve.values.moments import MILLISECOND, SECOND

CONVERGENCE_US = 180 * SECOND
"""From healing until the core must see itself whole: dead links are noticed in 15 s, dials are
tried again with growing pauses, and tables are exchanged every 30 s."""
ENDING_US = DEFERRED_WAIT_US + ATTEMPTS_MAX * STALL_US
"""Until the last request of the faulty time must have ended, however it was led astray."""
ANSWERING_US = 2 * ENDING_US
"""Until each request of the healed time must be answered, though strangers still accept work and
keep silent for `STALL_US`."""
SETTLING_US = 300 * SECOND
"""From the last answer until nothing is held for anybody of the core: what is claimed leaves within
2 s, what is not is closed after a minute, and a close is final half a minute later; a ledger that
stood still has as long to go on."""
FRESH_REQUESTS = 3
"""New requests at each node of the core, a second apart."""

_SAFETY_US = 60 * SECOND
_JOIN_US = 3 * SECOND


def create_fuzz_scenario(seed: int) -> Scenario:
    """The plan a seed stands for."""
    entropy = Entropy(f"fuzz {seed}".encode())
    names = [f"node-{number}" for number in range(1, 3 + entropy.below(6))]
    nodes = {name: _draw_node(entropy.split(name), names, name) for name in names}
    network = _draw_network(entropy.split("network"))
    is_tiny = entropy.chance(300)
    ledger = _draw_ledger(entropy.split("ledger"))
    faults = _draw_faults(entropy.split("faults"), names)
    if ledger is not None:
        faults += _draw_money_faults(entropy.split("money"), names)
    return Scenario(
        name=f"fuzz-{seed}",
        about="drawn from the seed",
        nodes=nodes,
        network=_calm(network) if is_tiny else network,
        workload=_draw_workload(entropy.split("workload")),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_us)),
        ledger=ledger,
        parameters="tiny" if is_tiny else "main",
        join_us=_JOIN_US,
        duration_us=_SAFETY_US,
        drain_us=ENDING_US,
    )


def run_fuzz(
    seed: int,
    *,
    create_core: CreateCore = Peer,
    on_progress: Callable[[str, int], None] = lambda _phase, _now_us: None,
) -> RunResult:
    """Safety, then liveness, of one seed. `on_progress` hears the phase and the virtual time."""
    scenario = create_fuzz_scenario(seed)
    cluster = Cluster(scenario, seed, strategy="wwwserve", create_core=create_core)
    cluster.start()
    fuzz = _Fuzz(cluster, Entropy(f"healing {seed}".encode()), on_progress)
    return conclude(cluster, "wwwserve", *judge(fuzz.play))


class _Fuzz:
    """The two phases of one run."""

    def __init__(
        self, cluster: Cluster, entropy: Entropy, on_progress: Callable[[str, int], None]
    ) -> None:
        self._cluster = cluster
        self._entropy = entropy
        self._on_progress = on_progress

    def play(self) -> None:
        """Raises whatever is wrong."""
        cluster = self._cluster
        end_us = _JOIN_US + _SAFETY_US
        self._wait("safety", end_us, lambda: cluster.world.now_us >= end_us, str)
        core = self._heal()
        self._wait_for("converge", CONVERGENCE_US, lambda: has_converged(core), "apart")
        self._wait_for("one log", CONVERGENCE_US, lambda: self._has_one_log(core), "behind")
        self._wait_for("end", ENDING_US, cluster.is_quiet, "open")
        for _ in range(FRESH_REQUESTS):
            for host in core:
                cluster.submit(self._create_fresh(host))
            cluster.run_until(cluster.world.now_us + SECOND)
        self._wait_for("answer", ANSWERING_US, cluster.is_quiet, "open")
        self._check_answered()
        self._wait_for("settle", SETTLING_US, lambda: self._is_settled(core), "held")

    def _heal(self) -> list[Host]:
        """End all faults within a core of honest nodes; at most one of them stays outside, dead."""
        cluster = self._cluster
        cluster.faults.heal()
        core = [
            host
            for host in cluster.hosts.values()
            if host.person.is_honest and host.name not in cluster.faults.departed
        ]
        if len(core) > 2 and self._entropy.chance(300):  # noqa: PLR2004 - a core of two remains
            outsider = core.pop()
            cluster.faults.end(outsider)
        for host in cluster.hosts.values():
            # A stranger's too: an answer that it broke after a part was shown cannot begin anew.
            host.engine.is_reliable = True
        for host in core:
            cluster.faults.start(host)
        return core

    def _create_fresh(self, host: Host) -> UserRequest:
        return UserRequest(
            request=RequestId(self._entropy.bytes(16)),
            origin=host.index,
            arrival_us=self._cluster.world.now_us,
            prompt_tokens=50,
            completion_tokens=20,
            model=MODEL,
        )

    def _check_answered(self) -> None:
        for request in list(self._cluster.requests.values()):
            is_fresh = request.arrival_us > _JOIN_US + _SAFETY_US
            if is_fresh and request.outcome is not Outcome.ANSWERED:
                raise Stuck(
                    f"after healing, {request.request.hex()} of node {request.origin} was"
                    f" {request.outcome.value}: {request.error}"
                )

    def _wait_for(self, phase: str, span_us: int, is_done: Callable[[], bool], what: str) -> None:
        describe = {
            "apart": self._describe_apart,
            "behind": self._describe_behind,
            "open": self._describe_open,
            "held": self._describe_held,
        }[what]
        self._wait(phase, self._cluster.world.now_us + span_us, is_done, describe)

    def _wait(
        self, phase: str, end_us: int, is_done: Callable[[], bool], describe: Callable[[], str]
    ) -> None:
        world = self._cluster.world
        while not is_done():
            if world.now_us >= end_us:
                raise Stuck(f"{phase}: {describe()}")
            self._cluster.run_until(min(end_us, world.now_us + STEP_US))
            self._on_progress(phase, world.now_us)

    def _describe_open(self) -> str:
        return describe_open(self._cluster)

    def _has_one_log(self, core: list[Host]) -> bool:
        return self._cluster.ledger_checker.is_one_log(core)

    def _is_settled(self, core: list[Host]) -> bool:
        """Whether nobody of the core has a hold open; what others opened ends by itself, later."""
        return not any(self._cluster.money_checker.count_held(host) for host in core)

    def _describe_held(self) -> str:
        views = [
            f"{host.name} has {count}"
            for host in self._cluster.hosts.values()
            if (count := self._cluster.money_checker.count_held(host))
        ]
        return "holds stay open: " + "; ".join(views)

    def _describe_behind(self) -> str:
        views = []
        for host in self._cluster.hosts.values():
            snapshot = host.get_snapshot()
            if snapshot is not None and snapshot.ledger is not None:
                views.append(f"{host.name} stands at {snapshot.ledger.height}")
        return "the logs do not come together: " + "; ".join(views)

    def _describe_apart(self) -> str:
        views = []
        for host in self._cluster.hosts.values():
            snapshot = host.get_snapshot()
            if snapshot is not None:
                held = [member.status.value for member in snapshot.members]
                views.append(f"{host.name} holds {held}")
        return "the core does not see itself whole: " + "; ".join(views)


def has_converged(core: Sequence[Host]) -> bool:
    """Whether each of these nodes holds exactly the others of them alive, and is linked."""
    wanted = {host.node_id for host in core}
    for host in core:
        snapshot = host.get_snapshot()
        if snapshot is None:
            return False
        alive = {member.node for member in snapshot.members if member.status is MemberStatus.ALIVE}
        if not wanted - {host.node_id} <= alive:
            return False
    return True


def _draw_node(entropy: Entropy, names: list[str], name: str) -> NodePlan:
    is_first = name == names[0]
    dishonest = [person for person in PEOPLE if person != "honest"]
    models = ((MODEL,), (MODEL,), (MODEL, "pretend/large"))
    return NodePlan(
        share=entropy.pick((0, 1, 1, 4)) if not is_first else 1,
        engine=EnginePlan(
            slots=2 + entropy.below(6),
            prefill_tokens_per_s=entropy.pick((500, 2_000, 8_000)),
            decode_tokens_per_s=entropy.pick((20, 60, 200)),
            failure_permille=entropy.pick((0, 0, 20, 200)),
            load_us=entropy.pick((0, 0, 2 * SECOND)),
        ),
        models=entropy.pick(models),
        policy=_draw_policy(entropy, [other for other in names if other != name]),
        # The first node stays honest and early: it is how the others come in.
        person="honest" if is_first or not entropy.chance(200) else entropy.pick(dishonest),
        start_us=0 if is_first or entropy.chance(700) else entropy.below(30 * SECOND),
        disk_us=entropy.pick((100, 5 * MILLISECOND, 200 * MILLISECOND)),
        drift_ppm=entropy.below(401) - 200,
    )


def _draw_policy(entropy: Entropy, others: list[str]) -> dict[str, PolicyValue]:
    choices: dict[str, tuple[PolicyValue, ...]] = {
        "accept_permille": (0, 500, 1000),
        "offload_permille": (0, 500, 1000),
        "queue_permille": (0, 500, 1000),
        "target_utilisation_permille": (100, 500, 1000),
        "own_first": (False, True),
        "concurrent_max": (0, 1, 3),
        "concurrent_per_peer_max": (1, 2),
        "prompt_tokens_max": (100, 1_000),
        "completion_tokens_max": (100, 1_000),
        "deny_nodes": ((entropy.pick(others),),),
        "offload_nodes": ((entropy.pick(others),),),
        "allow_nodes": ((entropy.pick(others),),),
        "deny_models": (("pretend/large",),),
    }
    # Each knob is left alone mostly, so that rare mixes meet without drowning the common ones.
    return {knob: entropy.pick(values) for knob, values in choices.items() if entropy.chance(120)}


def _draw_network(entropy: Entropy) -> NetworkPlan:
    return NetworkPlan(
        latency_us=entropy.pick((1_000, 20 * MILLISECOND, 150 * MILLISECOND)),
        jitter_permille=entropy.pick((0, 200, 1000)),
        loss_permille=entropy.pick((0, 0, 10, 100)),
        dial_failure_permille=entropy.pick((0, 0, 100, 500)),
        bytes_per_s=entropy.pick((10**5, 10**7)),
    )


def _calm(network: NetworkPlan) -> NetworkPlan:
    """The tiny parameters wait 40 ms for an answer, so they claim nothing about longer ways."""
    return replace(network, latency_us=1_000, jitter_permille=200, loss_permille=0)


def _draw_ledger(entropy: Entropy) -> LedgerPlan | None:
    """Every third network pays, and in some of those there is hardly anything to pay with."""
    if not entropy.chance(330):
        return None
    return LedgerPlan(credits_each=entropy.pick((5, 100, 1_000)), seats_each=entropy.below(4))


def _draw_workload(entropy: Entropy) -> WorkloadPlan:
    return WorkloadPlan(
        load_permille=entropy.pick((100, 400, 800, 1_500)),
        plain_permille=entropy.pick((0, 300)),
        wrong_permille=entropy.pick((0, 100)),
        leaver_permille=entropy.pick((0, 200)),
        deadline_permille=entropy.pick((0, 300)),
        deadline_us=entropy.pick((SECOND, 20 * SECOND)),
        local_permille=entropy.pick((0, 100)),
        network_permille=entropy.pick((0, 100)),
        limited_permille=entropy.pick((0, 100)),
    )


def _draw_faults(entropy: Entropy, names: list[str]) -> tuple[Fault, ...]:
    kinds: list[FaultKind] = [
        kind
        for kind in get_args(FaultKind)
        if kind not in ("start", "withhold") and entropy.chance(400)
    ]
    if not kinds:
        return ()
    return tuple(_draw_fault(entropy, kinds, names) for _ in range(entropy.below(13)))


def _draw_money_faults(entropy: Entropy, names: list[str]) -> tuple[Fault, ...]:
    """What tears at paid streams: silence of either side, and deaths with and without the disk."""
    kinds: list[FaultKind] = ["withhold", "engine-hang", "kill", "power-cut", "isolate"]
    return tuple(_draw_fault(entropy, kinds, names) for _ in range(entropy.below(9)))


def _draw_fault(entropy: Entropy, kinds: list[FaultKind], names: list[str]) -> Fault:
    kind = entropy.pick(kinds)
    node = entropy.pick(names[1:] if kind == "leave" else names)
    others = [name for name in names if name != node]
    return Fault(
        at_us=_JOIN_US + entropy.below(_SAFETY_US),
        kind=kind,
        node=node,
        other=entropy.pick(others) if entropy.chance(500) else "",
        for_us=100 * MILLISECOND + entropy.below(entropy.pick((2 * SECOND, 30 * SECOND))),
        policy=_draw_policy(entropy, others) if kind == "policy" else {},
    )
