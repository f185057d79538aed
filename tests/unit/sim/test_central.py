"""Central schedulers are strong, and know no more than they may.

Forecasts are held against the engine model itself, schedulers are asked directly, and whole
scenarios are played where one of them must win.
"""

from collections.abc import Callable

import pytest

from wwwserve.core.routing import Forecast, Load
from wwwserve.enginemodel import (
    Arrival as Asked,
)
from wwwserve.enginemodel import (
    Demand,
    EngineProfile,
    compute_alone_first_us,
    compute_alone_us,
    create_plain_profile,
    find_profile,
    replay,
)
from wwwserve.sim import (
    SCENARIOS,
    Verdict,
    apply_settings,
    fit_trace,
    measure,
    prepare_ground,
    run_scenario,
)
from wwwserve.sim.central import RULES, CentralScheduler
from wwwserve.sim.central.lengths import ClientLengths, Lengths, MeanLengths, TrueLengths
from wwwserve.sim.central.pace import ExactPace
from wwwserve.sim.central.stations import Station
from wwwserve.sim.jobs import Job
from wwwserve.sim.objectives import parse_objective
from wwwserve.sim.plans import Scenario
from wwwserve.sim.runs import RunResult
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import BadInput

A100, RTX_3090 = (find_profile(f"{gpu}:Qwen3-8B") for gpu in ("A100-80GB-SXM", "RTX-3090"))
MODEL = "m"


def make_job(
    number: int, *, prompt: int = 100, answer: int = 100, client: str = "", tokens_max: int = 0
) -> Job:
    truth = Demand(prompt, answer)
    return Job(number, 0, prompt, MODEL, home=0, client=client, tokens_max=tokens_max, truth=truth)


def make_scheduler(
    name: str, *profiles: EngineProfile, objective: str = "2x"
) -> tuple[CentralScheduler, list[Station]]:
    stations = [Station(profile, (MODEL,), lambda _job: 0) for profile in profiles]
    aim = parse_objective(objective)
    return CentralScheduler(RULES[name], stations, aim, profiles[0]), stations


def play(scenario: Scenario, strategy: str) -> RunResult:
    result = run_scenario(scenario, 1, strategy=strategy)
    assert result.verdict is Verdict.OK, result.detail
    return result


# -- forecasts -----------------------------------------------------------------------------------


def foretell(profile: EngineProfile, *loads: Load) -> Forecast:
    pace = ExactPace(profile)
    return Forecast(pace, pace.room, 0, loads)


def begun(due_us: float = 0.0) -> Load:
    return Load(1_000, 500, is_begun=True, due_us=due_us)


@pytest.mark.parametrize("profile", [A100, RTX_3090], ids=lambda profile: profile.gpu)
@pytest.mark.parametrize("others", [0, 8, 60])
def test_a_forecast_is_close_to_what_the_engine_then_does(
    profile: EngineProfile, others: int
) -> None:
    demands = [Demand(300, 200 + 10 * index) for index in range(others)]
    wanted = Demand(500, 400)
    loads = [Load(one.prompt_tokens, one.output_tokens) for one in demands]
    prospect = foretell(profile, *loads).foresee(Load(wanted.prompt_tokens, wanted.output_tokens))
    assert prospect is not None
    *_, seen = replay(profile, [Asked(Moment(0), one) for one in [*demands, wanted]])
    assert prospect.finish_us == pytest.approx(seen.e2e_us, rel=0.2)


def test_a_forecast_gives_up_where_nothing_can_be_won() -> None:
    forecast = foretell(A100)
    alone_us = compute_alone_us(A100, Demand(100, 100))
    assert forecast.foresee(Load(100, 100), alone_us * 2) is not None
    assert forecast.foresee(Load(100, 100), alone_us / 2) is None


def test_a_forecast_that_moves_on_is_the_same_as_a_new_one() -> None:
    moved = foretell(A100, *[Load(100, 1_000, is_begun=True)] * 4)
    before = moved.foresee(Load(100, 100))
    assert moved.move(SECOND)
    after = moved.foresee(Load(100, 100))
    assert before is not None
    assert after is not None
    assert after.start_us == SECOND
    assert after.finish_us - SECOND == pytest.approx(before.finish_us, rel=0.02)
    assert not moved.move(3_600 * SECOND), "somebody ended since: look anew"


def test_one_more_is_a_burden_on_a_full_engine_and_none_on_an_idle_one() -> None:
    idle, full = foretell(RTX_3090), foretell(RTX_3090, *[begun()] * 10)
    assert idle.compute_burden_us(Load(500, 500)) == 0
    assert full.compute_burden_us(Load(500, 500)) > SECOND


def test_who_is_on_time_and_would_not_be_is_counted() -> None:
    alone_us = compute_alone_us(RTX_3090, Demand(1_000, 500))
    large = Load(8_000, 2_000)
    assert foretell(RTX_3090, begun(due_us=alone_us * 1.001)).count_harmed(large) == 1
    assert foretell(RTX_3090, begun(due_us=alone_us * 10)).count_harmed(large) == 0


def test_what_is_cached_is_read_neither_by_the_newcomer_nor_at_the_cost_of_others() -> None:
    forecast = foretell(RTX_3090, *[begun()] * 10)
    fresh, known = Load(4_000, 100), Load(4_000, 100, cached_tokens=3_900)
    cold, warm = forecast.foresee(fresh), forecast.foresee(known)
    assert cold is not None
    assert warm is not None
    saved_us = cold.finish_us - warm.finish_us
    assert saved_us == pytest.approx(cold.first_us - warm.first_us)
    read_us = compute_alone_first_us(RTX_3090, Demand(4_000, 1))
    assert saved_us == pytest.approx(read_us, rel=0.15)
    burdens = [forecast.compute_burden_us(load) for load in (fresh, known)]
    assert burdens[0] - burdens[1] == pytest.approx(10 * saved_us)


def test_a_central_scheduler_sends_a_conversation_back_where_it_is_cached() -> None:
    plan = apply_settings(
        SCENARIOS["chat"],
        [
            "duration_us=60000000",
            "nodes.*.engine.profile=L40S:Qwen3-8B",
            "workload.load_permille=150",
        ],
    )
    played = play(plan, "central-fresh")
    places: dict[int, set[int | None]] = {}
    later = 0
    for request in played.requests:
        assert request.thread is not None
        later += request.thread.name in places
        places.setdefault(request.thread.name, set()).add(request.executor)
    moved = sum(len(executors) - 1 for executors in places.values())
    assert later > 20
    assert moved < later / 2, "four alike and idle: by chance it would be three quarters"


# -- lengths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("create", [MeanLengths, ClientLengths])
def test_lengths_are_learned_and_bounded_by_what_is_allowed(create: Callable[[], Lengths]) -> None:
    lengths = create()
    cold = lengths.predict(make_job(0), 0)
    for number in range(200):
        lengths.learn(make_job(number, client="a"), 2_000)
    assert cold == pytest.approx(256, rel=0.05)
    assert lengths.predict(make_job(0, client="a"), 0) == pytest.approx(2_000, rel=0.1)
    assert lengths.predict(make_job(0, client="a", tokens_max=50), 0) == 50
    assert lengths.predict(make_job(0, client="a"), 5_000) > 5_000, "it is longer already"


def test_a_clients_lengths_are_its_own() -> None:
    lengths = ClientLengths()
    for number in range(50):
        lengths.learn(make_job(number, client="short"), 10)
        lengths.learn(make_job(number, client="long"), 1_000)
    assert lengths.predict(make_job(0, client="short"), 0) == pytest.approx(10)
    assert lengths.predict(make_job(0, client="long"), 0) == pytest.approx(1_000)
    assert lengths.predict(make_job(0, client="new"), 0) == pytest.approx(505, rel=0.1)


def test_an_answer_that_outlived_the_short_ones_is_one_of_the_long() -> None:
    lengths = ClientLengths()
    for number in range(100):
        lengths.learn(make_job(number, client="a"), 10 if number % 2 else 4_000)
    assert lengths.predict(make_job(0, client="a"), 0) < 2_500
    assert lengths.predict(make_job(0, client="a"), 100) == pytest.approx(4_000)


def test_only_the_oracle_is_told_the_truth() -> None:
    job = make_job(0, answer=7_777)
    assert TrueLengths().predict(job, 0) == 7_777
    told = [name for name, rule in RULES.items() if isinstance(rule.create_lengths(), TrueLengths)]
    assert told == ["central-oracle"]


# -- schedulers ----------------------------------------------------------------------------------


def test_fresh_sends_at_once_where_it_ends_the_soonest() -> None:
    scheduler, stations = make_scheduler("central-fresh", RTX_3090, A100)
    placed = []
    for number in range(40):
        scheduler.arrive(make_job(number))
        for job, engine in scheduler.place(0):
            stations[engine].jobs[job.number] = job
            placed.append(engine)
    assert len(placed) == 40
    assert placed[0] == 1, "the fast one first"
    assert placed.count(1) > placed.count(0)


def test_pull_keeps_who_came_first_until_an_engine_has_room() -> None:
    tiny = create_plain_profile(
        slots=1, prefill_tokens_per_s=1_000, decode_tokens_per_s=10, kv_capacity_tokens=1_000
    )
    scheduler, stations = make_scheduler("central-pull", tiny)
    jobs = [make_job(number) for number in range(3)]
    for job in jobs:
        scheduler.arrive(job)
    assert [job.number for job, _ in scheduler.place(0)] == [0]
    stations[0].jobs[0] = jobs[0]
    assert scheduler.place(1) == []
    del stations[0].jobs[0]
    scheduler.leave(jobs[0], 100)
    assert [job.number for job, _ in scheduler.place(2)] == [1]
    scheduler.leave(jobs[2], 0)
    stations[0].jobs.clear()
    scheduler.leave(jobs[1], 100)
    assert scheduler.place(3) == [], "who went away is not sent"


def test_length_lets_the_short_go_first() -> None:
    tiny = create_plain_profile(
        slots=1, prefill_tokens_per_s=1_000, decode_tokens_per_s=10, kv_capacity_tokens=10_000
    )
    scheduler, stations = make_scheduler("central-length", tiny)
    for number in range(20):
        for client, tokens in (("long", 2_000), ("short", 20)):
            scheduler.leave(make_job(number, client=client), tokens)
    running = make_job(100)
    stations[0].jobs[100] = running
    for number, client in ((101, "long"), (102, "short")):
        scheduler.arrive(make_job(number, client=client))
    assert scheduler.place(0) == []
    stations[0].jobs.clear()
    scheduler.leave(running, 0)
    first, *_ = scheduler.place(1)
    assert first[0].client == "short" or first[0].number == 102


def test_a_model_runs_only_where_it_is_served() -> None:
    scheduler, stations = make_scheduler("central-fresh", A100, RTX_3090)
    stations[0].models = ("other",)
    scheduler.arrive(make_job(1))
    assert [engine for _, engine in scheduler.place(0)] == [1]


# -- whole runs ----------------------------------------------------------------------------------

OVERLOADED = apply_settings(
    SCENARIOS["hello"], ["duration_us=30000000", "workload.load_permille=700"]
)


@pytest.mark.parametrize("name", RULES)
def test_every_scheduler_answers_everything_and_the_same_seed_is_the_same_run(name: str) -> None:
    one, again = (play(OVERLOADED, name) for _ in range(2))
    assert measure(one).completed == len(one.requests)
    assert one.digest == again.digest


@pytest.mark.slow
def test_a_central_scheduler_beats_every_node_alone() -> None:
    single, alone = (measure(play(OVERLOADED, name)).slo["2x"] for name in ("single", "alone"))
    for name in RULES:
        if name != "alone":
            assert measure(play(OVERLOADED, name)).slo["2x"] > max(single, alone) + 0.2, name


def test_alone_everything_runs_where_it_came_in() -> None:
    result = play(OVERLOADED, "alone")
    assert not any(one.is_offloaded for one in result.requests)
    assert measure(result).completed == len(result.requests), "however long it waits"


@pytest.mark.slow
def test_deferring_saves_what_can_be_saved_beyond_the_limit() -> None:
    beyond = apply_settings(SCENARIOS["s4"], ["workload.load_permille=850", "duration_us=60000000"])
    trace = fit_trace(prepare_ground(beyond), beyond, 1)
    fresh, defer = (
        measure(run_scenario(beyond, 1, strategy=f"central-{name}", trace=trace)).slo["2x"]
        for name in ("fresh", "defer")
    )
    assert defer > fresh + 0.1


# -- objectives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["2", "x", "0x", "ttft_2x", "fast", "-3s", "2 x"])
def test_an_objective_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_objective(name)
    assert refused.value.found == name


def test_objectives_are_met_by_answers_alone() -> None:
    result = play(OVERLOADED, "central-fresh")
    one = result.requests[0]
    assert parse_objective("9999s").is_met(one, A100)
    assert not parse_objective("1s").is_met(one, A100) or one.e2e_us <= SECOND
    assert parse_objective("ttft_9999s").is_met(one, A100)
    unloaded_us = compute_alone_us(A100, Demand(one.prompt_tokens, one.completion_tokens))
    bound_us = parse_objective("3x").get_bound_us(
        Demand(one.prompt_tokens, one.completion_tokens), A100
    )
    assert bound_us == 3 * unloaded_us + SECOND
