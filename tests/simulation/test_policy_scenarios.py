"""The policy scenarios respond as their settings say, and nothing is accepted against a policy.

Each is played for a short window; checkers watch all the while. `docs/evaluation.md` has the long
ones.
"""

import pytest
from msgspec.structs import replace

from wwwserve.sim import SCENARIOS, RunResult, Scenario, Verdict, run_scenario
from wwwserve.sim.plans import LedgerPlan
from wwwserve.sim.providers import correlate_stake, measure_profits, measure_users
from wwwserve.values.moments import SECOND


def play(scenario: Scenario, duration_us: int = 600 * SECOND, seed: int = 1) -> RunResult:
    result = run_scenario(replace(scenario, duration_us=duration_us), seed)
    assert result.verdict is Verdict.OK, result.detail
    return result


def list_served(result: RunResult) -> list[int]:
    """Requests each node answered, in the plan's order."""
    executors = [one.executor for one in result.requests]
    return [executors.count(index) for index in range(len(result.node_names))]


def test_work_follows_stake() -> None:
    result = play(SCENARIOS["policy-stake"], 450 * SECOND)
    result.seats = {name: plan.seats for name, plan in result.scenario.nodes.items()}
    found = correlate_stake(result)
    assert found is not None
    assert found >= 0.95


def test_who_accepts_more_works_more() -> None:
    asker, *served = list_served(play(SCENARIOS["policy-accept"], 900 * SECOND))
    assert asker == 0
    assert served == sorted(served)
    assert served[0] < 0.7 * served[-1]


def test_who_offloads_more_keeps_less() -> None:
    users = measure_users(play(SCENARIOS["policy-offload"]))
    shares = [users[name].offloaded for name in users]
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert shares[-1] > 0.4


@pytest.mark.slow
def test_nobody_works_for_others_outside_the_hours() -> None:
    result = play(SCENARIOS["policy-hours"], SCENARIOS["policy-hours"].duration_us)
    hours = {"zone-0-from-0-to-1": 0, "zone-2-from-3-to-4": 1, "zone-minus-5-from-21-to-0": 2}
    for name, hour in hours.items():
        index = result.node_names.index(name)
        answered = [one for one in result.requests if one.executor == index]
        begun = [one.first_output_us for one in answered]
        first_us, last_us = hour * 3_600 * SECOND, (hour + 1) * 3_600 * SECOND
        # What is taken in the last moment has its first output a moment later.
        inside = [at for at in begun if first_us <= at <= last_us + 60 * SECOND]
        assert len(begun) > 50
        assert inside == begun
    assert "never-told" not in {
        result.node_names[one.executor] for one in result.requests if one.executor is not None
    }


def test_what_is_paid_is_somebodys_profit() -> None:
    scenario = replace(SCENARIOS["policy-accept"], ledger=LedgerPlan())
    found = measure_profits(play(scenario, 120 * SECOND))
    asker, *others = found.profit.values()
    assert asker < -1
    assert all(profit > 0 for profit in others)
    # What is missing went into the pool: fees of the log, less than a tenth of the trade.
    assert 0 <= -sum(found.profit.values()) < 0.1 * -asker
    assert all(rate > 0 for rate in [*found.profit_per_1k_tokens.values()][1:])


@pytest.mark.parametrize("hour", [0, 11], ids=["while lisbon sleeps", "while tokyo is up"])
def test_a_part_of_the_day_keeps_every_policy(hour: int) -> None:
    """Ten minutes of it; `make sim-day` plays all."""
    day = SCENARIOS["day"]
    begin_us = hour * 3_600 * SECOND
    pieces = tuple(
        replace(piece, until_us=piece.until_us - begin_us)
        for piece in day.workload.pieces
        if piece.until_us > begin_us
    )
    nodes = {
        name: replace(
            plan,
            local_zero_us=((plan.local_zero_us or 0) + begin_us) % (7 * 24 * 3_600 * SECOND),
            owner_use=(),
        )
        for name, plan in day.nodes.items()
    }
    workload = replace(day.workload, pieces=pieces)
    result = play(replace(day, nodes=nodes, workload=workload))
    taken = {
        result.node_names[one.executor]
        for one in result.requests
        if one.executor is not None and one.is_offloaded
    }
    assert len(taken) >= 3, "it proves little if nobody works for others"
