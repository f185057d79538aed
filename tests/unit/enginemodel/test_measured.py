"""The measured runs that ship with the package are whole, and each has a profile to stand for it.

How well the model reproduces them is tested with the bench that tells it.
"""

import pytest

from wwwserve.enginemodel import MEASURED_RUNS, MeasuredRun, load_times


@pytest.mark.parametrize("run", MEASURED_RUNS, ids=lambda run: run.name)
def test_a_measured_run_is_whole(run: MeasuredRun) -> None:
    measured = load_times(run)
    assert len(measured) == 300
    assert all(times.lateness.e2e_us >= times.lateness.ttft_us > 0 for times in measured)
    assert run.get_profile().max_num_seqs == run.max_num_seqs
