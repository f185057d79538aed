"""Membership keeps its bars at size: news, traffic, crashes, loss, newcomers, healed halves.

Production peers in virtual time, so the figures are those of `wwwserve bench gossip` and the same
on every machine; here they are held against the bars. All questions are put to one crowd, one after
the other, since it takes a while to come together; each trial leaves it in agreement. They are put
a few times each, to 80 nodes; `make sim-night` asks more often, of several crowds of 200, and
watches for false deaths for the full ten minutes.
"""

import os
from statistics import quantiles

import pytest

from wwwserve.sim.membership import (
    Crash,
    Crowd,
    CrowdPlan,
    measure_crash,
    measure_idle,
    measure_newcomer,
    measure_partition,
    measure_spread,
    pick_hosts,
    settle,
    watch_doubts,
)
from wwwserve.values.moments import SECOND

LOSS_PERMILLE = 10
HEAVY_LOSS_PERMILLE = 50
AGREE_US_MAX = 10 * SECOND
SPREAD_US_MAX = 4 * SECOND
BYTES_PER_S_MAX = 1_000
FLATNESS_MAX = 1.2
SUSPECTED_P50_US_MAX = 3 * SECOND
SUSPECTED_P95_US_MAX = 6 * SECOND
CONFIRMED_US_MAX = 20 * SECOND
PARTITION_US = 60 * SECOND
IS_NIGHT = os.environ.get("WWWSERVE_NIGHT") == "1"
"""Set by `make sim-night`."""
NODES = 200 if IS_NIGHT else 80
SEEDS = (1, 2, 3) if IS_NIGHT else (1,)
SPREADS = 10 if IS_NIGHT else 3
CRASHES = 20 if IS_NIGHT else 4
IDLE_US = (120 if IS_NIGHT else 20) * SECOND
WATCHED_US = (600 if IS_NIGHT else 40) * SECOND

pytestmark = pytest.mark.slow


def open_crowd(node_count: int, seed: int) -> tuple[Crowd, int]:
    """A crowd at rest, whose last member is still to come, and how long it took to agree."""
    crowd = Crowd(CrowdPlan(node_count, loss_permille=LOSS_PERMILLE), seed)
    return crowd, settle(crowd, crowd.hosts[:-1])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bars_are_kept_at_size(seed: int) -> None:
    small = [measure_idle(open_crowd(size, seed)[0], IDLE_US).bytes_per_s for size in (10, 50)]
    crowd, agreed_us = open_crowd(NODES, seed)
    assert agreed_us <= AGREE_US_MAX
    check_traffic([*small, measure_idle(crowd, IDLE_US).bytes_per_s])
    for host in pick_hosts(crowd, SPREADS):
        assert measure_spread(crowd, host) <= SPREAD_US_MAX
    assert measure_newcomer(crowd, crowd.hosts[-1]) <= AGREE_US_MAX
    for is_silent in (False, True):
        hosts = pick_hosts(crowd, CRASHES)
        check_crashes([measure_crash(crowd, host, is_silent=is_silent) for host in hosts])
    check_doubts(crowd)
    assert measure_partition(crowd, PARTITION_US) <= AGREE_US_MAX


def check_traffic(rates: list[float]) -> None:
    """What a node sends is little, and as much in a large network as in a small one."""
    assert max(rates) <= BYTES_PER_S_MAX
    assert max(rates) <= FLATNESS_MAX * min(rates)


def check_crashes(crashes: list[Crash]) -> None:
    cuts = quantiles([crash.suspected_us for crash in crashes], n=20, method="inclusive")
    assert cuts[9] <= SUSPECTED_P50_US_MAX
    assert cuts[18] <= SUSPECTED_P95_US_MAX
    assert max(crash.confirmed_us for crash in crashes) <= CONFIRMED_US_MAX


def check_doubts(crowd: Crowd) -> None:
    """One message in twenty is lost: nobody is buried alive, and whoever is doubted refutes it."""
    crowd.set_loss(HEAVY_LOSS_PERMILLE)
    doubts = watch_doubts(crowd, WATCHED_US)
    crowd.set_loss(LOSS_PERMILLE)
    assert doubts.deaths == 0
    assert crowd.wait_until(crowd.standing.is_agreed, within_us=AGREE_US_MAX) is not None
