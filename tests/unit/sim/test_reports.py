"""Statistics are the textbook's, charts hold all their points, and scenarios are what they say.

Known values of Student's t, the drawn text of small charts, and the built-in plans are looked at.
"""

from statistics import mean

import pytest

from wwwserve.sim import SCENARIOS, STRATEGIES, draw_requests, fit_trace, list_played
from wwwserve.sim.plans import Scenario
from wwwserve.sim.profiles import get_reference, share_seats
from wwwserve.sim.reports.chart import Chart, Line, Point, draw_chart, list_ticks
from wwwserve.sim.reports.intervals import compute_interval, compute_paired, get_t95
from wwwserve.sim.traces import Ground, compute_load
from wwwserve.sim.workload import Arrival
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput


def test_an_interval_is_the_textbooks() -> None:
    found = compute_interval([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    assert found.low == pytest.approx(2.5 - 3.182 * (5 / 3 / 4) ** 0.5)
    assert compute_interval([7.0]).low is None


def test_pairs_know_more_than_the_two_alone() -> None:
    ours, theirs = [0.5, 0.7, 0.9], [0.4, 0.61, 0.79]
    paired, alone = compute_paired(ours, theirs), compute_interval(ours)
    assert paired.low is not None
    assert alone.low is not None
    assert paired.low > 0.05
    assert paired.mean - paired.low < alone.mean - alone.low


def test_quantiles_fall_to_the_normal_one() -> None:
    quantiles = [get_t95(degrees) for degrees in range(1, 200)]
    assert quantiles == sorted(quantiles, reverse=True)
    assert 1.96 < quantiles[-1] < 1.98


def test_ticks_are_round() -> None:
    assert list_ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert list_ticks(0.0, 7.3) == [0.0, 2.0, 4.0, 6.0]


def test_a_chart_draws_every_line_and_escapes_every_name() -> None:
    lines = [
        Line("a < b", [Point(0, 0), Point(1, 1, 0.5, 1.5)]),
        Line("nothing", []),
        *(Line(f"line {index}", [Point(0, index)]) for index in range(9)),
    ]
    svg = draw_chart(Chart("t & t", "x", "y", lines))
    assert svg.count("<polyline") == 10
    assert "a &lt; b" in svg
    assert "t &amp; t" in svg
    assert "nothing" not in svg
    assert "stroke-dasharray" in svg, "more lines than colours"
    assert draw_chart(Chart("empty", "x", "y", [])).startswith("<svg")


def draw(scenario: Scenario) -> list[tuple[int, int]]:
    return [(one.origin, one.arrival_us - scenario.join_us) for one in draw_requests(scenario, 1)]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_papers_busy_nodes_take_turns(number: int) -> None:
    scenario = SCENARIOS[f"paper-{number}"]
    drawn, half_us = draw(scenario), 375 * SECOND
    last, busy = len(scenario.nodes) - 1, len(scenario.nodes) // 4
    early = [origin for origin, at_us in drawn if at_us < half_us]
    late = [origin for origin, at_us in drawn if at_us >= half_us]
    assert early.count(0) > 5 * early.count(last)
    assert late.count(last) > 5 * late.count(0)
    wanted = 750 / 3 * busy + 750 / 30 * (len(scenario.nodes) - busy)
    assert len(drawn) == pytest.approx(wanted, rel=0.15)


def test_the_papers_answers_are_log_normal() -> None:
    lengths = sorted(
        one.completion_tokens
        for seed in range(1, 6)
        for one in draw_requests(SCENARIOS["paper-1"], seed)
    )
    assert lengths[len(lengths) // 2] == pytest.approx(5_000, rel=0.06)
    assert lengths[len(lengths) * 84 // 100] == pytest.approx(5_000 * 1.822, rel=0.08)
    assert mean(lengths) == pytest.approx(5_800, rel=0.06)
    assert max(lengths) == 16_000


@pytest.mark.parametrize("name", ["s1", "s2", "s3", "s4"])
def test_eight_times_the_nodes_are_the_same_nodes(name: str) -> None:
    few, many = SCENARIOS[name], SCENARIOS[f"{name}x8"]
    assert len(many.nodes) == 8 * len(few.nodes)
    profiles = [plan.engine.profile for plan in few.nodes.values()]
    assert [plan.engine.profile for plan in many.nodes.values()] == profiles * 8
    assert get_reference(many).gpu == "L40S"
    assert many.workload.allowance == "none", "nobody is told how long an answer will be"


def test_a_hot_spot_goes_round_where_the_scenario_says_so() -> None:
    scenario = SCENARIOS["s1"]
    rows = [Arrival(second * SECOND, 10, 10, "c") for second in range(3_600)]
    ground = Ground(throughputs=(900,) * 4, rows=tuple(rows), span_us=3_600 * SECOND)
    trace = fit_trace(ground, scenario, 1)
    assert trace is not None
    assert len(trace) == pytest.approx(0.7 * 3_600, rel=0.1)
    drawn = draw_requests(scenario, 1, trace)
    for turn in range(8):
        begin_us = scenario.join_us + turn * 450 * SECOND
        there = [one.origin for one in drawn if 0 <= one.arrival_us - begin_us < 450 * SECOND]
        assert there.count(turn % 4) / len(there) == pytest.approx(0.55, abs=0.1)


def test_seats_and_load_follow_what_engines_do() -> None:
    scenario = SCENARIOS["s2"]
    ground = Ground(throughputs=(3_000, 1_000, 500, 500))
    seats = share_seats(scenario, ground.throughputs)
    assert list(seats.values()) == [240, 80, 40, 40]
    assert compute_load(scenario, ground) == 0.7
    paper = SCENARIOS["paper-1"]
    assert compute_load(paper, Ground((390,) * 4)) == 1.0


def test_the_best_is_played_as_what_it_may_be() -> None:
    played = list_played(["central-best", "central-pull", "single"])
    assert played == ["central-fresh", "central-pull", "central-length", "central-defer", "single"]
    with pytest.raises(BadInput) as refused:
        list_played(["best"])
    assert refused.value.expected == ", ".join(STRATEGIES)
