"""Thirty real nodes agree on who is there, within ten seconds of whatever changed it.

Thirty processes of `wwwserve up` on two islands (network namespaces, `tests.integration.islands`),
and every one of them is asked what it holds of the others. Three times something changes: the last
node has said that it is ready; one is killed with `kill -9`; the cable between the islands, pulled
until each side holds the other dead, is plugged in again. Times are real ones, from that moment to
the first look at which all agree. In between, what their sockets carry while nothing happens is
compared with what as many simulated nodes send.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.integration.islands import Island, Watch, find_obstacle, open_islands
from wwwserve.sim.membership import Crowd, CrowdPlan, measure_idle, settle
from wwwserve.values.moments import MILLISECOND, SECOND

NODES_PER_ISLAND = 15
AGREE_S = 10.0
LOOK_S = 0.1
SETTLE_LOOK_S, WATCHED_S = 10.0, 40.0
STILL_SHARE = 0.9
"""Of the bytes of the look before: while the news of the start is told, each look brings fewer."""
SETTLE_LOOKS_MAX = 6
BYTES_TOLERANCE = 0.15
APART_WAIT_S = 60.0
"""For each side to hold the other dead: seconds of suspicion, which grow with the network."""

View = Mapping[str, Mapping[str, str]]
"""What each node that answers holds of each other."""

pytestmark = [pytest.mark.alone, pytest.mark.slow]


def require_islands() -> None:
    """Skip where no namespaces can be made; in CI that is a failure, or nobody would notice."""
    obstacle = find_obstacle()
    if obstacle and os.environ.get("CI") == "true":
        pytest.fail(obstacle)
    if obstacle:
        pytest.skip(obstacle)


async def look(watches: list[Watch]) -> View:
    views = await asyncio.gather(*(watch.look() for watch in watches))
    return {node: held for view in views for node, held in view.items()}


async def time_until(
    watches: list[Watch], is_met: Callable[[View], bool], *, within_s: float
) -> float:
    """Seconds from now to the first look that satisfies a condition."""
    began = time.monotonic()
    while True:
        view = await look(watches)
        spent_s = time.monotonic() - began
        if is_met(view):
            return spent_s
        assert spent_s < within_s, tell(view)
        await asyncio.sleep(LOOK_S)


def tell(view: View) -> str:
    """How many nodes hold how many of the others for what."""
    statuses = [sorted(held.values()) for held in view.values()]
    counts = sorted({status: one.count(status) for status in one}.items() for one in statuses)
    return f"{len(view)} nodes answer, and hold: {[dict(one) for one in counts]}"


def is_agreed(names: list[str]) -> Callable[[View], bool]:
    """Whether exactly these answer, and each holds all others of them alive."""

    def is_met(view: View) -> bool:
        return sorted(view) == sorted(names) and all(
            held.get(name) == "alive"
            for node, held in view.items()
            for name in names
            if name != node
        )

    return is_met


def is_doubted(names: list[str], lost: list[str], *statuses: str) -> Callable[[View], bool]:
    """Whether each of these holds all the lost for one of these."""
    return lambda view: all(view[name].get(other) in statuses for name in names for other in lost)


async def start_all(islands: tuple[Island, Island]) -> None:
    for island in islands:
        await island.start_engine()
    entries = [island.entry for island in islands]
    for island in islands:
        await island.start_node(entries)
    async with asyncio.TaskGroup() as tasks:
        for island in islands:
            tasks.create_task(start_rest(island, entries))


async def start_rest(island: Island, entries: list[str]) -> None:
    """Two at a time, one on each island: more would only wait for a processor."""
    for _ in range(NODES_PER_ISLAND - 1):
        await island.start_node(entries)


async def measure_bytes_per_s(islands: tuple[Island, Island]) -> float:
    """What a node's links carry in a second while nothing happens, read from the sockets."""
    sent = await measure_sent(islands, SETTLE_LOOK_S)
    for _ in range(SETTLE_LOOKS_MAX):
        before, sent = sent, await measure_sent(islands, SETTLE_LOOK_S)
        if sent >= STILL_SHARE * before:
            break
    return await measure_sent(islands, WATCHED_S)


async def measure_sent(islands: tuple[Island, Island], span_s: float) -> float:
    """Bytes a node sends in a second of this span."""
    before, began = sum(island.read_sent_bytes() for island in islands), time.monotonic()
    await asyncio.sleep(span_s)
    after, ended = sum(island.read_sent_bytes() for island in islands), time.monotonic()
    return (after - before) / (ended - began) / (2 * NODES_PER_ISLAND)


def simulate_bytes_per_s() -> float:
    """The same of as many simulated nodes, as near to each other."""
    crowd = Crowd(CrowdPlan(2 * NODES_PER_ISLAND, latency_us=MILLISECOND), 1)
    settle(crowd)
    return measure_idle(crowd, 60 * SECOND).bytes_per_s


async def kill_one(island: Island, watches: list[Watch], names: list[str]) -> float:
    """Kill a node; the seconds until all others hold it for lost."""
    killed = island.nodes[-1]
    killed.process.kill()
    names.remove(killed.name)
    lost = is_doubted(names, [killed.name], "suspect", "dead")
    return await time_until(watches, lost, within_s=AGREE_S)


async def part_and_join(
    islands: tuple[Island, Island], watches: list[Watch], names: list[str]
) -> float:
    """Part the islands until each holds the other dead; the seconds from the joining to peace."""
    here, there = ([node.name for node in one.nodes if node.name in names] for one in islands)
    islands[1].pull_cable()
    for some, strangers in ((here, there), (there, here)):
        await time_until(watches, is_doubted(some, strangers, "dead"), within_s=APART_WAIT_S)
    islands[1].plug_cable()
    return await time_until(watches, is_agreed(names), within_s=AGREE_S)


async def test_thirty_nodes_agree_after_a_start_a_kill_and_a_partition(tmp_path: Path) -> None:
    require_islands()
    async with open_islands(tmp_path) as islands:
        await start_all(islands)
        watches = [await island.start_watch() for island in islands]
        names = [node.name for island in islands for node in island.nodes]
        started_s = await time_until(watches, is_agreed(names), within_s=AGREE_S)
        sent, simulated = await measure_bytes_per_s(islands), simulate_bytes_per_s()
        killed_s = await kill_one(islands[0], watches, names)
        healed_s = await part_and_join(islands, watches, names)
    # To be seen with `pytest -s`; docs/benchmarks.md has the figures from there.
    sys.stdout.write(
        f"\nall agreed {started_s:.1f} s after the start, {killed_s:.1f} s after the kill, "
        f"{healed_s:.1f} s after the healing; a node sent {sent:.0f} B/s, "
        f"{simulated:.0f} simulated\n"
    )
    assert sent == pytest.approx(simulated, rel=BYTES_TOLERANCE)
