"""All users at one node of four unlike GPUs: the network does at least 95 % of what a pool would.

Both play the same requests on the same engine models; what counts is answered before the last
request comes. `tests/integration/test_one_loaded_node.py` does it with processes.
"""

import pytest

from wwwserve.sim import SCENARIOS, Measures, Verdict, apply_settings, measure, run_scenario

SECONDS = 120
POOL_SHARE_MIN = 0.95


def play(load_permille: int, strategy: str) -> Measures:
    settings = (f"workload.load_permille={load_permille}", f"duration_us={SECONDS * 1_000_000}")
    scenario = apply_settings(SCENARIOS["overloaded-origin"], settings)
    result = run_scenario(scenario, 1, strategy=strategy)
    assert result.verdict is Verdict.OK, result.detail
    return measure(result)


@pytest.mark.slow
@pytest.mark.parametrize("load_permille", [900, 1_100], ids=["near the limit", "above the limit"])
def test_one_loaded_node_of_four_does_what_a_pool_would(load_permille: int) -> None:
    network, pool = (play(load_permille, strategy) for strategy in ("wwwserve", "pool"))
    assert network.completed_in_time >= POOL_SHARE_MIN * pool.completed_in_time
    assert network.failed == network.refused == 0
    assert min(network.served.values()) > 0


@pytest.mark.slow
def test_alone_the_loaded_node_could_not() -> None:
    network, alone = (play(900, strategy) for strategy in ("wwwserve", "single"))
    assert alone.completed_in_time < network.completed_in_time / 3
