"""Running a scenario once: a seed and a strategy in, what happened out."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from wwwserve.sim.checkers import Violation
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.diaries import KeepLine, keep_diaries
from wwwserve.sim.hosts import PeerSpins
from wwwserve.sim.plans import Scenario
from wwwserve.sim.strategies import AnyTrial, create_trial
from wwwserve.sim.traces import fit_trace, prepare_ground
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.sim.workload import Arrival
from wwwserve.values.limits import DEFERRED_WAIT_US
from wwwserve.values.moments import SECOND

STEP_US = SECOND
"""Virtual time between looks at whether a run is over."""
SETTLING_US = 300 * SECOND
"""From the last answer until every hold is settled: what is claimed leaves within 2 s, what is not
is closed after a minute, and a close is final half a minute later."""


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
    arrivals_end_us: int
    """Until when requests may arrive."""
    ended_us: int
    message_counts: dict[str, int] = field(default_factory=dict)
    message_bytes: dict[str, int] = field(default_factory=dict)
    """Of the same on the links, with their heartbeats, since users came; empty: there are none."""
    frame_count: int = 0
    load: float = 0.0
    """On the engines, as a share of their pooled saturated throughput; 0 = nobody asked."""
    seats: dict[str, int] = field(default_factory=dict)
    """Of each node, in the draw of candidates."""
    accounts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each node where requests are paid: micro-credits at the beginning and at the end."""
    stands_for: str = ""
    """Of `central-best`: the strategy that was played."""


def run_scenario(
    scenario: Scenario,
    seed: int,
    *,
    strategy: str = "wwwserve",
    trace: Sequence[Arrival] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    keep_line: KeepLine | None = None,
) -> RunResult:
    """Run to the end, or to the first thing that is wrong. Raises `BadInput` for a bad plan.

    `trace` is played as it is; without one, the scenario's own is fitted first.
    `on_progress` hears the virtual time done and the time in which requests arrive; `keep_line`
    is given the nodes' diaries, which only peers (`NetworkStrategy`) keep.
    """
    arrivals = trace
    if trace is None and scenario.workload.trace:
        arrivals = fit_trace(prepare_ground(scenario), scenario, seed)
    trial = create_trial(scenario, seed, strategy)
    if keep_line is not None:
        assert isinstance(trial, Cluster), "only peers keep diaries"
        keep_diaries(trial, keep_line)
    trial.start(arrivals)
    length_us = max(scenario.duration_us, arrivals[-1].at_us if arrivals else 0) + scenario.join_us
    # A request may wait so long for a place.
    drain_us = scenario.drain_us + DEFERRED_WAIT_US

    def play() -> None:
        while trial.world.now_us < length_us or not trial.is_quiet():
            if trial.world.now_us > length_us + drain_us:
                raise Stuck(describe_open(trial))
            trial.run_until(trial.world.now_us + STEP_US)
            on_progress(min(trial.world.now_us, length_us), length_us)
        _settle(trial)

    result = conclude(trial, strategy, *judge(play))
    result.arrivals_end_us = length_us
    return result


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


def describe_open(trial: AnyTrial) -> str:
    """Which requests are open though they should be over."""
    still = [one for one in trial.requests.values() if one.outcome is Outcome.OPEN]
    names = ", ".join(
        f"{one.request.hex()} of node {one.origin} since {one.arrival_us} us" for one in still[:5]
    )
    return f"{len(still)} requests are still open: {names}"


def conclude(trial: AnyTrial, strategy: str, verdict: Verdict, detail: str) -> RunResult:
    """Gather what a run left behind."""
    return RunResult(
        scenario=trial.scenario,
        seed=trial.seed,
        strategy=strategy,
        verdict=verdict,
        detail=detail,
        requests=list(trial.requests.values()),
        node_names=trial.node_names,
        event_count=trial.world.event_count,
        digest=trial.get_digest(),
        arrivals_end_us=trial.scenario.join_us + trial.scenario.duration_us,
        ended_us=trial.world.now_us,
        message_counts=trial.message_counts,
        message_bytes=trial.traffic.count_bytes() if isinstance(trial, Cluster) else {},
        frame_count=trial.frame_count,
        accounts=_read_accounts(trial),
    )


def _settle(trial: AnyTrial) -> None:
    """Where requests are paid: let time pass until all holds are settled, or long enough."""
    if not isinstance(trial, Cluster) or trial.ledger is None:
        return
    keeper = next(iter(trial.hosts.values()))
    end_us = trial.world.now_us + SETTLING_US
    while trial.world.now_us < end_us and not trial.ledger_checker.is_settled(keeper):
        trial.run_until(trial.world.now_us + STEP_US)


def _read_accounts(trial: AnyTrial) -> dict[str, tuple[int, int]]:
    """What each node had at genesis and has now, as the first node has it on its disk."""
    if not isinstance(trial, Cluster) or trial.ledger is None:
        return {}
    keeper = next(iter(trial.hosts.values()))
    price = trial.ledger.genesis.parameters.seat_price
    begun = {one.key: one.amount + one.seats * price for one in trial.ledger.genesis.accounts}
    return {
        name: (begun[host.node_id], trial.ledger_checker.count_credits(keeper, host.node_id))
        for name, host in trial.hosts.items()
    }
