"""What a real node takes of the machine while nobody asks anything: a part of `bench gossip`.

Two node processes on loopback, linked, each in front of a mock engine process whose state it reads
once a second as usual. The one measured has been up for a while; what it took to start is not
counted.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from wwwserve.bench.processes import Child
from wwwserve.bench.results import BenchResult
from wwwserve.bench.testbed import get_json, start_node, wait_met

CPU_BAR_PERCENT = 1
MEMORY_BAR_MB = 150
SETTLE_S = 5.0
"""After the two have met, until all the work of starting is done."""
WATCHED_S = 20.0
_PERCENT = 100
_BYTES_PER_MB = 1_000_000


def measure_idle_node() -> list[BenchResult]:
    """Processor share and memory of a node that is linked with another and has nothing to do."""
    cpu_percent, memory_mb = asyncio.run(_watch())
    return [
        BenchResult(
            "an idle node's processor",
            cpu_percent,
            "% of a core",
            CPU_BAR_PERCENT,
            cpu_percent / CPU_BAR_PERCENT,
        ),
        BenchResult(
            "an idle node's memory", memory_mb, "MB", MEMORY_BAR_MB, memory_mb / MEMORY_BAR_MB
        ),
    ]


async def _watch() -> tuple[float, float]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wwwserve-bench-")))
        engine = await stack.enter_async_context(
            Child(("-m", "wwwserve.adapters.engines.mock_server"))
        )
        url = str(engine.ready["url"])
        other = await start_node(stack, folder / "other", url, bootstrap=())
        watched = await start_node(stack, folder / "watched", url, bootstrap=other.links)
        await wait_met(watched)
        await asyncio.sleep(SETTLE_S)
        before = await get_json(*watched.process_page)
        await asyncio.sleep(WATCHED_S)
        after = await get_json(*watched.process_page)
    spent_s = float(str(after["cpu_s"])) - float(str(before["cpu_s"]))
    passed_s = float(str(after["uptime_s"])) - float(str(before["uptime_s"]))
    return spent_s / passed_s * _PERCENT, int(str(after["rss_bytes"])) / _BYTES_PER_MB
