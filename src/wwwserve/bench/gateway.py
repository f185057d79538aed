"""`bench gateway`: what a request costs through a node, here and over one hop.

Everything is measured in turn against the same mock engine in one run: the engine itself, a
40-line pass-through, a node that serves from its own engine, and a node that offloads to it. Added
time is a way's median less the engine's own; processor time is that of all processes between
client and engine, so a hop counts both nodes. docs/benchmarks.md has the bars.
"""

import asyncio
import json
from dataclasses import dataclass, field
from statistics import median

import uvloop

from wwwserve.bench.http_load import LoadClient, Timing
from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.bench.testbed import Target, Testbed, open_testbed

PATH = "/v1/chat/completions"
WARM_UP_REQUESTS = 50
SEQUENTIAL_REQUESTS = 300
"""One after the other, for added latency."""
UNSTREAMED_REQUESTS = 1_600
UNSTREAMED_CLIENTS = 16
"""Connections at once, for processor time of a request."""
STREAMS = 40
STREAM_TOKENS = 1_000
STREAM_CLIENTS = 8
"""Connections at once, for processor time of a streamed chunk."""
PACED_STREAMS = (500, 400, 300, 200, 100, 50)
"""Tried downwards until the pass-through keeps up; the nodes must keep up with as many."""
PACE_US = 20_000
PACED_TOKENS = 200
LATE_SHARE = 0.1
"""The pass-through keeps up with streams of which the last ends no later than this share."""
_MS = 1_000


@dataclass(slots=True)
class _Samples:
    """Values of each repeat, by measure and way."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, measure: str, way: str, value: float) -> None:
        self.values.setdefault(measure, {}).setdefault(way, []).append(value)


def measure_gateway(repeats: int) -> list[BenchResult]:
    """Measure `repeats` times in turn; medians, each beside the pass-through's."""
    return uvloop.run(_measure(repeats))


async def _measure(repeats: int) -> list[BenchResult]:
    samples = _Samples()
    async with open_testbed() as testbed:
        for _ in range(repeats):
            await _measure_latency(testbed, samples, is_streamed=False)
            await _measure_latency(testbed, samples, is_streamed=True)
            for target in testbed.proxies:
                await _measure_unstreamed(target, samples)
                await _measure_chunks(target, samples)
        await _measure_paced(testbed, repeats, samples)
    return _summarise(samples)


async def _measure_latency(testbed: Testbed, samples: _Samples, *, is_streamed: bool) -> None:
    """Added medians of sequential requests, the ways taking turns request by request."""
    targets = (testbed.direct, *testbed.proxies)
    clients = [make_client(target, tokens=1, is_streamed=is_streamed) for target in targets]
    timings: dict[str, list[Timing]] = {target.name: [] for target in targets}
    async with clients[0], clients[1], clients[2], clients[3]:
        for turn in range(WARM_UP_REQUESTS + SEQUENTIAL_REQUESTS):
            for target, client in zip(targets, clients, strict=True):
                timing = await client.send()
                if turn >= WARM_UP_REQUESTS:
                    timings[target.name].append(timing)
    medians = {name: median(one.total_s for one in found) for name, found in timings.items()}
    measure = "added_streamed_p50" if is_streamed else "added_p50"
    for target in testbed.proxies:
        samples.add(measure, target.name, (medians[target.name] - medians["direct"]) * _MS)


async def _measure_unstreamed(target: Target, samples: _Samples) -> None:
    """Answered requests for each processor second."""
    used_s = await _load(target, 16, UNSTREAMED_CLIENTS, UNSTREAMED_REQUESTS, is_streamed=False)
    samples.add("requests_per_cpu_s", target.name, UNSTREAMED_REQUESTS / used_s)


async def _measure_chunks(target: Target, samples: _Samples) -> None:
    """Streamed chunks, as fast as they go, for each processor second."""
    used_s = await _load(target, STREAM_TOKENS, STREAM_CLIENTS, STREAMS, is_streamed=True)
    samples.add("chunks_per_cpu_s", target.name, STREAMS * STREAM_TOKENS / used_s)


async def _load(
    target: Target, tokens: int, clients: int, requests: int, *, is_streamed: bool
) -> float:
    """Send requests over some connections at once; returns the processor seconds they cost."""

    async def work() -> None:
        async with make_client(target, tokens=tokens, is_streamed=is_streamed) as client:
            for _ in range(requests // clients):
                await client.send()

    before = await target.read_cpu_s()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(work())
    return await target.read_cpu_s() - before


async def _measure_paced(testbed: Testbed, repeats: int, samples: _Samples) -> None:
    """How late paced streams end, at the most streams the pass-through keeps up with."""
    for streams in PACED_STREAMS:
        paced = await _run_paced(testbed.pass_through, streams)
        if paced.end_late_share <= LATE_SHARE:
            break
    samples.add("paced_streams", testbed.pass_through.name, streams)
    for _ in range(repeats):
        for target in testbed.proxies:
            before = await target.read_cpu_s()
            paced = await _run_paced(target, streams)
            used_s = await target.read_cpu_s() - before
            samples.add("paced_end_late_share_p99", target.name, paced.end_late_share)
            samples.add("paced_behind_share_p99", target.name, paced.behind_share)
            samples.add("paced_chunks_per_cpu_s", target.name, streams * PACED_TOKENS / used_s)


@dataclass(frozen=True, slots=True)
class _Paced:
    """How the 99th of a hundred paced streams fared, as shares of a stream's length."""

    end_late_share: float
    """By which it ends late: its start included, when all begin in one instant."""
    behind_share: float
    """By which it falls behind its pace once it has begun."""


async def _run_paced(target: Target, streams: int) -> _Paced:
    length_s = PACED_TOKENS * PACE_US / 1_000_000

    async def work() -> Timing:
        client = make_client(target, tokens=PACED_TOKENS, is_streamed=True, pace_us=PACE_US)
        async with client:
            return await client.send()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for _ in range(streams)]
    timings = [task.result() for task in tasks]
    ends = sorted(one.total_s for one in timings)
    lengths = sorted(one.total_s - one.first_byte_s for one in timings)
    last = streams * 99 // 100
    return _Paced(ends[last] / length_s - 1, lengths[last] / length_s - 1)


def make_client(target: Target, *, tokens: int, is_streamed: bool, pace_us: int = 0) -> LoadClient:
    """One connection that asks a way for answers of so many tokens, each `pace_us` apart."""
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": "Say something, please."}],
        "stream": is_streamed,
        "mock": {"tokens": tokens, "pace_us": pace_us},
    }
    return LoadClient(target.url, PATH, json.dumps(body).encode(), target.headers)


_UNITS = {
    "added_p50": "ms",
    "added_streamed_p50": "ms",
    "requests_per_cpu_s": "requests per CPU-second",
    "chunks_per_cpu_s": "chunks per CPU-second",
    "paced_end_late_share_p99": "share of its length",
    "paced_behind_share_p99": "share of its length",
    "paced_chunks_per_cpu_s": "chunks per CPU-second",
}


def _summarise(samples: _Samples) -> list[BenchResult]:
    """Each measure of each way, beside the pass-through's of the same run."""
    streams = samples.values.pop("paced_streams")["pass_through"]
    results = [compute_result("paced_streams_pass_through_keeps_up_with", "streams", streams)]
    for measure, ways in samples.values.items():
        baseline = ways["pass_through"]
        unit = _UNITS[measure]
        results.append(compute_result(f"{measure}_pass_through", unit, baseline))
        # A share next to zero is no measure to divide by.
        compared = None if measure == "paced_behind_share_p99" else baseline
        results += [
            compute_result(f"{measure}_{way}", unit, ways[way], compared)
            for way in ("local", "hop")
        ]
    return results
