"""Real nodes in front of emulated engines on this machine, and what requests came to there.

`bench network` and `bench trace` are played on it. Processes share the machine's processors, so it
also tells how late it made them: times of a run in which somebody was late are worth nothing.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import aiohttp

from wwwserve.adapters.host import FileKeyRing
from wwwserve.bench.processes import Child
from wwwserve.bench.testbed import Entry, Node, get_json, get_text, make_home, run_home, wait_met
from wwwserve.core.placing import Objective
from wwwserve.node import StateFolder
from wwwserve.ports.keys import KeyRules
from wwwserve.sim import (
    EnginePlan,
    Measures,
    NetworkPlan,
    PolicyValue,
    RunResult,
    Scenario,
    UserRequest,
    Verdict,
    measure,
)
from wwwserve.values.moments import MILLISECOND, SECOND

LATE_S_MAX = 0.1
"""Who was later than this was waiting for the machine, and what was measured is worth nothing."""
LOOPBACK = NetworkPlan(latency_us=400, latency_us_min=100, bytes_per_s=10**9)
"""The ways between processes of one machine, as the simulator has them."""
_LOOK_S = 0.1
"""Between two looks at whether a node has a moment."""
_NS_PER_US = 1_000
_LAG = "emulated:lag_seconds_max{"


@dataclass(frozen=True, slots=True)
class RealNode:
    """A node process, as the users of a run need to know it."""

    node: Node
    name: str
    """As its answers call who made them."""
    keys: dict[str, str]
    """The API key of each client."""


@dataclass(slots=True)
class Watch:
    """How long nodes took to show a page, each time they were asked for one."""

    spans_s: dict[str, list[float]] = field(default_factory=dict)

    @property
    def slow_s(self) -> float:
        """What one in twenty looks at the slowest node took at least."""
        return max(quantiles([0.0, *spans], n=20)[-1] for spans in self.spans_s.values())


@asynccontextmanager
async def open_engines(plans: Iterable[EnginePlan]) -> AsyncIterator[list[str]]:
    """An emulated engine for each plan; gives their URLs."""
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(_create_engine(plan)) for plan in plans]
        yield [str(engine.ready["url"]) for engine in engines]


@asynccontextmanager
async def open_nodes(
    urls: Sequence[str],
    clients: Sequence[str],
    objective: Objective | None = None,
    policies: Sequence[Mapping[str, PolicyValue]] = (),
) -> AsyncIterator[list[RealNode]]:
    """A node in front of each engine, once all know each other; every client has a key of each.

    All users hope for the objective. `policies` are what is set of each node's, if anything.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wwwserve-bench-")))
        found: list[RealNode] = []
        for number, url in enumerate(urls):
            home = folder / f"node-{number}"
            first_key = await make_home(home)
            keys = _add_keys(home, clients)
            if objective is not None:
                _add_objective(home, objective)
            bootstrap = found[0].node.links if found else ()
            policy = policies[number] if policies else {}
            settings = [f"policy.{key}={json.dumps(value)}" for key, value in policy.items()]
            entry = Entry(url, bootstrap, settings=tuple(settings))
            node = await run_home(stack, home, first_key, entry)
            status = await get_json(f"{node.admin}/status", dict(node.process_page[1]))
            found.append(RealNode(node, str(status["node"])[:8], keys))
        for real in found:
            await wait_met(real.node, len(found) - 1)
        yield found


@asynccontextmanager
async def watch(nodes: Sequence[RealNode]) -> AsyncIterator[Watch]:
    """Ask each node for a page now and then while the block runs: it has a moment, or not."""
    watched = Watch({one.name: [0.0] for one in nodes})
    async with asyncio.TaskGroup() as tasks:
        looking = [tasks.create_task(_look(one.node, watched.spans_s[one.name])) for one in nodes]
        yield watched
        for task in looking:
            task.cancel()


async def read_lag_s(url: str) -> float:
    """The longest an emulated engine had to wait for the machine."""
    lines = (await get_text(f"{url}/metrics", {})).splitlines()
    return float(next(line for line in lines if line.startswith(_LAG)).split()[-1])


def measure_processes(
    scenario: Scenario, seed: int, requests: list[UserRequest], *, took_s: float
) -> Measures:
    """The same numbers of a run of processes as of a simulated one."""
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
            ended_us=scenario.join_us + round(took_s * SECOND),
        )
    )


def _create_engine(plan: EnginePlan) -> Child:
    server = ("-m", "wwwserve.adapters.engines.emulated_server")
    return Child((*server, f"--profile={plan.profile}", f"--speedup={plan.speedup}"))


def _add_keys(home: Path, clients: Sequence[str]) -> dict[str, str]:
    ring = FileKeyRing(StateFolder(home).api_keys_file)
    return {client: ring.add(KeyRules(name=client or "everybody")) for client in clients}


def _add_objective(home: Path, objective: Objective) -> None:
    lines = (
        "[[objectives]]",
        'name = "default"',
        f"base_ms = {objective.base_us // MILLISECOND}",
        f"prompt_token_us = {objective.prompt_token_ns // _NS_PER_US}",
        f"completion_token_us = {objective.completion_token_ns // _NS_PER_US}",
        f"first_token = {str(objective.is_first_token).lower()}",
        f'on_miss = "{objective.on_miss.value}"',
    )
    with StateFolder(home).config_file.open("a", encoding="utf-8") as config:
        config.write("\n" + "\n".join(lines) + "\n")


async def _look(node: Node, spans_s: list[float]) -> None:
    page, headers = node.process_page
    async with aiohttp.ClientSession(headers=dict(headers)) as session:
        while True:
            began_s = time.monotonic()
            async with session.get(page) as answer:
                await answer.read()
            spans_s.append(time.monotonic() - began_s)
            await asyncio.sleep(_LOOK_S)
