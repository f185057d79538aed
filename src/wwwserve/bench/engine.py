"""How true the model of an engine is, and how fast it runs: `wwwserve bench engine`.

Three measured runs of a real engine are replayed request by request. Each mean time stands beside
the measured one, so the ratio is the model's error; it is the same on every machine. How much
faster than the real engine the model runs depends on this one.
"""

from statistics import mean
from time import perf_counter

from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.enginemodel import MEASURED_RUNS, Lateness, MeasuredRun, load_times, replay
from wwwserve.values.moments import SECOND

MEASURES = ("e2e", "ttft", "tpot")
"""Request to last token, request to first token, and from one token to the next."""


def measure_engine(repeats: int) -> list[BenchResult]:
    """Mean times of each run, modelled against measured, and how fast it was replayed."""
    return [result for run in MEASURED_RUNS for result in _measure_run(run, repeats)]


def _measure_run(run: MeasuredRun, repeats: int) -> list[BenchResult]:
    measured = load_times(run)
    profile = run.get_profile()
    arrivals = [times.arrival for times in measured]
    modelled: list[Lateness] = []
    took_s: list[float] = []
    for _ in range(repeats):
        began_s = perf_counter()
        modelled = replay(profile, arrivals)
        took_s.append(perf_counter() - began_s)
    latenesses = [times.lateness for times in measured]
    last_s = max(times.arrival.at + times.lateness.e2e_us for times in measured) / SECOND
    return [
        *(_compare(run, measure, modelled, latenesses) for measure in MEASURES),
        compute_result(f"{run.name} speedup", "x", [last_s / span_s for span_s in took_s]),
    ]


def _compare(
    run: MeasuredRun, measure: str, modelled: list[Lateness], measured: list[Lateness]
) -> BenchResult:
    name = f"{run.name} mean {measure}"
    means = [
        mean(getattr(lateness, f"{measure}_us") for lateness in latenesses) / SECOND
        for latenesses in (modelled, measured)
    ]
    return compute_result(name, "s", means[:1], means[1:])
