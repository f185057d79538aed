"""`bench network`: what four real nodes do with the load of one, against a pool of their engines.

The scenario `overloaded-origin` is played with processes: four emulated GPUs, `wwwserve up` in
front of each, and a client that sends all requests to one of the nodes. The same client then is the
pool: it sends each request straight to the engine that is done with it the soonest. And the
simulator plays the same requests, with the same GPUs, so that it can be held against both.

Everything is `SPEEDUP` times as fast as the real GPUs, in the simulator as well: what nodes cost
weighs so much more here than in front of real engines.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop
from msgspec.structs import replace

from wwwserve.bench.emulated_network import (
    LOOPBACK,
    measure_processes,
    open_engines,
    open_nodes,
    read_lag_s,
    watch,
)
from wwwserve.bench.replay import Door, Replay
from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.enginemodel import Demand
from wwwserve.sim import (
    SCENARIOS,
    Dispatcher,
    LengthPlan,
    Measures,
    Scenario,
    UserRequest,
    draw_requests,
    draw_typical,
    get_profile,
    measure,
    run_scenario,
)
from wwwserve.values.moments import SECOND

SPEEDUP = 3
"""What two cores bear with as many tokens as these engines make: about 5,000 a second."""
ARRIVING_S = 16
GRACE_S = 5
"""After the last arrival: longer than any objective that counts."""
LOADS_PERMILLE = (700, 900, 1_100)
"""All far above what the one node can do; the last is above what the pool can, too."""


@dataclass(frozen=True, slots=True)
class Played:
    """One load, played four ways; the same requests each time."""

    network: Measures
    pool: Measures
    simulated_network: Measures
    simulated_pool: Measures
    late_s: float
    """How long client, engines or nodes had to wait for the machine."""


def measure_network(repeats: int) -> list[BenchResult]:
    """Each load `repeats` times, with a seed of its own each time."""
    found: list[BenchResult] = []
    for load in LOADS_PERMILLE:
        scenario = create_scenario(load)
        played = [uvloop.run(play(scenario, seed)) for seed in range(1, repeats + 1)]
        found += _summarise(f"load {load / 1000:g}", played)
    return found


def create_scenario(load_permille: int, speedup: int = SPEEDUP) -> Scenario:
    """`overloaded-origin`, sped up, with answers short enough for many to end in the time.

    Slower engines get as many requests, over a longer time.
    """
    built_in = SCENARIOS["overloaded-origin"]
    nodes = {
        name: replace(plan, engine=replace(plan.engine, speedup=speedup))
        for name, plan in built_in.nodes.items()
    }
    workload = replace(
        built_in.workload,
        load_permille=load_permille,
        allowance="exact",
        prompt_tokens=LengthPlan(low=20, median=600, p90=1_400, high=3_000),
        completion_tokens=LengthPlan(low=4, median=24, p90=64, high=128),
    )
    return replace(
        built_in,
        nodes=nodes,
        workload=workload,
        network=LOOPBACK,
        duration_us=ARRIVING_S * SECOND * SPEEDUP // speedup,
    )


async def play(scenario: Scenario, seed: int) -> Played:
    """One seed with processes and in the simulator."""
    async with open_engines(plan.engine for plan in scenario.nodes.values()) as urls:
        pool, pool_late_s = await _play_pool(scenario, seed, urls)
        network, network_late_s = await _play_network(scenario, seed, urls)
        lags_s = [await read_lag_s(url) for url in urls]
    return Played(
        network=network,
        pool=pool,
        simulated_network=measure(run_scenario(scenario, seed)),
        simulated_pool=measure(run_scenario(scenario, seed, strategy="pool")),
        late_s=max(pool_late_s, network_late_s, *lags_s),
    )


async def _play_pool(scenario: Scenario, seed: int, urls: Sequence[str]) -> tuple[Measures, float]:
    profiles = [get_profile(plan.engine) for plan in scenario.nodes.values()]
    dispatcher = Dispatcher(profiles, draw_typical(scenario.workload))

    def on_end(request: UserRequest, number: int) -> None:
        request.executor = number
        dispatcher.finish(number, _get_demand(request))

    doors = [Door(url, profile.model, {}) for url, profile in zip(urls, profiles, strict=True)]
    replay = Replay(doors, lambda request: dispatcher.choose(_get_demand(request)), on_end)
    return await _play(scenario, seed, replay), replay.late_s_max


async def _play_network(
    scenario: Scenario, seed: int, urls: Sequence[str]
) -> tuple[Measures, float]:
    model = next(iter(scenario.nodes.values())).engine.profile.partition(":")[2]
    async with open_nodes(urls, [""]) as nodes:
        origin = nodes[0]
        door = Door(origin.node.gateway, model, {"authorization": f"Bearer {origin.keys['']}"})
        names = {one.name: number for number, one in enumerate(nodes)}
        replay = Replay([door], lambda _request: 0, lambda _request, _number: None, names)
        async with watch(nodes) as watched:
            found = await _play(scenario, seed, replay)
    return found, max(replay.late_s_max, watched.slow_s)


async def _play(scenario: Scenario, seed: int, replay: Replay) -> Measures:
    requests = draw_requests(scenario, seed)
    began_s = time.monotonic()
    span_s = scenario.duration_us // SECOND + GRACE_S
    await replay.play(requests, begin_us=scenario.join_us, span_s=span_s)
    return measure_processes(scenario, seed, requests, took_s=time.monotonic() - began_s)


def _get_demand(request: UserRequest) -> Demand:
    return Demand(request.prompt_tokens, request.completion_tokens)


def list_shares(found: Measures) -> dict[str, float]:
    """What processes and simulator must agree on."""
    return {
        "share completed in time": found.completed_in_time / found.requests,
        "SLO 2x": found.slo["2x"],
        "SLO 3x": found.slo["3x"],
    }


def _summarise(load: str, played: Sequence[Played]) -> list[BenchResult]:
    def compare(name: str, ours: Sequence[float], theirs: Sequence[float]) -> BenchResult:
        return compute_result(f"{load}: {name}", "", list(ours), list(theirs))

    return [
        compare(
            "completed in time, network against pool",
            [one.network.completed_in_time for one in played],
            [one.pool.completed_in_time for one in played],
        ),
        compare(
            "the same, simulated",
            [one.simulated_network.completed_in_time for one in played],
            [one.simulated_pool.completed_in_time for one in played],
        ),
        *(
            compare(
                f"{name}, processes against simulated",
                [list_shares(one.network)[name] for one in played],
                [list_shares(one.simulated_network)[name] for one in played],
            )
            for name in list_shares(played[0].network)
        ),
        compute_result(f"{load}: machine late by", "s", [one.late_s for one in played]),
    ]
