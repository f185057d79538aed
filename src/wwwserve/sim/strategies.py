"""The strategies a scenario can be played with, by name, and how a run of each is set up.

A strategy of the network is a way to make its peers: `create_core` is where one that routes
differently says so. Rules of other networks are `sim.baselines`, central schedulers `sim.central`.
`central-best` is no run of its own: it stands for whichever of several was best over all seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

from wwwserve.core.peer import Peer
from wwwserve.sim.baselines import BASELINES, BaselineTrial
from wwwserve.sim.central import RULES, Central
from wwwserve.sim.cluster import UNAWARE, Cluster, CreateCore
from wwwserve.sim.plans import Scenario
from wwwserve.sim.truth import UserRequest
from wwwserve.sim.workload import Arrival
from wwwserve.sim.world import World
from wwwserve.values.refusals import BadInput


class AnyTrial(Protocol):
    """What a run needs of the world it plays: a `Cluster`, or what it is compared with."""

    scenario: Scenario
    seed: int
    requests: dict[bytes, UserRequest]
    world: World

    @property
    def node_names(self) -> list[str]:
        """All nodes, in the plan's order."""
        ...

    @property
    def message_counts(self) -> dict[str, int]:
        """Control messages sent so far, by kind."""
        ...

    @property
    def frame_count(self) -> int:
        """Frames of request streams sent so far."""
        ...

    def start(self, trace: Sequence[Arrival] | None = None) -> None:
        """Arrange everything that will happen."""
        ...

    def run_until(self, moment_us: int) -> None:
        """Let virtual time pass."""
        ...

    def is_quiet(self) -> bool:
        """Whether no request is open."""
        ...

    def get_digest(self) -> str:
        """A digest over all that happened."""
        ...


@dataclass(frozen=True, slots=True)
class NetworkStrategy:
    """Peers, each of which decides for itself."""

    about: str
    create_core: CreateCore


@dataclass(frozen=True, slots=True)
class RuleStrategy:
    """Nodes that follow a rule of `sim.baselines`."""

    about: str


@dataclass(frozen=True, slots=True)
class CentralStrategy:
    """One scheduler in front of all engines."""

    about: str


@dataclass(frozen=True, slots=True)
class BestStrategy:
    """The best of several, found when all have been played."""

    about: str
    of: tuple[str, ...]


Strategy = NetworkStrategy | RuleStrategy | CentralStrategy | BestStrategy

BEST_OF = ("central-fresh", "central-pull", "central-length", "central-defer")
"""What `central-best` chooses from: the schedulers that know no more than a node."""

STRATEGIES: dict[str, Strategy] = {
    "wwwserve": NetworkStrategy("the peer as it is", Peer),
    UNAWARE: NetworkStrategy("the peer, not told which prompts begin alike", Peer),
    "single": NetworkStrategy("every node alone: all requests run where they enter", Peer),
    **{name: RuleStrategy(baseline.about) for name, baseline in BASELINES.items()},
    "pool": CentralStrategy("one dispatcher that knows all lengths and adds up work"),
    **{name: CentralStrategy(rule.about) for name, rule in RULES.items()},
    "central-best": BestStrategy("the best of " + ", ".join(BEST_OF), BEST_OF),
}
"""Everything `wwwserve sim list` shows."""


def find_strategy(name: str) -> Strategy:
    """The strategy called `name`. Raises `BadInput` with the known ones."""
    if name not in STRATEGIES:
        raise BadInput("--strategy", name, ", ".join(STRATEGIES), "wwwserve sim list")
    return STRATEGIES[name]


def list_played(names: Sequence[str]) -> list[str]:
    """The strategies that must be played to know these, each once. Raises `BadInput`."""
    played: dict[str, None] = {}
    for name in names:
        strategy = find_strategy(name)
        parts = strategy.of if isinstance(strategy, BestStrategy) else (name,)
        played |= dict.fromkeys(parts)
    return list(played)


def create_trial(scenario: Scenario, seed: int, name: str) -> AnyTrial:
    """The world of one run, before its start. Raises `BadInput` for a plan that cannot be."""
    strategy = find_strategy(name)
    match strategy:
        case NetworkStrategy():
            return Cluster(scenario, seed, strategy=name, create_core=strategy.create_core)
        case RuleStrategy():
            return BaselineTrial(scenario, seed, BASELINES[name])
        case CentralStrategy():
            return Central(scenario, seed, name)
        case BestStrategy():
            raise BadInput("--strategy", name, "one that can be played", " or ".join(strategy.of))
        case _:
            assert_never(strategy)
