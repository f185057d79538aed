"""Arrivals follow the plan, traces are read or refused by name, and settings change one field.

Drawn samples are compared with the exact means; bad inputs are compared with what is said of them.
"""

from collections.abc import Sequence

import pytest

from wwwserve.core.entropy import Entropy
from wwwserve.enginemodel import Demand
from wwwserve.sim.chance import draw_exponential, draw_length
from wwwserve.sim.measures import compute_percentile, compute_spread
from wwwserve.sim.plans import LengthPlan, Scenario
from wwwserve.sim.profiles import compute_pooled_us
from wwwserve.sim.scenarios import SCENARIOS, apply_settings, list_keys, parse_scenario
from wwwserve.sim.traces import (
    SHIPPED_TRACES,
    fit_trace,
    leave_out_long,
    load_shipped_trace,
    parse_trace,
    prepare_ground,
)
from wwwserve.sim.workload import (
    Arrival,
    Population,
    compute_interval_us,
    compute_mean_length,
    create_requests,
    create_traced_requests,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

HELLO = SCENARIOS["hello"]


def make_population(scenario: Scenario) -> Population:
    nodes = list(scenario.nodes.values())
    return Population(nodes, [NodeId(bytes([index]) * 32) for index in range(len(nodes))])


def mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def test_waiting_times_are_exponential() -> None:
    entropy = Entropy(b"waiting")
    draws = [draw_exponential(entropy, 1_000) for _ in range(10_000)]
    assert mean(draws) == pytest.approx(1_000, rel=0.03)
    assert mean([draw > 1_000 for draw in draws]) == pytest.approx(0.3679, abs=0.015)
    assert mean([draw > 3_000 for draw in draws]) == pytest.approx(0.0498, abs=0.01)


def test_lengths_have_the_planned_median_and_mean() -> None:
    plan, entropy = LengthPlan(low=10, median=100, p90=500, high=1_000), Entropy(b"lengths")
    draws = sorted(draw_length(entropy, plan) for _ in range(20_000))
    assert compute_percentile(draws, 50) == pytest.approx(100, rel=0.03)
    assert compute_percentile(draws, 90) == pytest.approx(500, rel=0.03)
    assert mean(draws) == pytest.approx(compute_mean_length(plan), rel=0.03)


def test_the_load_is_a_share_of_what_all_engines_can_do() -> None:
    requests = list(create_requests(HELLO, make_population(HELLO), Entropy(b"load")))
    expected = HELLO.duration_us * HELLO.workload.load_permille // 1000 / compute_interval_us(HELLO)
    assert len(requests) == pytest.approx(expected, rel=0.2)
    assert {request.origin for request in requests} == {0}
    assert [one.arrival_us for one in requests] == sorted(one.arrival_us for one in requests)
    assert len({one.request for one in requests}) == len(requests)


def test_pieces_move_the_crowd() -> None:
    mixed = SCENARIOS["mixed"]
    requests = list(create_requests(mixed, make_population(mixed), Entropy(b"crowd")))
    crowd = [one.origin for one in requests if 65 * SECOND <= one.arrival_us < 125 * SECOND]
    assert crowd.count(2) > len(crowd) / 2


def test_a_trace_is_read_and_its_clients_stay_at_one_node() -> None:
    text = "arrival_s,prompt_tokens,output_tokens,client\n0.5,10,20,a\n0.25,1,2,b\n3,5,6,a\n"
    trace = parse_trace(text)
    assert [row.at_us for row in trace] == [250_000, 500_000, 3_000_000]
    population = make_population(SCENARIOS["mixed"])
    requests = list(create_traced_requests(SCENARIOS["mixed"], population, Entropy(b"t"), trace))
    assert requests[1].origin == requests[2].origin
    assert (requests[1].prompt_tokens, requests[1].completion_tokens) == (10, 20)


def fit(rows: int, load_permille: int, duration_us: int = 4_000 * SECOND) -> list[Arrival]:
    """A trace of one alike request a second, fitted to the scenario hello."""
    trace = [Arrival(index * SECOND, 100, 100, "c") for index in range(1, rows + 1)]
    settings = [f"workload.load_permille={load_permille}", f"duration_us={duration_us}"]
    scenario = apply_settings(HELLO, settings)
    fitted = fit_trace(prepare_ground(scenario, trace), scenario, 1)
    assert fitted is not None
    return fitted


def test_a_fast_trace_is_thinned_to_the_load_and_keeps_its_length() -> None:
    few, more = fit(2_000, 50), fit(2_000, 100)
    assert len(more) == pytest.approx(2 * len(few), rel=0.25)
    assert len(few) < 2_000
    assert few[-1].at_us == pytest.approx(2_000 * SECOND, rel=0.05)


def test_a_slow_trace_is_laid_over_itself_with_other_clients() -> None:
    fitted = fit(500, 1_000)
    rate = len(fitted) / (500 * SECOND)
    pooled_us = 1 / rate
    demands = [Demand(100, 100)] * 500
    assert pooled_us == pytest.approx(compute_pooled_us(HELLO, demands), rel=0.1)
    assert len({row.client for row in fitted}) > 1


def test_a_trace_far_too_slow_is_refused() -> None:
    ground = prepare_ground(HELLO, [Arrival(10_000 * SECOND, 1, 1)])
    with pytest.raises(BadInput, match="times too slow"):
        fit_trace(ground, HELLO, 1)


def test_a_trace_ends_with_the_scenario_and_holds_nothing_an_engine_cannot() -> None:
    assert fit(2_000, 100, 60 * SECOND)[-1].at_us < 60 * SECOND
    long = [Arrival(0, 40_000, 1), Arrival(SECOND, 10, 10)]
    assert leave_out_long(long, HELLO) == long[1:]
    with pytest.raises(BadInput, match="longer requests only"):
        leave_out_long(long[:1], HELLO)


@pytest.mark.parametrize("name", SHIPPED_TRACES)
def test_shipped_traces_are_whole(name: str) -> None:
    rows = load_shipped_trace(name)
    assert len(rows) > 10_000
    assert rows[0].at_us >= 0
    assert any(row.client for row in rows) == name.startswith("servegen")


def test_an_unknown_shipped_trace_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput) as refused:
        load_shipped_trace("azure")
    assert SHIPPED_TRACES[0] in refused.value.expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("arrival_s,prompt_tokens\n1,2\n", "trace, line 1, column 'output_tokens'"),
        ("", "trace, line 1, column 'arrival_s'"),
        (
            "arrival_s,prompt_tokens,output_tokens\n1,2,3\nx,2,3\n",
            "trace, line 3, column 'arrival_s'",
        ),
        (
            "arrival_s,prompt_tokens,output_tokens\n1,-2,3\n",
            "trace, line 2, column 'prompt_tokens'",
        ),
        ("arrival_s,prompt_tokens,output_tokens\n1,2\n", "trace, line 2, column 'output_tokens'"),
        ("arrival_s,prompt_tokens,output_tokens\n", "trace"),
    ],
)
def test_a_bad_trace_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_trace(text)
    assert refused.value.field == named


def test_one_field_of_a_scenario_can_be_set() -> None:
    changed = apply_settings(
        HELLO,
        ["network.latency_us=9000", "nodes.node-2.engine.slots=7", "workload.load_permille=1"],
    )
    assert changed.network.latency_us == 9_000
    assert changed.nodes["node-2"].engine.slots == 7
    assert changed.nodes["node-1"] == HELLO.nodes["node-1"]
    policed = apply_settings(HELLO, ["nodes.node-1.policy.accept_permille=0"])
    assert policed.nodes["node-1"].policy == {"accept_permille": 0}
    assert "network.latency_us" in list_keys(HELLO)


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("latencyus=1", "network.latency_us"),
        ("nodes.node-9.share=1", "nodes.node-"),
        ("network.latency_us=fast", "int"),
        ("network.latency_us=-1", ">= 1"),
        ("duration_us", "key=value"),
        ("workload.prompt_tokens.low=99999", "lengths must rise"),
    ],
)
def test_a_bad_setting_is_refused_with_a_hint(setting: str, hint: str) -> None:
    with pytest.raises(BadInput) as refused:
        apply_settings(HELLO, [setting])
    assert hint in refused.value.expected


def test_a_scenario_is_read_from_toml() -> None:
    scenario = parse_scenario(
        'name = "two"\n[nodes.a]\nshare = 1\n[nodes.b.engine]\nslots = 2\n'
        '[[faults]]\nat_us = 5\nkind = "kill"\nnode = "b"\n'
    )
    assert list(scenario.nodes) == ["a", "b"]
    assert scenario.faults[0].kind == "kill"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('name = "x"\n[nodes.a]\nshares = 1\n', "shares"),
        ('name = "x"\n[nodes]\n', "nodes"),
        ("name = ", "TOML"),
        ('name = "x"\n[nodes.a]\n[[faults]]\nat_us = 1\nkind = "flood"\nnode = "a"\n', "flood"),
    ],
)
def test_a_bad_scenario_is_refused_by_name(text: str, hint: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_scenario(text)
    assert hint in str(refused.value)


def test_percentiles_are_nearest_rank() -> None:
    assert [compute_percentile([1, 2, 3, 4], percent) for percent in (25, 50, 51, 99)] == [
        1, 2, 3, 4,
    ]  # fmt: skip
    spread = compute_spread([2 * SECOND, 4 * SECOND])
    assert (spread.mean, spread.p50, spread.p99) == (3.0, 2.0, 4.0)
    assert compute_spread([]).mean == 0.0
