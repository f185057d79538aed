"""What `compare_gateways` measures, and how: the ways to one engine, taking turns.

Every gateway has one core to itself; the engine and the load have another. Requests are plain
OpenAI ones (`max_tokens` says how long an answer is), because a router may drop fields it does not
know.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from tools.gateway_peers import (
    MODEL,
    Peer,
    PeerAbsent,
    PeerProcess,
    install,
    make_launch,
    read_cpu_s,
    read_memory_mib,
    started_on,
)
from wwwserve.bench.http_load import BadAnswer, LoadClient
from wwwserve.bench.processes import Child
from wwwserve.bench.testbed import MODEL as NODE_MODEL
from wwwserve.bench.testbed import start_node

PATH = "/v1/chat/completions"
WARM_UP_REQUESTS = 50
SEQUENTIAL_REQUESTS = 300
"""One after the other, the ways taking turns request by request."""
LOAD_S = 5.0
"""How long each way is kept busy for each measure of what it can do."""
WHOLE_CLIENTS = 16
WHOLE_TOKENS = 16
STREAM_CLIENTS = 8
STREAM_TOKENS = 500
PACED_STREAMS = 50
PACE_US = 20_000
PACED_TOKENS = 200
BASELINE = "pass_through"
OURS = "wwwserve"
_MS = 1_000
_BROKEN = (BadAnswer, OSError, asyncio.IncompleteReadError, TimeoutError)
_ANSWER_WAIT_S = 60.0
_ENGINE = ("-m", "wwwserve.adapters.engines.mock_server", "--llama-server", "--tokens", "100000")
_WRK_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_WRK_COUNT = re.compile(r"(\d+) requests in")


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to the engine."""

    name: str
    url: str
    model: str
    headers: Mapping[str, str]
    pid: int
    """Of the gateway's first process; 0 for the engine itself."""

    def make_client(self, tokens: int, *, is_streamed: bool) -> LoadClient:
        """A connection that asks for answers of so many tokens."""
        body = self.make_body(tokens, is_streamed=is_streamed)
        return LoadClient(self.url, PATH, body, self.headers)

    def make_body(self, tokens: int, *, is_streamed: bool) -> bytes:
        """A request that all of them understand."""
        words = [{"role": "user", "content": "Say something, please."}]
        fields = {"model": self.model, "messages": words, "max_tokens": tokens}
        return json.dumps(fields | {"stream": is_streamed}).encode()


@dataclass(slots=True)
class Comparison:
    """What was found so far."""

    peers: tuple[Peer, ...]
    environments: Path
    wrk: str
    """The load tool's path; empty to make the load ourselves."""
    absent: dict[str, str] = field(default_factory=dict)
    """Peers that could not be measured, and why."""
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Values of each repeat, by measure and way."""

    def add(self, measure: str, way: Way, value: float) -> None:
        """Note one value."""
        self.values.setdefault(measure, {}).setdefault(way.name, []).append(value)

    def drop(self, way: Way, error: BaseException) -> None:
        """A peer broke while it was measured; anything of ours that breaks ends the run."""
        if way.name not in {peer.name for peer in self.peers}:
            raise error
        self.absent[way.name] = f"broke while it was measured: {str(error) or type(error).__name__}"
        for ways in self.values.values():
            ways.pop(way.name, None)


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core does what; with one core they all share it."""

    load: int
    engine: int
    gateways: int


def choose_cores() -> Cores:
    """The gateways' core is nobody else's, and the engine's too where there are three."""
    cores = sorted(os.sched_getaffinity(0))
    return Cores(cores[0], cores[1] if len(cores) > 2 else cores[0], cores[-1])  # noqa: PLR2004


# -- the ways ------------------------------------------------------------------------------------


async def open_ways(
    stack: AsyncExitStack, comparison: Comparison, cores: Cores, engine_flags: Sequence[str] = ()
) -> list[Way]:
    """Start an engine and every gateway in front of it; the engine itself comes first."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="wwwserve-compare-")))
    with started_on(cores.engine):
        # Quiet: routers knock in other protocols first, and it says so each time.
        child = Child((*_ENGINE, *engine_flags), is_quiet=True)
        engine = await stack.enter_async_context(child)
    url = str(engine.ready["url"])
    with started_on(cores.gateways):
        plain = await stack.enter_async_context(Child(("-m", "wwwserve.bench.pass_through", url)))
        node = await start_node(stack, folder / "node", url, bootstrap=())
        run = json.loads((folder / "node" / "run.json").read_bytes())
        ways = [
            Way("engine", url, MODEL, {}, 0),
            Way(BASELINE, str(plain.ready["url"]), MODEL, {}, plain.pid),
            Way(OURS, node.gateway, NODE_MODEL, _make_headers(node.api_key), run["pid"]),
        ]
        for peer in comparison.peers:
            if peer.name not in comparison.absent:
                ways += await _open_peer(stack, comparison, peer, folder / peer.name, url)
    return ways


def _make_headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def _open_peer(
    stack: AsyncExitStack, comparison: Comparison, peer: Peer, folder: Path, engine_url: str
) -> list[Way]:
    """Install and start one peer; nothing, and a reason, when that cannot be."""
    tell(f"{peer.name} {peer.version}: installing, starting")
    try:
        programs = await install(peer, comparison.environments)
        launch = make_launch(programs, folder, engine_url)
        running = await stack.enter_async_context(PeerProcess(peer, launch))
    except PeerAbsent as absence:
        comparison.absent[peer.name] = str(absence)
        tell(f"{peer.name}: {absence}")
        return []
    url = f"http://127.0.0.1:{launch.port}"
    return [Way(peer.name, url, MODEL, _make_headers(launch.key), running.pid)]


# -- the measures --------------------------------------------------------------------------------


async def compare(comparison: Comparison, repeats: int, cores: Cores) -> None:
    """Measure everything, the ways taking turns."""
    async with AsyncExitStack() as stack:
        ways = await open_ways(stack, comparison, cores)
        for turn in range(repeats):
            tell(f"turn {turn + 1} of {repeats}: one after the other, whole answers, streams")
            await measure_latency(comparison, ways)
            for way in ways[1:]:
                await _try(comparison, way, measure_whole)
                await _try(comparison, way, measure_streams)
        for way in ways[1:]:
            if way.name not in comparison.absent:
                comparison.add("memory", way, read_memory_mib(way.pid))
    async with AsyncExitStack() as stack:
        ways = await open_ways(stack, comparison, cores, ("--pace-us", str(PACE_US)))
        for turn in range(repeats):
            tell(f"turn {turn + 1} of {repeats}: paced streams")
            for way in ways[1:]:
                await _try(comparison, way, measure_paced)


async def _try(
    comparison: Comparison, way: Way, measure: Callable[[Comparison, Way], Awaitable[None]]
) -> None:
    if way.name in comparison.absent:
        return
    try:
        await measure(comparison, way)
    except _BROKEN as error:
        comparison.drop(way, error)
    except BaseExceptionGroup as group:
        comparison.drop(way, group.exceptions[0])


async def measure_latency(comparison: Comparison, ways: list[Way]) -> None:
    """What each way adds to the engine's own time, request by request in turn."""
    async with AsyncExitStack() as stack:
        timings: dict[Way, list[float]] = {}
        clients = {way: way.make_client(1, is_streamed=False) for way in ways}
        for turn in range(WARM_UP_REQUESTS + SEQUENTIAL_REQUESTS):
            for way in [way for way in ways if way.name not in comparison.absent]:
                try:
                    if turn == 0:
                        await stack.enter_async_context(clients[way])
                    timing = await asyncio.wait_for(clients[way].send(), _ANSWER_WAIT_S)
                except _BROKEN as error:
                    comparison.drop(way, error)
                    continue
                if turn >= WARM_UP_REQUESTS:
                    timings.setdefault(way, []).append(timing.total_s)
    own_p50, own_p95 = _find_quantiles(timings[ways[0]])
    for way in [way for way in ways[1:] if way.name not in comparison.absent]:
        p50, p95 = _find_quantiles(timings[way])
        comparison.add("added_p50", way, (p50 - own_p50) * _MS)
        comparison.add("added_p95", way, (p95 - own_p95) * _MS)


def _find_quantiles(values: list[float]) -> tuple[float, float]:
    return median(values), quantiles(values, n=20)[-1]


async def measure_whole(comparison: Comparison, way: Way) -> None:
    """Unstreamed answers a second, and for each processor second."""
    before_s = read_cpu_s(way.pid)
    if comparison.wrk:
        count, lasted_s = await _run_wrk(comparison.wrk, way)
    else:
        count, lasted_s = await _load(way, WHOLE_TOKENS, WHOLE_CLIENTS, is_streamed=False)
    used_s = read_cpu_s(way.pid) - before_s
    comparison.add("requests_per_s", way, count / lasted_s)
    comparison.add("requests_per_cpu_s", way, count / used_s)


async def measure_streams(comparison: Comparison, way: Way) -> None:
    """Chunks for each processor second, as fast as they go."""
    before_s = read_cpu_s(way.pid)
    count, _ = await _load(way, STREAM_TOKENS, STREAM_CLIENTS, is_streamed=True)
    used_s = read_cpu_s(way.pid) - before_s
    comparison.add("chunks_per_cpu_s", way, count * STREAM_TOKENS / used_s)


async def measure_paced(comparison: Comparison, way: Way) -> None:
    """Chunks for each processor second when each comes alone, as engines send them."""

    async def work() -> None:
        async with way.make_client(PACED_TOKENS, is_streamed=True) as client:
            await asyncio.wait_for(client.send(), _ANSWER_WAIT_S)

    before_s = read_cpu_s(way.pid)
    async with asyncio.TaskGroup() as group:
        for _ in range(PACED_STREAMS):
            group.create_task(work())
    used_s = read_cpu_s(way.pid) - before_s
    comparison.add("paced_chunks_per_cpu_s", way, PACED_STREAMS * PACED_TOKENS / used_s)


async def _load(way: Way, tokens: int, clients: int, *, is_streamed: bool) -> tuple[int, float]:
    """Keep a way busy for `LOAD_S`; the answers that came, and how long it really lasted."""
    began_s = time.perf_counter()

    async def work() -> int:
        count = 0
        async with way.make_client(tokens, is_streamed=is_streamed) as client:
            while time.perf_counter() < began_s + LOAD_S:
                await asyncio.wait_for(client.send(), _ANSWER_WAIT_S)
                count += 1
        return count

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for _ in range(clients)]
    return sum(task.result() for task in tasks), time.perf_counter() - began_s


async def _run_wrk(wrk: str, way: Way) -> tuple[int, float]:
    """The same load by an outside tool."""
    with TemporaryDirectory() as folder:
        command = [wrk, "-t1", f"-c{WHOLE_CLIENTS}", f"-d{LOAD_S:.0f}s", "-s"]
        command += [_write_script(Path(folder, "post.lua"), way), way.url + PATH]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said = (await process.communicate())[0].decode()
    count, rate = _WRK_COUNT.search(said), _WRK_RATE.search(said)
    if "Non-2xx" in said or count is None or rate is None:
        raise BadAnswer(f"wrk says: {said[-300:]}")
    return int(count[1]), int(count[1]) / float(rate[1])


def _write_script(path: Path, way: Way) -> str:
    """The request of a way, as wrk takes it."""
    body = way.make_body(WHOLE_TOKENS, is_streamed=False).decode()
    headers = {"content-type": "application/json", **way.headers}
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    head = ['wrk.method = "POST"', f"wrk.body = [==[{body}]==]"]
    path.write_text("\n".join([*head, *lines]), encoding="utf-8")
    return str(path)


def tell(what: str) -> None:
    """Say how far it is, beside what is printed."""
    print(what, file=sys.stderr, flush=True)
