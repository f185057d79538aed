"""`bench gateway --ledger`: what a ledger adds to a request, here and over one hop.

Two networks stand before one mock engine: one without a ledger, one with. The same request goes all
ways in turn, so that whatever else the machine does falls on all alike. In the paid network one
payer has a stake, by which its holds are good at once; the other has none, so that its output is
kept back until the log has its hold.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec
import uvloop

from wwwserve.adapters.host import NodeKey
from wwwserve.bench.gateway import make_client
from wwwserve.bench.processes import Child
from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.bench.testbed import (
    ENGINE_MODEL,
    MOCK_SETTINGS,
    MODEL,
    SETTLE_LOOK_S,
    SETTLE_TRIES,
    BenchFailed,
    Entry,
    Node,
    Target,
    get_json,
    make_home,
    run_home,
    start_node,
    wait_met,
)
from wwwserve.node import Config, LedgerKind, StateFolder, keep_genesis, make_genesis

REQUESTS = 300
"""One after the other on each way, for each repeat."""
WARM_UP_REQUESTS = 50
UNBONDED_REQUESTS = 30
UNBONDED_TURN_S = 0.025
"""From one request to the next where a stake is compared with none."""
TOKENS = 16
CROWD_CLIENTS = 32
CROWD_S = 5
"""How many connections, for how long, show how many requests one payer sends away in a second."""
_MS = 1_000


@dataclass(frozen=True, slots=True)
class _Ways:
    """What is compared, by name."""

    turns: tuple[Target, ...]
    """Direct first; each network's own engine and one hop."""
    hop: Target
    """One of the turns: a hop without a ledger."""
    bonded: Target
    """Another: a hop paid with a stake."""
    unbonded: Target
    """The same without one."""


@dataclass(slots=True)
class _Samples:
    """What each repeat came to, by the name of a result."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)


def measure_paid_gateway(repeats: int) -> list[BenchResult]:
    """Measure `repeats` times in turn; medians, each way with a ledger beside the one without."""
    return uvloop.run(_measure(repeats))


async def _measure(repeats: int) -> list[BenchResult]:
    samples = _Samples()
    async with _open_ways() as ways:
        for _ in range(repeats):
            for is_streamed in (False, True):
                await _measure_turns(ways, samples, is_streamed=is_streamed)
            await _measure_unbonded(ways, samples)
            await _measure_crowd(ways, samples)
    return _summarise(samples)


async def _measure_turns(ways: _Ways, samples: _Samples, *, is_streamed: bool) -> None:
    """Added medians of sequential requests, the ways taking turns request by request."""
    timings: dict[str, list[float]] = {target.name: [] for target in ways.turns}
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                make_client(target, tokens=TOKENS, is_streamed=is_streamed)
            )
            for target in ways.turns
        ]
        for turn in range(WARM_UP_REQUESTS + REQUESTS):
            for target, client in zip(ways.turns, clients, strict=True):
                timing = await client.send()
                if turn >= WARM_UP_REQUESTS:
                    timings[target.name].append(timing.total_s)
    medians = {name: median(found) * _MS for name, found in timings.items()}
    measure = "added_streamed_p50" if is_streamed else "added_p50"
    for target in ways.turns[1:]:
        samples.add(f"{measure}_{target.name}", medians[target.name] - medians["direct"])
    for way in ("local", "hop"):
        samples.add(f"ledger_{measure}_{way}", medians[f"paid_{way}"] - medians[way])


async def _measure_unbonded(ways: _Ways, samples: _Samples) -> None:
    """How long the first output takes, with a stake and without."""
    for target in (ways.bonded, ways.unbonded):
        found: list[float] = []
        async with make_client(target, tokens=TOKENS, is_streamed=True) as client:
            for _ in range(UNBONDED_REQUESTS):
                found.append((await client.send()).first_byte_s)
                await asyncio.sleep(UNBONDED_TURN_S)
        first = median(found) * _MS
        samples.add(f"first_output_p50_{target.name}", first)


async def _measure_crowd(ways: _Ways, samples: _Samples) -> None:
    """How many requests a second one node sends away, as fast as they go."""
    for target in (ways.hop, ways.bonded):
        ends_at = time.perf_counter() + CROWD_S
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_send_until(target, ends_at)) for _ in range(CROWD_CLIENTS)]
        samples.add(f"offloads_per_s_{target.name}", sum(task.result() for task in tasks) / CROWD_S)


async def _send_until(target: Target, ends_at: float) -> int:
    """Send requests over one connection; gives how many were answered in time."""
    count = 0
    async with make_client(target, tokens=TOKENS, is_streamed=False) as client:
        while True:
            await client.send()
            if time.perf_counter() >= ends_at:
                return count
            count += 1


def _summarise(samples: _Samples) -> list[BenchResult]:
    """Each way beside the same one without a ledger, or with a stake."""
    values = samples.values
    baselines = {
        **{
            f"{measure}_paid_{way}": f"{measure}_{way}"
            for measure in ("added_p50", "added_streamed_p50")
            for way in ("local", "hop")
        },
        "first_output_p50_unbonded_hop": "first_output_p50_paid_hop",
        "offloads_per_s_paid_hop": "offloads_per_s_hop",
    }
    return [
        compute_result(name, _get_unit(name), found, values.get(baselines.get(name, "")))
        for name, found in values.items()
    ]


def _get_unit(name: str) -> str:
    return "requests per second" if name.startswith("offloads") else "ms"


# -- the two networks --------------------------------------------------------------------------


@asynccontextmanager
async def _open_ways() -> AsyncIterator[_Ways]:
    """Start everything, wait until it serves and can pay, and end it all afterwards."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wwwserve-bench-")))
        engine = await stack.enter_async_context(
            Child(("-m", "wwwserve.adapters.engines.mock_server", "--slots", "4096"))
        )
        url = str(engine.ready["url"])
        free_executor = await start_node(stack, folder / "executor", url, bootstrap=())
        free_origin = await start_node(stack, folder / "origin", url, bootstrap=free_executor.links)
        # A third, as in the other network, so that only the ledger is different.
        await start_node(stack, folder / "bystander", url, bootstrap=free_executor.links)
        await wait_met(free_origin)
        executor, origin, unbonded = await _start_paid(stack, folder, url)
        yield _Ways(
            turns=(
                Target("direct", url, ENGINE_MODEL, {}, ()),
                _describe("local", free_executor, "local"),
                _describe("paid_local", executor, "local"),
                _describe("hop", free_origin, "network"),
                _describe("paid_hop", origin, "network"),
            ),
            hop=_describe("hop", free_origin, "network"),
            bonded=_describe("paid_hop", origin, "network"),
            unbonded=_describe("unbonded_hop", unbonded, "network"),
        )


async def _start_paid(stack: AsyncExitStack, folder: Path, url: str) -> list[Node]:
    """An executor, which orders the log, a payer with a stake, and one without.

    Only the executor takes others' requests, so that both pay it.
    """
    homes = [folder / name for name in ("paid-executor", "paid-origin", "unbonded-origin")]
    api_keys = [await make_home(home) for home in homes]
    _begin_ledger(homes)
    nodes: list[Node] = []
    for home, api_key in zip(homes, api_keys, strict=True):
        bootstrap = nodes[0].links if nodes else ()
        shut = ("policy.accept_frequency=0",) if nodes else ()
        entry = Entry(url, bootstrap, (*MOCK_SETTINGS, *shut))
        nodes.append(await run_home(stack, home, api_key, entry))
    for node in nodes[1:]:
        await wait_met(node)
    for node in nodes:
        await _wait_ready(node)
    return nodes


def _begin_ledger(homes: Sequence[Path]) -> None:
    """One ledger for all, in which everybody has credits and all but the last a stake."""
    folders = [StateFolder(home) for home in homes]
    founder, *members = [NodeKey.load(one.node_key_file).node_id for one in folders]
    genesis = make_genesis(LedgerKind.DEV, founder, Config(), members=members)
    bare = msgspec.structs.replace(genesis.accounts[-1], seats=0)
    genesis = msgspec.structs.replace(
        genesis,
        accounts=(*genesis.accounts[:-1], bare),
        supply=genesis.supply - genesis.parameters.seat_price,
    )
    for one in folders:
        keep_genesis(one, genesis)


async def _wait_ready(node: Node) -> None:
    """Wait until a node's wallet can pay."""
    waits_for: object = "a status page"
    for _ in range(SETTLE_TRIES):
        status = await get_json(f"{node.admin}/status", node.process_page[1])
        wallet = status["wallet"]
        assert isinstance(wallet, dict)
        if wallet["is_ready"]:
            return
        waits_for = wallet["waits_for"]
        await asyncio.sleep(SETTLE_LOOK_S)
    raise BenchFailed(f"a wallet of the bench waits for {waits_for}")


def _describe(name: str, node: Node, route: str) -> Target:
    headers = {"authorization": f"Bearer {node.api_key}", "x-wwwserve-route": route}
    return Target(name, node.gateway, MODEL, headers, ())
