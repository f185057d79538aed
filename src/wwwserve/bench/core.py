"""How long the peer takes to decide, at full size: `wwwserve bench core`.

The same sequence of events (`bench.core_traffic`) is run several times, and each call counts with
its shortest time over the runs: the sequence is the same to the last bit, so what differs between
runs is the machine's other work, and what remains is the call itself. Every call is in the maximum;
its baseline is the bar: no call may take over 2 ms (rule 13 of the core).

The interpreter's collector of cyclic garbage is off meanwhile: it runs when it likes, for the whole
process, and the core leaves it nothing to do, which is measured too (`cyclic garbage`).
"""

import gc
from statistics import quantiles
from time import perf_counter_ns

from wwwserve.bench.core_traffic import Traffic
from wwwserve.bench.results import BenchResult
from wwwserve.core.events import EnvelopeReceived, Event

EVENTS = 60_000
"""Calls measured in each run; the first few fill the tables."""
HANDLE_BAR_US = 2_000
"""No `handle` call may take longer."""
_RUNS_MIN = 3
_SEED = b"bench core"
_NS_PER_US = 1_000
_NS_PER_S = 1_000_000_000


def measure_core(repeats: int) -> list[BenchResult]:
    """Microseconds of `handle` by kind of event, the slowest call, and events a second."""
    kinds, best_ns, garbage = _run()
    for _ in range(max(repeats, _RUNS_MIN) - 1):
        again, times_ns, _ = _run()
        assert again == kinds, "equal seeds must give equal runs"
        best_ns = [min(pair) for pair in zip(best_ns, times_ns, strict=True)]
    results = [
        BenchResult("events", len(best_ns) * _NS_PER_S / sum(best_ns), "1/s", None, None),
        _compare("handle max", max(best_ns)),
        BenchResult("cyclic garbage", garbage, "objects", None, None),
    ]
    for kind in sorted(dict.fromkeys(kinds)):
        of_kind = [ns for name, ns in zip(kinds, best_ns, strict=True) if name == kind]
        results.extend(_summarise(kind, of_kind))
    return results


def _run() -> tuple[list[str], list[int], int]:
    """One run: the kind of each event, the nanoseconds its `handle` took, and garbage left over."""
    traffic = Traffic(_SEED)
    kinds: list[str] = []
    times_ns: list[int] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(EVENTS):
            event = traffic.make_event()
            began_ns = perf_counter_ns()
            effects = traffic.peer.handle(event, traffic.now)
            times_ns.append(perf_counter_ns() - began_ns)
            kinds.append(_name(event))
            traffic.note(effects)
        return kinds, times_ns, gc.collect()
    finally:
        gc.enable()


def _name(event: Event) -> str:
    if isinstance(event, EnvelopeReceived):
        return type(event.envelope.message).__name__
    return type(event).__name__


def _summarise(kind: str, times_ns: list[int]) -> list[BenchResult]:
    cuts = quantiles(times_ns, n=100, method="inclusive") if len(times_ns) > 1 else times_ns * 99
    return [
        BenchResult(f"{kind} p50", cuts[49] / _NS_PER_US, "us", None, None),
        BenchResult(f"{kind} p99", cuts[98] / _NS_PER_US, "us", None, None),
        _compare(f"{kind} max", max(times_ns)),
    ]


def _compare(name: str, time_ns: int) -> BenchResult:
    """A maximum beside its bar."""
    value_us = time_ns / _NS_PER_US
    return BenchResult(name, value_us, "us", HANDLE_BAR_US, value_us / HANDLE_BAR_US)
