"""How fast the simulator is: `wwwserve bench sim`.

A window of `s2` at load 0.7 is played on one core, each repeat another seed. Processor time is
counted, so other work on the machine moves it less than a clock would. The baselines are the bars
that the project has set itself, not another program's figures.

| figure | exactly |
|---|---|
| events a second | of the peers, all that goes on around them paid for by the same seconds |
| an hour of s2 | at this pace; the bar is a minute |
"""

import time

from msgspec.structs import replace

from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.sim import SCENARIOS, Verdict, fit_trace, prepare_ground, run_scenario
from wwwserve.values.moments import SECOND

WINDOW_US = 600 * SECOND
"""A sixth of the scenario."""
EVENTS_BAR = 30_000
HOUR_BAR_S = 60
_HOUR_US = 3_600 * SECOND


def measure_sim(repeats: int) -> list[BenchResult]:
    """All figures."""
    events: list[float] = []
    hours_s: list[float] = []
    scenario = replace(SCENARIOS["s2"], duration_us=WINDOW_US)
    ground = prepare_ground(scenario)
    for seed in range(1, repeats + 1):
        arrivals = fit_trace(ground, scenario, seed)
        began_s = time.process_time()
        result = run_scenario(scenario, seed, trace=arrivals)
        took_s = time.process_time() - began_s
        assert result.verdict is Verdict.OK, result.detail
        events.append(result.event_count / took_s)
        hours_s.append(took_s * _HOUR_US / WINDOW_US)
    return [
        compute_result("s2: events of peers", "events/s", events, [EVENTS_BAR]),
        compute_result("s2: an hour, on one core", "s", hours_s, [HOUR_BAR_S]),
    ]
