"""Thirty real nodes agree on who is there, within ten seconds of whatever changed it.

Thirty processes of `wwwserve up` on two islands (network namespaces, `tests.integration.islands`),
and every one of them is asked what it holds of the others. Three times something changes: the last
node has said that it is ready; one is killed with `kill -9`; the cable between the islands, pulled
until each side holds the other dead, is plugged in again. Times are real ones, from that moment to
the first look at which all agree.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.integration.islands import Island, Watch, find_obstacle, open_islands

NODES_PER_ISLAND = 15
AGREE_S = 10.0
LOOK_S = 0.1
APART_WAIT_S = 60.0
"""For each side to hold the other dead: seconds of suspicion, which grow with the network."""

View = Mapping[str, Mapping[str, str]]
"""What each node that answers holds of each other."""

pytestmark = pytest.mark.slow


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


async def test_thirty_nodes_agree_after_a_start_a_kill_and_a_partition(tmp_path: Path) -> None:
    require_islands()
    async with open_islands(tmp_path) as islands:
        one, other = islands
        await start_all(islands)
        watches = [await island.start_watch() for island in islands]
        here, there = ([node.name for node in island.nodes] for island in islands)

        started_s = await time_until(watches, is_agreed(here + there), within_s=AGREE_S)

        killed = one.nodes[-1]
        killed.process.kill()
        here.remove(killed.name)
        lost = is_doubted(here + there, [killed.name], "suspect", "dead")
        killed_s = await time_until(watches, lost, within_s=AGREE_S)

        other.pull_cable()
        for names, strangers in ((here, there), (there, here)):
            apart = is_doubted(names, strangers, "dead")
            await time_until(watches, apart, within_s=APART_WAIT_S)
        other.plug_cable()
        healed_s = await time_until(watches, is_agreed(here + there), within_s=AGREE_S)

        # To be seen with `pytest -s`; docs/benchmarks.md has them from there.
        sys.stdout.write(
            f"\nall agreed {started_s:.1f} s after the start, {killed_s:.1f} s after the kill, "
            f"{healed_s:.1f} s after the healing\n"
        )
