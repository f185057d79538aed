"""Nodes join, leave, are killed and cut off under load, and users hardly notice.

The scenario `join-leave` with smaller engines, so that it is played in seconds; at night as it is.
"""

import os

import pytest

from wwwserve.sim import SCENARIOS, Verdict, apply_settings, run_scenario
from wwwserve.sim.changes import measure_changes

USED_S_MAX = 5.0
SMALLER = () if os.environ.get("WWWSERVE_NIGHT") else ("nodes.*.engine.slots=8",)

pytestmark = pytest.mark.slow


def test_newcomers_are_used_at_once_and_no_request_is_lost() -> None:
    scenario = apply_settings(SCENARIOS["join-leave"], SMALLER)
    result = run_scenario(scenario, 1)
    assert (result.verdict, result.detail) == (Verdict.OK, "")
    changes = {f"{one.kind} {one.node}": one for one in measure_changes(result)}
    for name in ("join new", "back killed", "back cut"):
        used_s = changes[name].used_after_s
        assert used_s is not None
        assert used_s <= USED_S_MAX
    # A stream of which its user has seen a part breaks off with its node; nothing else is lost.
    assert {(one.failed, one.lost) for one in changes.values()} == {(0, 0)}
    assert changes["leave leaver"].broken == 0
    for name in ("join new", "leave leaver", "kill killed", "cut cut"):
        assert changes[name].recovered_after_s is not None, "latency was as before, in time"
