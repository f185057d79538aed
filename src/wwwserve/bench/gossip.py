"""What membership costs and how soon it knows: `wwwserve bench gossip`.

Crowds of production peers in virtual time (`sim.membership`), one of each size; the questions that
take time are put to the largest. These figures are the same on every machine, and a repeat is
another seed: 1, 2, and so on. The processor time of a message, and of a real node with nothing to
do, depend on this one. Where the project has set itself a bar, it stands as the baseline: a ratio
of 1 or less keeps it.

| figure | exactly |
|---|---|
| a node sends | frames, TLS and heartbeats (`sim.traffic`) at rest; the mean of all nodes |
| start to all agree | from the start of the last until each holds all others alive |
| update reaches all | at worst, 1 % of messages lost and sent again |
| kill, cut to suspected | until 99 % of the others doubt it; a power cut closes no links |
| kill, cut to dead | until all others hold it dead, at worst |
| healed to all agree | after the crowd was cut into halves for a minute |
| false suspicions, deaths | in ten minutes in which 5 % are lost and sent again |
"""

from collections.abc import Sequence
from statistics import mean, quantiles

from wwwserve.bench.idle_node import measure_idle_node
from wwwserve.bench.message_cost import measure_link, measure_messages
from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.sim import (
    Crash,
    Crowd,
    CrowdPlan,
    Idle,
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

NODES = (10, 50, 200)
"""Sizes of the crowds."""
SPREAD_BAR_S = 4
BYTES_BAR = 1_000
"""Sent by a node in a second."""
FLAT_BAR = 1.2
"""The largest crowd's traffic of a node, over the smallest's."""
SUSPECTED_P50_BAR_S = 3
SUSPECTED_P95_BAR_S = 6
CONFIRMED_BAR_S = 20

SPREADS = 10
"""Updates watched in each repeat."""
CRASHES = 10
"""Crashes of each kind in each repeat."""
IDLE_US = 120 * SECOND
DOUBTS_US = 600 * SECOND
PARTITION_US = 60 * SECOND
LOSS_PERMILLE = 10
"""In the ordinary trials."""
HEAVY_LOSS_PERMILLE = 50
"""In the trial of false doubts."""


def measure_gossip(repeats: int, nodes: Sequence[int] = NODES) -> list[BenchResult]:
    """All figures; `nodes` are the sizes of the crowds."""
    return [*measure_crowds(repeats, nodes), *measure_link(), *measure_idle_node()]


def measure_crowds(repeats: int, nodes: Sequence[int]) -> list[BenchResult]:
    """What is measured in virtual time; the largest crowd answers the long questions."""
    sizes = sorted(dict.fromkeys(nodes))
    crowds = {size: [_open_crowd(size, seed) for seed in range(1, repeats + 1)] for size in sizes}
    idles = {size: [measure_idle(crowd, IDLE_US) for crowd, _ in crowds[size]] for size in sizes}
    name, largest = f"{sizes[-1]} nodes", crowds[sizes[-1]]
    starts = [agreed_us / SECOND for _, agreed_us in largest]
    return [
        *_show_traffic(idles),
        *measure_messages(largest[0][0]),
        compute_result(f"{name}: start to all agree", "s", starts),
        *_show_trials(name, [crowd for crowd, _ in largest]),
    ]


def _open_crowd(size: int, seed: int) -> tuple[Crowd, int]:
    """A crowd at rest with one member still to come, and how long it took to agree."""
    crowd = Crowd(CrowdPlan(size, loss_permille=LOSS_PERMILLE), seed)
    return crowd, settle(crowd, crowd.hosts[:-1])


def _show_traffic(idles: dict[int, list[Idle]]) -> list[BenchResult]:
    rates = {size: mean(idle.bytes_per_s for idle in idles[size]) for size in idles}
    results = []
    for size, some in idles.items():
        name, busiest = f"{size} nodes", max(idle.busiest_bytes_per_s for idle in some)
        results += [
            _hold(f"{name}: a node sends", "B/s", rates[size], BYTES_BAR),
            BenchResult(f"{name}: the busiest sends", busiest, "B/s", None, None),
            compute_result(f"{name}: links of a node", "links", [idle.links for idle in some]),
        ]
    name = f"a node sends, {max(rates)} nodes over {min(rates)}"
    return [*results, _hold(name, "x", rates[max(rates)] / rates[min(rates)], FLAT_BAR)]


def _show_trials(name: str, crowds: list[Crowd]) -> list[BenchResult]:
    spreads = [
        measure_spread(crowd, host) for crowd in crowds for host in pick_hosts(crowd, SPREADS)
    ]
    joins = [measure_newcomer(crowd, crowd.hosts[-1]) / SECOND for crowd in crowds]
    kills, cuts = (
        [
            measure_crash(crowd, host, is_silent=is_silent)
            for crowd in crowds
            for host in pick_hosts(crowd, CRASHES)
        ]
        for is_silent in (False, True)
    )
    merges = [measure_partition(crowd, PARTITION_US) / SECOND for crowd in crowds]
    return [
        _hold(f"{name}: update reaches all", "s", max(spreads) / SECOND, SPREAD_BAR_S),
        compute_result(f"{name}: newcomer to all agree", "s", joins),
        *_show_crashes(f"{name}: kill", kills),
        *_show_crashes(f"{name}: cut", cuts),
        compute_result(f"{name}: healed to all agree", "s", merges),
        *_show_doubts(name, crowds),
    ]


def _show_crashes(name: str, crashes: list[Crash]) -> list[BenchResult]:
    suspected_s = [crash.suspected_us / SECOND for crash in crashes]
    confirmed_s = [crash.confirmed_us / SECOND for crash in crashes]
    cuts = quantiles(suspected_s, n=20, method="inclusive")
    return [
        _hold(f"{name} to suspected, p50", "s", cuts[9], SUSPECTED_P50_BAR_S),
        _hold(f"{name} to suspected, p95", "s", cuts[18], SUSPECTED_P95_BAR_S),
        _hold(f"{name} to dead", "s", max(confirmed_s), CONFIRMED_BAR_S),
    ]


def _show_doubts(name: str, crowds: list[Crowd]) -> list[BenchResult]:
    suspicions = deaths = 0
    for crowd in crowds:
        crowd.set_loss(HEAVY_LOSS_PERMILLE)
        doubts = watch_doubts(crowd, DOUBTS_US)
        suspicions += doubts.suspicions
        deaths += doubts.deaths
    return [
        BenchResult(f"{name}: false suspicions", suspicions, "", None, None),
        BenchResult(f"{name}: false deaths", deaths, "", 0, None),
    ]


def _hold(name: str, unit: str, value: float, bar: float) -> BenchResult:
    """A figure beside its bar."""
    return BenchResult(name, value, unit, bar, value / bar)
