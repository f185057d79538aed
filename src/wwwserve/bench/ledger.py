"""What the ledger costs: `wwwserve bench ledger`.

Feed blocks are signed before. Measured is all that a sequencer does with them, one thing after the
other: reading the bytes, checking signatures and hash chains, ordering, the durable write (while
which nothing else is done), and applying. The clock that paces blocks is pretend, so that nothing
waits but for the disk. `feed_blocks_per_s` is for requests: a hold, then its claim of nine units,
each in a feed block of its own; `of processor time` is the same without what other processes took.

The longest call is taken with a hundred thousand accounts; each call counts with its shortest time
over the repeats, as in `bench core`.
"""

import asyncio
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final

from wwwserve.adapters.storage import MemoryStore, SqliteStore
from wwwserve.bench.ledger_host import LedgerHost
from wwwserve.bench.ledger_traffic import Traffic, make_crowd
from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.core.chain import begin_chain
from wwwserve.core.ledger import FeedApplied, Ledger, OpRefused
from wwwserve.values.ledger_parameters import MAIN_LEDGER
from wwwserve.values.moments import MILLISECOND
from wwwserve.wire.chain import read_feed_shape
from wwwserve.wire.ledger import FEEDS_PER_BLOCK_MAX

FEEDS: Final = 4 * FEEDS_PER_BLOCK_MAX
"""Feed blocks measured in each repeat."""
FEEDS_BAR: Final = 3_000
"""Feed blocks a second that a network may plan with; one core must do more."""
CROWD: Final = 100_000
"""Accounts in the state while the longest call is sought."""
CALL_BAR_MS: Final = 2.0
"""No call may take longer."""
_CROWD_RUNS_MIN: Final = 3
_NS_PER_MS: Final = 1_000_000
_PACE_US: Final = MAIN_LEDGER.height_ms_min * MILLISECOND


def measure_ledger(repeats: int) -> list[BenchResult]:
    """Feed blocks and payments a second on one core, and the longest call in a large state."""
    rates = [_measure_requests() for _ in range(repeats)]
    payments = {count: [_measure_payments(count) for _ in range(repeats)] for count in (1, 4, 16)}
    longest_ms = _find_longest_ms(max(repeats, _CROWD_RUNS_MIN))
    bars: list[float] = [FEEDS_BAR] * repeats
    results = [
        compute_result("feed_blocks_per_s", "1/s", [rate.by_clock for rate in rates], bars),
        compute_result("of processor time", "1/s", [rate.by_processor for rate in rates], bars),
    ]
    for count, found in payments.items():
        name = f"feed blocks of {count} payment{'s' if count > 1 else ''}"
        feeds = [rate.by_clock for rate in found]
        results.append(compute_result(name, "1/s", feeds))
        paid = [count * rate for rate in feeds]
        results.append(compute_result(f"{name}, payments", "1/s", paid))
    for name, value in longest_ms.items():
        results.append(BenchResult(name, value, "ms", CALL_BAR_MS, value / CALL_BAR_MS))
    return results


@dataclass(frozen=True, slots=True)
class _Rate:
    """Feed blocks a second."""

    by_clock: float
    by_processor: float


def _measure_requests() -> _Rate:
    return _measure_rate(lambda traffic: traffic.make_requests(FEEDS))


def _measure_payments(count: int) -> _Rate:
    return _measure_rate(lambda traffic: traffic.make_payments(FEEDS, count))


def _measure_rate(make: Callable[[Traffic], list[bytes]]) -> _Rate:
    """Feed blocks a second, from the bytes of a link to a durable and applied block."""
    traffic = Traffic()
    said = make(traffic)
    with TemporaryDirectory(prefix="wwwserve-bench-") as folder:
        return asyncio.run(_run_rate(traffic, said, Path(folder)))


async def _run_rate(traffic: Traffic, said: Sequence[bytes], folder: Path) -> _Rate:
    store = SqliteStore(folder)
    host = LedgerHost(begin_chain(traffic.genesis), traffic.sequencer, store)
    await host.start()
    began_s, began_cpu_s = perf_counter(), process_time()
    for start in range(0, len(said), FEEDS_PER_BLOCK_MAX):
        part = said[start : start + FEEDS_PER_BLOCK_MAX]
        host.submit([traffic.opener.open(read_feed_shape(data)) for data in part])
        await host.close_block(_PACE_US)
    took_s, took_cpu_s = perf_counter() - began_s, process_time() - began_cpu_s
    await store.close()
    facts = [fact for told in host.told for fact in told.facts]
    assert sum(1 for fact in facts if isinstance(fact, FeedApplied)) == len(said)
    assert not any(isinstance(fact, OpRefused) for fact in facts)
    return _Rate(len(said) / took_s, len(said) / took_cpu_s)


# -- the longest call ------------------------------------------------------------------------------


def _find_longest_ms(runs: int) -> dict[str, float]:
    """The longest call of each kind of block, in a state of `CROWD` accounts."""
    best: dict[str, list[int]] = {}
    for _ in range(runs):
        for name, calls_ns in asyncio.run(_run_crowd()).items():
            before = best.get(name, calls_ns)
            best[name] = [min(pair) for pair in zip(before, calls_ns, strict=True)]
    return {name: max(calls_ns) / _NS_PER_MS for name, calls_ns in best.items()}


async def _run_crowd() -> dict[str, list[int]]:
    """Full blocks of requests, and of sixteen payments each, applied to a large state."""
    traffic = Traffic()
    ledger = Ledger.restore(make_crowd(traffic.genesis, CROWD))
    loaded = replace(begin_chain(traffic.genesis), ledger=ledger, changes={})
    host = LedgerHost(loaded, traffic.sequencer, MemoryStore())
    await host.start()
    calls_ns: dict[str, list[int]] = {}
    said = {
        "requests": traffic.make_requests(FEEDS_PER_BLOCK_MAX),
        "16 payments": traffic.make_payments(FEEDS_PER_BLOCK_MAX, 16),
    }
    gc.collect()
    gc.disable()
    try:
        for name, feeds in said.items():
            host.submit([traffic.opener.open(read_feed_shape(data)) for data in feeds])
            host.calls_ns.clear()
            await host.close_block(_PACE_US)
            calls_ns[f"longest call, a block of {name}"] = list(host.calls_ns)
    finally:
        gc.enable()
    return calls_ns
