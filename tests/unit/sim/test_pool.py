"""The pool is what it is held to be: every request at once, each where it ends the soonest.

The dispatcher is asked directly; a whole pool runs a scenario, and has the network's own requests.
"""

from wwwserve.enginemodel import Demand, find_profile
from wwwserve.sim import SCENARIOS, Verdict, run_scenario
from wwwserve.sim.central import Dispatcher
from wwwserve.sim.plans import EnginePlan, NodePlan, Scenario, WorkloadPlan
from wwwserve.sim.runs import RunResult
from wwwserve.sim.truth import Outcome
from wwwserve.sim.workload import Arrival
from wwwserve.values.moments import SECOND

PROFILES = [find_profile(f"{gpu}:Qwen3-8B") for gpu in ("RTX-3090", "A100-80GB-SXM")]
USUAL = Demand(500, 100)


def make_scenario(workload: WorkloadPlan) -> Scenario:
    engine = EnginePlan(slots=1, decode_tokens_per_s=100)
    nodes = {"one": NodePlan(share=1, engine=engine), "other": NodePlan(engine=engine)}
    return Scenario(name="pooled", nodes=nodes, workload=workload, duration_us=20 * SECOND)


def run_pool(scenario: Scenario, trace: list[Arrival] | None = None) -> RunResult:
    result = run_scenario(scenario, 1, strategy="pool", trace=trace)
    assert result.verdict is Verdict.OK, result.detail
    return result


def test_work_is_spread_by_speed() -> None:
    dispatcher = Dispatcher(PROFILES, [USUAL])
    chosen = [dispatcher.choose(USUAL) for _ in range(100)]
    assert chosen[0] == 1, "the fast one first"
    assert 5 < chosen.count(0) < 30, "the slow one by what it can do"


def test_what_is_finished_weighs_nothing() -> None:
    dispatcher = Dispatcher(PROFILES, [USUAL])
    for _ in range(100):
        dispatcher.finish(dispatcher.choose(USUAL), USUAL)
    assert dispatcher.choose(USUAL) == 1


def test_the_pool_has_the_requests_of_the_network() -> None:
    pool, network = (
        run_scenario(SCENARIOS["hello"], 1, strategy=one) for one in ("pool", "wwwserve")
    )
    seen = [
        [(one.request, one.arrival_us, one.prompt_tokens) for one in run.requests]
        for run in (pool, network)
    ]
    assert seen[0] == seen[1]


def test_two_requests_at_once_run_on_two_engines() -> None:
    trace = [Arrival(0, 10, 100), Arrival(0, 10, 100)]
    result = run_pool(make_scenario(WorkloadPlan()), trace)
    assert {one.executor for one in result.requests} == {0, 1}
    assert all(one.ended_us - one.arrival_us < 1.1 * SECOND for one in result.requests)


def test_people_leave_and_deadlines_pass_here_too() -> None:
    workload = WorkloadPlan(
        load_permille=3_000, leaver_permille=300, deadline_permille=500, deadline_us=3 * SECOND
    )
    result = run_pool(make_scenario(workload))
    outcomes = {one.outcome for one in result.requests}
    assert outcomes == {Outcome.ANSWERED, Outcome.CANCELLED, Outcome.FAILED}
    late = [one for one in result.requests if one.deadline_us and not one.patience_us]
    assert all(one.ended_us - one.arrival_us <= 3 * SECOND for one in late)


def test_a_wrong_request_fails() -> None:
    result = run_pool(make_scenario(WorkloadPlan(wrong_permille=1000, load_permille=300)))
    assert {one.outcome for one in result.requests} == {Outcome.FAILED}
