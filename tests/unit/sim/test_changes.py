"""What nodes that come and go cost is counted as `sim.changes` says, and drawn where it happened.

Runs are put together by hand from requests whose times are known.
"""

from wwwserve.core.effects import RequestError, RequestErrorCode
from wwwserve.enginemodel import Demand, compute_alone_us
from wwwserve.sim import SCENARIOS
from wwwserve.sim.changes import list_changes, measure_changes
from wwwserve.sim.plans import EnginePlan, Fault, NodePlan, Scenario
from wwwserve.sim.profiles import get_reference
from wwwserve.sim.reports.changes import create_run_changes_table
from wwwserve.sim.reports.chart import Chart, Line, Mark, Point, draw_chart
from wwwserve.sim.runs import RunResult, Verdict
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.ids import RequestId
from wwwserve.values.moments import SECOND

SCENARIO = Scenario(
    name="two",
    nodes={
        "first": NodePlan(engine=EnginePlan(profile="L40S:Qwen3-8B")),
        "second": NodePlan(start_us=100 * SECOND),
    },
    faults=(
        Fault(at_us=200 * SECOND, kind="kill", node="second", for_us=100 * SECOND),
        Fault(at_us=210 * SECOND, kind="slow-disk", node="first"),
    ),
    duration_us=395 * SECOND,
)
ALONE_US = compute_alone_us(get_reference(SCENARIO), Demand(100, 50))


def ask(ended_us: int, *, times: float = 1.0, executor: int = 0) -> UserRequest:
    """A request that was answered then, so many times slower than an idle engine would."""
    e2e_us = round(ALONE_US * times)
    return UserRequest(
        request=RequestId(bytes(16)),
        origin=0,
        arrival_us=ended_us - e2e_us,
        prompt_tokens=100,
        completion_tokens=50,
        model="m",
        outcome=Outcome.ANSWERED,
        executor=executor,
        first_output_us=ended_us - e2e_us // 2,
        ended_us=ended_us,
    )


def play(requests: list[UserRequest]) -> RunResult:
    return RunResult(
        scenario=SCENARIO,
        seed=1,
        strategy="wwwserve",
        verdict=Verdict.OK,
        detail="",
        requests=requests,
        node_names=["first", "second"],
        event_count=0,
        digest="",
        arrivals_end_us=400 * SECOND,
        ended_us=400 * SECOND,
    )


def answer_all(slow_from_s: int = 0, slow_until_s: int = 0) -> list[UserRequest]:
    """One answer a second; between the two seconds they take twice as long."""
    return [
        ask(at_s * SECOND, times=2.0 if slow_from_s <= at_s < slow_until_s else 1.0)
        for at_s in range(10, 400)
    ]


def test_a_plan_tells_who_comes_and_goes_when() -> None:
    assert list_changes(SCENARIO) == [
        (100 * SECOND, "join", "second"),
        (200 * SECOND, "kill", "second"),
        (300 * SECOND, "back", "second"),
    ]
    assert list_changes(SCENARIOS["hello"]) == []
    assert list_changes(SCENARIOS["scale-10"]) == [], "who comes before the users is no change"
    assert measure_changes(play(answer_all()))[1].recovered_after_s == 0.0


def test_a_node_is_used_from_its_first_output_on() -> None:
    used = ask(102 * SECOND, executor=1)
    again = ask(310 * SECOND, executor=1)
    join, kill, back = measure_changes(play([used, again, *answer_all()]))
    assert join.used_after_s == (used.first_output_us - 100 * SECOND) / SECOND
    assert kill.used_after_s is None
    assert back.used_after_s == (again.first_output_us - 300 * SECOND) / SECOND
    never, _, _ = measure_changes(play(answer_all()))
    assert never.used_after_s is None


def test_latency_is_back_when_its_last_slow_window_ends() -> None:
    _, kill, back = measure_changes(play(answer_all(205, 230)))
    assert (round(kill.slowdown_before, 6), kill.slowdown_worst) == (1.0, 2.0)
    # The window from 225 s to 245 s is the last with enough slow answers.
    assert kill.recovered_after_s == 45.0
    assert back.recovered_after_s == 0.0
    # A node that comes back belongs to its fall: until another change, all that follows is its.
    _, longer, _ = measure_changes(play(answer_all(205, 320)))
    assert longer.recovered_after_s == 135.0
    _, lasting, _ = measure_changes(play(answer_all(205, 400)))
    assert lasting.recovered_after_s is None


def test_what_broke_off_is_told_from_what_failed_and_what_was_lost() -> None:
    ends = [ask((210 + number) * SECOND) for number in range(5)]
    for one in ends:
        one.outcome, one.executor = Outcome.FAILED, None
        one.error = RequestError(RequestErrorCode.FAILED, "the answer broke off")
    ends[1].is_streamed = False  # its user saw nothing of it
    ends[2].first_output_us = 0
    ends[3].outcome = Outcome.REFUSED
    ends[4].outcome = Outcome.LOST
    join, kill, _ = measure_changes(play([*ends, *answer_all()]))
    assert (join.broken, join.failed, join.lost) == (0, 0, 0)
    assert (kill.broken, kill.failed, kill.lost) == (1, 3, 1)


def test_a_table_has_the_worst_of_all_seeds() -> None:
    soon = play([ask(101 * SECOND, executor=1), *answer_all()])
    late = play([ask(104 * SECOND, executor=1), *answer_all(205, 400)])
    ((title, heads, rows),) = create_run_changes_table([soon, late])
    assert title == "two: nodes that came and went"
    assert [len(row) for row in rows] == [len(heads)] * 3
    first_s = (104 * SECOND - round(ALONE_US) // 2) / SECOND - 100
    assert rows[0][:4] == ("wwwserve", "join second", "100 s", f"{first_s:.1f} s")
    assert rows[1][6] == "not yet"
    assert rows[2][3] == "never"


def test_a_mark_is_drawn_with_its_words() -> None:
    lines = [Line("a", [Point(0, 1), Point(10, 1)])]
    svg = draw_chart(Chart("t", "x", "y", lines, marks=[Mark(5, "kill <b>")]))
    assert svg.count('class="mark"') == 1
    assert "kill &lt;b&gt;" in svg


def test_join_leave_has_one_change_of_each_kind() -> None:
    assert [kind for _, kind, _ in list_changes(SCENARIOS["join-leave"])] == [
        "join", "leave", "kill", "back", "cut", "back",
    ]  # fmt: skip
