"""Running a scenario once: a seed and a strategy in, what happened out."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from wwwserve.core.peer import Peer
from wwwserve.sim.checkers import Violation
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.hosts import PeerSpins
from wwwserve.sim.plans import Scenario
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.sim.workload import Arrival
from wwwserve.values.moments import SECOND

STEP_US = SECOND
"""Virtual time between looks at whether a run is over."""


class Verdict(Enum):
    """How a run ended; the values are the exit codes of the command."""

    OK = 0
    WRONG = 1
    """Something happened that must never happen."""
    STUCK = 2
    """Something that must happen did not."""
    CRASH = 3
    """A peer raised an exception."""


class Stuck(Exception):
    """What must happen did not happen in time."""


@dataclass(slots=True)
class RunResult:
    """One run of one scenario."""

    scenario: Scenario
    seed: int
    strategy: str
    verdict: Verdict
    detail: str
    """What went wrong; empty when nothing did."""
    requests: list[UserRequest]
    node_names: list[str]
    event_count: int
    digest: str
    ended_us: int
    message_counts: dict[str, int] = field(default_factory=dict)
    frame_count: int = 0


def run_scenario(
    scenario: Scenario,
    seed: int,
    *,
    strategy: str = "wwwserve",
    trace: Sequence[Arrival] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> RunResult:
    """Run to the end, or to the first thing that is wrong. Raises `BadInput` for a bad plan.

    `on_progress` hears the virtual time done and the time in which requests arrive.
    """
    cluster = Cluster(scenario, seed, strategy=strategy, create_core=Peer)
    cluster.start(trace)
    length_us = max(scenario.duration_us, trace[-1].at_us if trace else 0) + scenario.join_us

    def play() -> None:
        while cluster.world.now_us < length_us or not cluster.is_quiet():
            if cluster.world.now_us > length_us + scenario.drain_us:
                raise Stuck(describe_open(cluster))
            cluster.run_until(cluster.world.now_us + STEP_US)
            on_progress(min(cluster.world.now_us, length_us), length_us)

    return conclude(cluster, strategy, *judge(play))


def judge(play: Callable[[], None]) -> tuple[Verdict, str]:
    """Play a run and say how it ended."""
    try:
        play()
    except (Violation, PeerSpins) as broken:
        return Verdict.WRONG, str(broken)
    except Stuck as stuck:
        return Verdict.STUCK, str(stuck)
    except Exception:  # noqa: BLE001 - a run ends here, and what a peer raised is its result
        return Verdict.CRASH, traceback.format_exc()
    return Verdict.OK, ""


def describe_open(cluster: Cluster) -> str:
    """Which requests are open though they should be over."""
    still = [one for one in cluster.requests.values() if one.outcome is Outcome.OPEN]
    names = ", ".join(
        f"{one.request.hex()} of node {one.origin} since {one.arrival_us} us" for one in still[:5]
    )
    return f"{len(still)} requests are still open: {names}"


def conclude(cluster: Cluster, strategy: str, verdict: Verdict, detail: str) -> RunResult:
    """Gather what a run left behind."""
    return RunResult(
        scenario=cluster.scenario,
        seed=cluster.seed,
        strategy=strategy,
        verdict=verdict,
        detail=detail,
        requests=list(cluster.requests.values()),
        node_names=list(cluster.hosts),
        event_count=cluster.world.event_count,
        digest=cluster.world.get_digest(),
        ended_us=cluster.world.now_us,
        message_counts=dict(cluster.network.message_counts),
        frame_count=cluster.streams.frame_count,
    )
