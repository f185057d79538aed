"""`bench network`: what four real nodes do with the load of one, against a pool of their engines.

The scenario `overloaded-origin` is played with processes: four emulated GPUs, `wwwserve up` in
front of each, and a client that sends all requests to one of the nodes. The same client then is the
pool: it sends each request straight to the engine that is done with it the soonest. And the
simulator plays the same requests, with the same GPUs, so that it can be held against both.

Everything is `SPEEDUP` times as fast as the real GPUs, in the simulator as well: what nodes cost
weighs so much more here than in front of real engines.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import aiohttp
import uvloop
from msgspec.structs import replace

from wwwserve.bench.processes import Child
from wwwserve.bench.replay import Door, Replay
from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.bench.testbed import Node, get_text, launch_node, wait_met
from wwwserve.enginemodel import Demand
from wwwserve.sim import (
    SCENARIOS,
    Dispatcher,
    EnginePlan,
    LengthPlan,
    Measures,
    NetworkPlan,
    RunResult,
    Scenario,
    UserRequest,
    Verdict,
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
LATE_S_MAX = 0.1
"""Who was later than this was waiting for the machine, and what was measured is worth nothing."""
_LOOK_S = 0.1
"""Between two looks at whether a node has a moment."""
_LAG = "emulated:lag_seconds_max{"
_LOOPBACK = NetworkPlan(latency_us=400, latency_us_min=100, bytes_per_s=10**9)


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
        network=_LOOPBACK,
        duration_us=ARRIVING_S * SECOND * SPEEDUP // speedup,
    )


async def play(scenario: Scenario, seed: int) -> Played:
    """One seed with processes and in the simulator."""
    async with _open_engines(scenario) as urls:
        pool, pool_late_s = await _play_pool(scenario, seed, urls)
        network, network_late_s = await _play_network(scenario, seed, urls)
        lags_s = [await _read_lag_s(url) for url in urls]
    return Played(
        network=network,
        pool=pool,
        simulated_network=measure(run_scenario(scenario, seed)),
        simulated_pool=measure(run_scenario(scenario, seed, strategy="pool")),
        late_s=max(pool_late_s, network_late_s, *lags_s),
    )


@asynccontextmanager
async def _open_engines(scenario: Scenario) -> AsyncIterator[list[str]]:
    async with AsyncExitStack() as stack:
        yield [
            str((await stack.enter_async_context(_create_engine(plan.engine))).ready["url"])
            for plan in scenario.nodes.values()
        ]


def _create_engine(plan: EnginePlan) -> Child:
    server = ("-m", "wwwserve.adapters.engines.emulated_server")
    return Child((*server, f"--profile={plan.profile}", f"--speedup={plan.speedup}"))


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
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wwwserve-bench-")))
        nodes: list[Node] = []
        for number, url in enumerate(urls):
            bootstrap = nodes[0].links if nodes else ()
            home = folder / f"node-{number}"
            nodes.append(await launch_node(stack, home, url, bootstrap=bootstrap))
        origin = nodes[0]
        await wait_met(origin, len(nodes) - 1)
        model = next(iter(scenario.nodes.values())).engine.profile.partition(":")[2]
        door = Door(origin.gateway, model, {"authorization": f"Bearer {origin.api_key}"})
        replay = Replay([door], lambda _request: 0, lambda _request, _number: None)
        spans_s: dict[Node, list[float]] = {node: [0.0] for node in nodes}
        async with asyncio.TaskGroup() as tasks:
            looking = [tasks.create_task(_look(node, spans_s[node])) for node in nodes]
            found = await _play(scenario, seed, replay)
            for task in looking:
                task.cancel()
        slow_s = max(quantiles(spans, n=20)[-1] for spans in spans_s.values())
        return found, max(replay.late_s_max, slow_s)


async def _look(node: Node, spans_s: list[float]) -> None:
    """Ask a node for a page now and then, and note how long it took: it has a moment, or not."""
    page, headers = node.process_page
    async with aiohttp.ClientSession(headers=dict(headers)) as session:
        while True:
            began_s = time.monotonic()
            async with session.get(page) as answer:
                await answer.read()
            spans_s.append(time.monotonic() - began_s)
            await asyncio.sleep(_LOOK_S)


async def _play(scenario: Scenario, seed: int, replay: Replay) -> Measures:
    requests = draw_requests(scenario, seed)
    began_s = time.monotonic()
    span_s = scenario.duration_us // SECOND + GRACE_S
    await replay.play(requests, begin_us=scenario.join_us, span_s=span_s)
    return measure(
        RunResult(
            scenario=scenario,
            seed=seed,
            strategy="processes",
            verdict=Verdict.OK,
            detail="",
            requests=requests,
            node_names=list(scenario.nodes),
            event_count=0,
            digest="",
            arrivals_end_us=scenario.join_us + scenario.duration_us,
            ended_us=scenario.join_us + round((time.monotonic() - began_s) * SECOND),
        )
    )


async def _read_lag_s(url: str) -> float:
    lines = (await get_text(f"{url}/metrics", {})).splitlines()
    return float(next(line for line in lines if line.startswith(_LAG)).split()[-1])


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
