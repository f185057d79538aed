"""What membership and asking cost a node does not grow with the network, users and all.

The scenarios `scale-10` and `scale-100` as they are, and at night `scale-1k`, which takes long:
production peers in virtual time, whose messages are weighed as on real links.
"""

import os

import pytest

from wwwserve.sim import SCENARIOS, Measures, Verdict, measure, run_scenario

FLATNESS_MAX = 1.2
"""Of the largest network's cost over the smallest's."""
PROBES_SPREAD_MAX = 0.5
"""Probes of a request, between any two sizes; the smallest network has fifty requests."""
SEEDS = (1, 2)
SIZES = ("scale-10", "scale-100", *(("scale-1k",) if os.environ.get("WWWSERVE_NIGHT") else ()))

pytestmark = pytest.mark.slow


def play(name: str) -> list[Measures]:
    results = [run_scenario(SCENARIOS[name], seed) for seed in SEEDS]
    assert {(result.verdict, result.detail) for result in results} == {(Verdict.OK, "")}
    return [measure(result) for result in results]


def test_a_node_pays_the_same_in_a_network_of_any_size() -> None:
    runs = {name: play(name) for name in SIZES}
    assert all(one.completed == one.requests for each in runs.values() for one in each)
    costs = [sum(one.membership_bytes for one in each) / len(each) for each in runs.values()]
    assert 0 < max(costs) <= FLATNESS_MAX * min(costs)
    probes = [sum(one.probes_per_request for one in each) / len(each) for each in runs.values()]
    assert max(probes) - min(probes) <= PROBES_SPREAD_MAX
