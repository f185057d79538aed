"""`bench trace`: what users of four real nodes get, and what the simulator said they would get.

A window of a recorded trace is played with processes, at the speed of the real GPUs: four emulated
engines, `wwwserve up` in front of each, and a client that sends each request to its user's node
when it is due, whatever became of those before. Then the simulator plays the same requests.

Who is tried first is a matter of chance, and moves single requests in or out of their time. So the
simulator plays each window several times, over lines of slightly different lengths: their mean is
what is expected, and how far they are apart is what chance alone does.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import uvloop
from msgspec.structs import replace

from wwwserve.bench.emulated_network import (
    LOOPBACK,
    RealNode,
    measure_processes,
    open_engines,
    open_nodes,
    read_lag_s,
    watch,
)
from wwwserve.bench.replay import Door, Replay
from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.sim import (
    SCENARIOS,
    Arrival,
    Interval,
    Measures,
    Scenario,
    UserRequest,
    compute_interval,
    draw_requests,
    fit_trace,
    measure,
    prepare_ground,
    run_scenario,
    tell_first,
)
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

SCENARIO_NAMES = ("s4", "s1", "s2", "s3")
"""Those of four nodes with a trace. The answers of `s4` take some seconds, and there are so many
that a minute tells something; the others' take minutes."""
DRAIN_S_MAX = 900
"""After the last arrival: longer than any answer of the traces takes."""
LINES_US = (200, 300, 400, 600, 1_000)
"""The longest latency between two nodes, in each play of the simulator."""
_POINTS = 100


@dataclass(frozen=True, slots=True)
class TracePlayed:
    """One window, played by processes once and by the simulator over several lines."""

    processes: Measures
    simulated: tuple[Measures, ...]
    late_s: float
    """How long client, engines or nodes had to wait for the machine."""

    def get_expected(self, objective: str) -> float:
        """The share of requests that meet an objective, as simulated."""
        return mean(one.slo[objective] for one in self.simulated)

    def get_difference(self, objective: str) -> float:
        """How many points more of the requests met an objective with processes."""
        return _POINTS * (self.processes.slo[objective] - self.get_expected(objective))


def measure_trace(
    repeats: int, *, scenario: str, window_s: int, load_permille: int
) -> list[BenchResult]:
    """`repeats` windows, each begun at another place of the trace. Raises `BadInput`."""
    window = create_window(scenario, window_s, load_permille)
    return _summarise([play_window(window, seed) for seed in range(1, repeats + 1)])


def create_window(name: str, window_s: int, load_permille: int) -> Scenario:
    """A scenario cut to so many seconds of arrivals, between processes of one machine.

    Raises `BadInput` for any other than `SCENARIO_NAMES`.
    """
    if name not in SCENARIO_NAMES:
        fix = f"wwwserve bench trace --scenario {SCENARIO_NAMES[0]}"
        raise BadInput("--scenario", name, ", ".join(SCENARIO_NAMES), fix)
    built_in = SCENARIOS[name]
    return replace(
        built_in,
        network=LOOPBACK,
        duration_us=window_s * SECOND,
        workload=replace(built_in.workload, load_permille=load_permille),
    )


def play_window(scenario: Scenario, seed: int) -> TracePlayed:
    """The same arrivals with processes and in the simulator."""
    arrivals = fit_trace(prepare_ground(scenario), scenario, seed)
    assert arrivals is not None, "the scenario has a trace"
    processes, late_s = uvloop.run(_play_processes(scenario, seed, arrivals))
    simulated = []
    for line_us in LINES_US:
        lines = replace(LOOPBACK, latency_us=line_us)
        other = replace(scenario, network=lines)
        simulated.append(measure(run_scenario(other, seed, trace=arrivals)))
    return TracePlayed(processes, tuple(simulated), late_s)


async def _play_processes(
    scenario: Scenario, seed: int, arrivals: Sequence[Arrival]
) -> tuple[Measures, float]:
    requests = draw_requests(scenario, seed, arrivals)
    clients = sorted({request.client for request in requests})
    plans = list(scenario.nodes.values())
    policies = [plan.policy for plan in plans]
    async with (
        open_engines(plan.engine for plan in plans) as urls,
        open_nodes(urls, clients, tell_first(scenario), policies) as nodes,
    ):
        replay = _create_replay(scenario, clients, nodes)
        span_s = scenario.duration_us // SECOND + DRAIN_S_MAX
        began_s = time.monotonic()
        async with watch(nodes) as watched:
            await replay.play(requests, begin_us=scenario.join_us, span_s=span_s)
        took_s = time.monotonic() - began_s
        lags_s = [await read_lag_s(url) for url in urls]
    late_s = max(replay.late_s_max, watched.slow_s, *lags_s)
    return measure_processes(scenario, seed, requests, took_s=took_s), late_s


def _create_replay(scenario: Scenario, clients: Sequence[str], nodes: Sequence[RealNode]) -> Replay:
    """A door for each client at each node: it shows the key that client has there."""
    model = next(iter(scenario.nodes.values())).engine.profile.partition(":")[2]
    doors = [
        Door(one.node.gateway, model, {"authorization": f"Bearer {one.keys[client]}"})
        for one in nodes
        for client in clients
    ]
    places = {client: place for place, client in enumerate(clients)}

    def choose(request: UserRequest) -> int:
        return request.origin * len(clients) + places[request.client]

    names = {one.name: number for number, one in enumerate(nodes)}
    return Replay(doors, choose, lambda _request, _door: None, names)


def _summarise(played: Sequence[TracePlayed]) -> list[BenchResult]:
    def tell(measured: str, unit: str, value: float) -> BenchResult:
        return compute_result(measured, unit, [value])

    results = [tell("requests in a window", "", mean(one.processes.requests for one in played))]
    for objective in played[0].processes.slo:
        differences = compute_interval([one.get_difference(objective) for one in played])
        results += [
            compute_result(
                f"{objective} met, processes against simulated",
                "",
                [mean(one.processes.slo[objective] for one in played)],
                [mean(one.get_expected(objective) for one in played)],
            ),
            tell(f"{objective}, difference", "points", differences.mean),
            *_tell_interval(f"{objective}, difference", differences),
            tell(
                f"{objective}, simulated over other lines, at most apart",
                "points",
                max(find_spread(one, objective) for one in played),
            ),
        ]
    results += [
        compute_result(
            "answered by another node",
            "",
            [mean(one.processes.offloaded for one in played)],
            [mean(other.offloaded for one in played for other in one.simulated)],
        ),
        compute_result(
            "mean time to the last token",
            "s",
            [mean(one.processes.e2e_s.mean for one in played)],
            [mean(other.e2e_s.mean for one in played for other in one.simulated)],
        ),
        tell("machine late by", "s", max(one.late_s for one in played)),
    ]
    return results


def _tell_interval(measured: str, found: Interval) -> list[BenchResult]:
    """Where the mean lies with 95 % confidence; nothing is known of that with one window."""
    if found.low is None or found.high is None:
        return []
    return [
        compute_result(f"{measured}, at least", "points", [found.low]),
        compute_result(f"{measured}, at most", "points", [found.high]),
    ]


def find_spread(played: TracePlayed, objective: str) -> float:
    """How many points the simulator's own plays of a window are apart."""
    shares = [one.slo[objective] for one in played.simulated]
    return _POINTS * (max(shares) - min(shares))
