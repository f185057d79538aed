"""What a run says of those who run the nodes: their users, their work and their accounts.

Runs are written by hand; expected values are worked out by hand.
"""

import pytest

from wwwserve.sim.plans import EnginePlan, NodePlan, Scenario
from wwwserve.sim.providers import (
    correlate_stake,
    measure_idle_use,
    measure_profits,
    measure_users,
)
from wwwserve.sim.runs import RunResult, Verdict
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import RequestId
from wwwserve.values.moments import SECOND

HOUR_US = 3_600 * SECOND


def make_request(number: int, *, origin: int, executor: int, seconds: int = 10) -> UserRequest:
    """It came at 0, had its first output after a second and its last after `seconds`."""
    return UserRequest(
        request=RequestId(number.to_bytes(16, "big")),
        origin=origin,
        arrival_us=0,
        prompt_tokens=100,
        completion_tokens=400,
        model="pretend/base",
        outcome=Outcome.ANSWERED,
        executor=executor,
        first_output_us=SECOND,
        ended_us=seconds * SECOND,
    )


def make_result(
    executors: list[int],
    *,
    seats: tuple[int, ...] = (1, 1, 2, 3),
    accounts: dict[str, tuple[int, int]] | None = None,
) -> RunResult:
    """An hour with four nodes of two slots; all users are at the first."""
    names = ["asker", "one", "two", "three"]
    engine = EnginePlan(slots=2)
    nodes = {name: NodePlan(share=int(name == "asker"), engine=engine) for name in names}
    scenario = Scenario(name="hand", nodes=nodes, join_us=0, duration_us=HOUR_US)
    return RunResult(
        scenario=scenario,
        seed=1,
        strategy="wwwserve",
        verdict=Verdict.OK,
        detail="",
        requests=[
            make_request(number, origin=0, executor=executor)
            for number, executor in enumerate(executors)
        ],
        node_names=names,
        event_count=0,
        digest="",
        arrivals_end_us=HOUR_US,
        ended_us=2 * HOUR_US,
        seats=dict(zip(names, seats, strict=True)),
        accounts=accounts or {},
    )


@pytest.mark.parametrize(
    ("executors", "seats", "expected"),
    [
        ([1, 2, 2, 3, 3, 3], (9, 1, 2, 3), 1.0),
        ([1, 1, 1, 2, 2, 3], (9, 1, 2, 3), -1.0),
        ([1, 1, 2, 3, 3, 3], (9, 1, 2, 3), 0.5),
        ([1, 2, 3, 3], (9, 1, 1, 3), 1.0),
        ([1, 2, 2, 3, 3, 3], (9, 2, 2, 2), None),
    ],
    ids=["follows", "against", "partly", "ties", "equal seats"],
)
def test_work_follows_seats_or_does_not(
    executors: list[int], seats: tuple[int, ...], expected: float | None
) -> None:
    found = correlate_stake(make_result(executors, seats=seats))
    assert found == (None if expected is None else pytest.approx(expected))


def test_users_are_told_apart_by_the_node_they_ask() -> None:
    result = make_result([0, 1, 1, 2])
    result.requests.append(make_request(9, origin=3, executor=3, seconds=5))
    users = measure_users(result)
    assert list(users) == ["asker", "three"]
    assert (users["asker"].requests, users["asker"].offloaded) == (4, 0.75)
    assert (users["three"].e2e_s.mean, users["three"].ttft_s.p99) == (5.0, 1.0)
    assert users["three"].tpot_s.mean == pytest.approx(4 / 399, rel=1e-3)


def test_idle_time_is_what_own_users_leave_and_only_others_work_fills_it() -> None:
    shares = measure_idle_use(make_result([0, 1, 1]))
    assert shares["asker"] == 0.0
    assert shares["one"] == pytest.approx(2 * 9 / 7_200)
    assert shares["three"] == 0.0


def test_profit_is_what_an_account_gained_in_all_and_by_work_and_time() -> None:
    accounts = {
        "asker": (100 * CREDIT, 97 * CREDIT),
        "one": (100 * CREDIT, 102 * CREDIT),
        "two": (100 * CREDIT, 101 * CREDIT),
        "three": (100 * CREDIT, 100 * CREDIT),
    }
    found = measure_profits(make_result([1, 1, 2], accounts=accounts))
    assert found.credits["asker"] == 97.0
    assert found.profit == {"asker": -3.0, "one": 2.0, "two": 1.0, "three": 0.0}
    assert found.profit_per_1k_tokens["one"] == pytest.approx(2.0)
    assert found.profit_per_1k_tokens["three"] == 0.0
    assert found.profit_per_hour["two"] == pytest.approx(0.5)
    assert measure_profits(make_result([1])).profit == {}
