"""The engine model against a real engine: `bench engine` replays three measured runs of vLLM.

The bar is a tenth of the measured mean time from request to last token. The numbers are written out
(`pytest -s` shows them), so that a change of the model shows what it did.
"""

import sys

from wwwserve.bench.engine import MEASURES, measure_engine
from wwwserve.enginemodel import MEASURED_RUNS

ERROR_MAX = {"e2e": 0.10, "tpot": 0.10, "ttft": 0.15}
"""In overloaded runs TTFT is mostly queueing, where every other error adds up."""


def test_the_measured_runs_are_reproduced() -> None:
    results = {result.name: result for result in measure_engine(repeats=1)}
    assert len(results) == len(MEASURED_RUNS) * (len(MEASURES) + 1)
    for run in MEASURED_RUNS:
        for measure in MEASURES:
            result = results[f"{run.name} mean {measure}"]
            assert result.ratio is not None
            error = result.ratio - 1
            sys.stdout.write(
                f"{result.name}: {result.value:.4g} s, measured {result.baseline:.4g} s, "
                f"{error:+.1%}\n"
            )
            assert abs(error) <= ERROR_MAX[measure], result
