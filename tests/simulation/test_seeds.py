"""Whole networks survive what a seed does to them: known seeds always, new seeds each time.

Each seed plays faults and cheats under the checkers (safety), then heals a core and expects it to
converge and to answer everything (liveness). A failure names the command that repeats it.
"""

import secrets
import time
from pathlib import Path

import pytest

from wwwserve.sim import ORDINARY, SCENARIOS, Scenario, Verdict, run_fuzz, run_scenario
from wwwserve.sim.measures import measure

SEEDS_FILE = Path(__file__).with_name("seeds.txt")
NEW_SEEDS_SECONDS = 15
NEW_SEED_BITS = 48


def read_seeds() -> list[int]:
    lines = SEEDS_FILE.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def check_seed(seed: int) -> None:
    result = run_fuzz(seed)
    repeat = f"repeat it with: wwwserve sim replay {seed}"
    assert result.verdict is Verdict.OK, f"{result.detail}\n{repeat}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", read_seeds())
def test_a_seed_that_once_failed_stays_good(seed: int) -> None:
    check_seed(seed)


@pytest.mark.slow
def test_new_seeds_are_good() -> None:
    # New on purpose: each run of the tests looks where none has looked before, and a failure is
    # repeated exactly by its number. The time only bounds how many are tried.
    end = time.monotonic() + NEW_SEEDS_SECONDS
    tried = 0
    while tried == 0 or time.monotonic() < end:
        check_seed(secrets.randbits(NEW_SEED_BITS))
        tried += 1


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ORDINARY, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("strategy", ["wwwserve", "single"])
def test_built_in_scenarios_keep_all_rules(scenario: Scenario, strategy: str) -> None:
    result = run_scenario(scenario, 1, strategy=strategy)
    assert result.verdict is Verdict.OK, result.detail


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_node_of_an_equal_network_is_left_without_work(seed: int) -> None:
    # Load on one node of four: the others all get a share, also those nobody has tried yet.
    result = run_scenario(SCENARIOS["hello"], seed)
    served = measure(result).served
    assert len(served) == 4
    assert min(served.values()) > 0
