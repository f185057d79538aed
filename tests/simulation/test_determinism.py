"""Same seed, same run: equal digests over every effect, in processes with different hash seeds.

Sets and hashes of strings differ between such processes, so a walked set anywhere in the peer shows
as a different digest.
"""

import json
import os
import subprocess
import sys

import pytest

from wwwserve.sim import SCENARIOS, run_fuzz, run_scenario

SEEDS = "1-3"


def fuzz_elsewhere(hash_seed: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "wwwserve.cli", "sim", "fuzz", "--seeds", SEEDS, "--json"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, object]] = json.loads(done.stdout)["seeds"]
    return found


@pytest.mark.slow
def test_a_seed_is_the_same_run_under_any_hash_seed() -> None:
    one, other = fuzz_elsewhere("1"), fuzz_elsewhere("2")
    assert [run["seed"] for run in one] == [1, 2, 3]
    assert one == other


@pytest.mark.slow
def test_a_seed_is_the_same_run_twice_in_one_process() -> None:
    assert run_fuzz(2).digest == run_fuzz(2).digest


@pytest.mark.slow
def test_seeds_and_strategies_differ() -> None:
    hello = SCENARIOS["hello"]
    runs = [
        run_scenario(hello, 1),
        run_scenario(hello, 2),
        run_scenario(hello, 1, strategy="single"),
    ]
    assert len({run.digest for run in runs}) == 3
    assert [one.arrival_us for one in runs[0].requests] == [
        one.arrival_us for one in runs[2].requests
    ], "strategies are compared on the same requests"


@pytest.mark.slow
def test_offloading_beats_serving_alone_where_one_node_has_all_users() -> None:
    hello = SCENARIOS["hello"]
    together, alone = (run_scenario(hello, 1, strategy=one) for one in ("wwwserve", "single"))
    times = [
        sorted(one.ended_us - one.arrival_us for one in run.requests) for run in (together, alone)
    ]
    assert times[0][len(times[0]) // 2] * 2 < times[1][len(times[1]) // 2]
