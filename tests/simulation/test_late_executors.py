"""A node that accepts and never begins costs each user a moment, not the two minutes of a silence.

Five nodes whose users ask for more than their own engines take at once; the sixth has no users, so
it looks best to all. Before the first request its engine hangs: it takes all that comes, says that
it is well, and answers nothing. Checkers watch every rule, money and budgets included.
"""

import pytest

from wwwserve.sim import Verdict, run_scenario
from wwwserve.sim.plans import (
    EnginePlan,
    Fault,
    LedgerPlan,
    NodePlan,
    PolicyValue,
    Scenario,
    WorkloadPlan,
)
from wwwserve.sim.truth import Outcome
from wwwserve.values.moments import SECOND

HUNG = "node-6"
BEGUN_US_MAX = 8 * SECOND
"""The first look for another place is about a second after what was quoted, the second one twice as
late, the third twice that; whoever finds none by then has been unlucky thrice."""
BUDGET: dict[str, PolicyValue] = {"offload_credits_per_hour_max": 2_000_000_000}


def make_scenario(ledger: LedgerPlan | None) -> Scenario:
    """The engine hangs for as long as requests come."""
    engine = EnginePlan(slots=4)
    nodes = {
        f"node-{number}": NodePlan(share=1, engine=engine, policy=BUDGET) for number in range(1, 6)
    }
    nodes[HUNG] = NodePlan(engine=EnginePlan(slots=8))
    return Scenario(
        name="late-executor",
        nodes=nodes,
        # What users allow is what their answers have, so no hold has to be extended.
        workload=WorkloadPlan(load_permille=450, allowance="exact"),
        faults=(Fault(at_us=SECOND, kind="engine-hang", node=HUNG, for_us=120 * SECOND),),
        ledger=ledger,
        duration_us=90 * SECOND,
        is_objective_told=False,
    )


@pytest.mark.parametrize("ledger", [None, LedgerPlan()], ids=["free", "paid"])
def test_requests_leave_a_node_that_never_begins(ledger: LedgerPlan | None) -> None:
    # [REQUESTS-LATE.1] [REQUESTS-LATE.7]
    result = run_scenario(make_scenario(ledger), 101)
    assert result.verdict is Verdict.OK, result.detail
    assert {one.outcome for one in result.requests} == {Outcome.ANSWERED}
    waits_us = [one.first_output_us - one.arrival_us for one in result.requests]
    assert max(waits_us) < BEGUN_US_MAX
    if ledger is not None:
        begun, left = result.accounts[HUNG]
        assert left <= begun, "who delivers nothing earns nothing from whom it was not paid ahead"
