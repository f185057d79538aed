"""Candidates are drawn by seats, quotes weighed by experience, and estimates learned from runs.

Each part of routing is asked directly; members are small integers.
"""

from collections import Counter
from dataclasses import replace

import pytest

from tests.unit.core.desk import MODEL, member, node, summary
from wwwserve.core.entropy import Entropy
from wwwserve.core.placing import (
    Bid,
    ExecutorFailed,
    LoadView,
    OfferSent,
    Partners,
    RunMeasured,
    Wanted,
)
from wwwserve.core.routing import (
    ESTIMATE_MAX_US,
    PENALTY_FIRST_US,
    PENALTY_MAX_US,
    PROMISE_FADE_US,
    Estimates,
    History,
    Routing,
    StakeTable,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import QUOTE_LIFE_US, TOKENS_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.wire import Endpoint, RequestSummary

SMALL = ModelId(MODEL)
IDLE = LoadView(slots=4, used=0)


def make_run(number: int, engine: str = "", **fields: int) -> RunMeasured:
    values = {
        "prompt_tokens": 1_000,
        "completion_tokens": 101,
        "completion_tokens_max": 0,
        "first_output_us": 100_000,
        "total_us": 1_100_000,
        "concurrency": 1,
        "quoted_us": 0,
    }
    values |= {"concurrency_end": fields.get("concurrency", 1)} | fields
    return RunMeasured(node(number), engine, SMALL, **values)  # type: ignore[arg-type]


def make_routing(*numbers: int) -> Routing:
    routing = Routing(node(0), {}, Entropy(b"routing"))
    for number in numbers:
        routing.set_member(member(number))
    return routing


def want(asked: RequestSummary | None = None) -> Wanted:
    return Wanted(asked or summary(1), Partners(), {})


def bid(number: int, finish_us: int, asked_at: int = 0, round_trip_us: int = 0) -> Bid:
    return Bid(node(number), SMALL, finish_us, Moment(asked_at), round_trip_us)


# -- stake ---------------------------------------------------------------------------------------


def test_draws_are_in_proportion_to_seats_and_without_replacement() -> None:
    # [REQUESTS-DRAW.1]
    nodes = [node(number) for number in range(1, 5)]
    table = StakeTable({nodes[0]: 6, nodes[1]: 3, nodes[2]: 1})
    entropy = Entropy(b"stake")
    firsts: Counter[NodeId] = Counter()
    for _ in range(2_000):
        drawn = table.draw(2, entropy, nodes)
        assert len(set(drawn)) == 2
        firsts[drawn[0]] += 1
    assert 1_100 < firsts[nodes[0]] < 1_300
    assert 500 < firsts[nodes[1]] < 700
    assert 140 < firsts[nodes[2]] < 260


def test_nodes_without_seats_are_drawn_when_the_seated_do_not_suffice() -> None:
    nodes = [node(number) for number in range(1, 4)]
    drawn = StakeTable({nodes[0]: 1}).draw(2, Entropy(b"stake"), nodes)
    assert drawn[0] == nodes[0]
    assert len(set(drawn)) == 2


def test_who_is_new_is_asked_in_a_small_share_of_draws() -> None:
    # [REQUESTS-DRAW.2]
    nodes = [node(number) for number in range(1, 5)]
    table, entropy = StakeTable({nodes[0]: 1, nodes[1]: 1}), Entropy(b"new")
    draws = [table.draw(2, entropy, nodes) for _ in range(4_000)]
    new = sum(not {nodes[2], nodes[3]}.isdisjoint(drawn) for drawn in draws)
    assert 90 < new < 150, "30 of a thousand"
    assert all(len(set(drawn)) == 2 for drawn in draws)


def test_a_thousand_nodes_with_equal_seats_are_drawn_evenly() -> None:
    nodes = [NodeId(number.to_bytes(32, "big")) for number in range(1_000)]
    entropy = Entropy(b"stake")
    table = StakeTable()
    drawn = Counter(found for _ in range(1_000) for found in table.draw(4, entropy, nodes))
    assert max(drawn.values()) < 20
    assert len(drawn) > 950


def test_fewer_than_asked_for_are_drawn_when_there_are_no_more() -> None:
    assert StakeTable().draw(3, Entropy(b"stake"), [node(1)]) == (node(1),)
    assert StakeTable().draw(3, Entropy(b"stake"), []) == ()


# -- what was learned of others ------------------------------------------------------------------


def test_a_failing_node_is_avoided_longer_each_time_and_forgiven_by_success() -> None:
    history = History()
    now = Moment(0)
    spans = []
    for _ in range(9):
        history.add_failure(node(1), now)
        began = now
        while history.is_avoided(node(1), now):
            now = Moment(now + PENALTY_FIRST_US)
        spans.append(now - began)
    assert spans[:3] == [PENALTY_FIRST_US, 2 * PENALTY_FIRST_US, 4 * PENALTY_FIRST_US]
    assert spans[-1] == PENALTY_MAX_US
    history.add_failure(node(1), now)
    history.add_success(make_run(1), 101, now)
    assert not history.is_avoided(node(1), now)


def test_all_runs_that_fail_with_a_node_are_one_failure() -> None:
    history = History()
    for _ in range(100):
        history.add_failure(node(1), Moment(0))
    assert not history.is_avoided(node(1), Moment(PENALTY_FIRST_US))


def test_sends_count_against_older_quotes_until_quotes_are_too_old() -> None:
    routing = make_routing(1, 2)
    routing.learn(OfferSent(node(1)), Moment(10))
    old = routing.rank([bid(1, 1_000, asked_at=5), bid(2, 1_100, asked_at=5)], Moment(20))
    assert [one.node for one in old] == [node(2), node(1)]
    fresh = routing.rank([bid(1, 1_000, asked_at=15), bid(2, 1_100, asked_at=15)], Moment(20))
    assert fresh[0].node == node(1)
    late = Moment(10 + QUOTE_LIFE_US)
    assert routing.rank([bid(1, 1_000, asked_at=5)], late)[0].finish_us == 1_000


def test_a_node_that_promises_too_much_is_believed_less() -> None:
    # [REQUESTS-SOONEST.3]
    routing = make_routing(1, 2)
    for _ in range(30):
        routing.learn(make_run(1, total_us=5 * SECOND, quoted_us=SECOND), Moment(0))
    ranked = routing.rank([bid(1, 1_000), bid(2, 3_000)], Moment(0))
    assert ranked[0].node == node(2)


def test_the_round_trip_counts_and_this_node_wins_ties() -> None:
    routing = make_routing(1)
    assert routing.rank([bid(1, 900, round_trip_us=100), bid(0, 1_000)], Moment(0))[0].node == node(
        0
    )
    assert routing.rank([bid(1, 900, round_trip_us=99), bid(0, 1_000)], Moment(0))[0].node == node(
        1
    )


def test_nobody_drawn_is_avoided_and_hope_remains() -> None:
    routing = make_routing(1)
    routing.learn(ExecutorFailed(node(1)), Moment(0))
    assert routing.draw(want(), 2, Moment(1)) == ()
    assert routing.is_hopeful(want())


# -- estimates -----------------------------------------------------------------------------------


def test_speeds_are_learned_from_runs() -> None:
    estimates = Estimates()
    for _ in range(50):
        estimates.learn_speed(make_run(0, prompt_tokens=10, first_output_us=10_000))
        estimates.learn_speed(make_run(0, first_output_us=210_000, total_us=1_210_000))
        estimates.learn_length(make_run(0))
    found = estimates.estimate(summary(1, prompt_tokens=2_000), SMALL, IDLE)
    assert found.first_token_us == pytest.approx(10_000 + 400_000, rel=0.1)
    assert found.finish_us - found.first_token_us == pytest.approx(1_000_000, rel=0.1)


def test_the_answers_length_is_the_running_mean_bounded_by_the_user() -> None:
    estimates = Estimates()
    for _ in range(200):
        estimates.learn_length(make_run(0, completion_tokens=1_000))
    long = estimates.estimate(summary(1, completion_tokens_max=0), SMALL, IDLE)
    short = estimates.estimate(summary(1, completion_tokens_max=10), SMALL, IDLE)
    assert long.finish_us - long.first_token_us > 90 * (short.finish_us - short.first_token_us)


def test_a_few_long_answers_do_not_make_the_next_one_long() -> None:
    estimates = Estimates()
    for _ in range(500):
        estimates.learn_length(make_run(0, completion_tokens=200))
    for _ in range(16):
        estimates.learn_length(make_run(0, completion_tokens=2_000))
    assert 290 <= estimates.predict_length(SMALL, 0) <= 310
    assert estimates.predict_length(SMALL, 50) == 50


def test_an_embedding_has_no_answer_to_decode() -> None:
    found = Estimates().estimate(summary(1, endpoint=Endpoint.EMBEDDINGS), SMALL, IDLE)
    assert found.finish_us == found.first_token_us


def test_each_engine_has_its_own_speed_and_a_model_one_length() -> None:
    estimates = Estimates()
    estimates.learn_speed(make_run(0, "quick", total_us=300_000))
    estimates.learn_speed(make_run(0, "slow", total_us=9_100_000))
    spans = []
    for engine in ("quick", "slow"):
        found = estimates.estimate(summary(1), SMALL, LoadView(slots=4, used=0, engine=engine))
        spans.append(found.finish_us - found.first_token_us)
    assert spans == [200_000, 9_000_000]
    for _ in range(1_000):
        estimates.learn_length(make_run(3, completion_tokens=500))
    asked = summary(1, prompt_tokens=100, completion_tokens_max=0)
    assert 598 <= estimates.predict_tokens(asked, SMALL) <= 600
    assert estimates.predict_tokens(summary(1, completion_tokens_max=7), SMALL) == 107


def test_what_was_learned_in_a_crowd_is_not_held_against_an_idle_engine() -> None:
    estimates = Estimates()
    for _ in range(20):
        estimates.learn_speed(make_run(0, concurrency=1))
        estimates.learn_speed(make_run(0, concurrency=64, first_output_us=8_000_000))
    idle = estimates.estimate(summary(1, prompt_tokens=1_000), SMALL, LoadView(slots=64, used=0))
    busy = estimates.estimate(summary(1, prompt_tokens=1_000), SMALL, LoadView(slots=64, used=63))
    assert idle.first_token_us == 100_000
    assert busy.first_token_us == 8_000_000


def test_a_run_that_had_company_only_later_is_learned_as_one_that_had_some() -> None:
    estimates = Estimates()
    estimates.learn_speed(make_run(0, concurrency=1, concurrency_end=1))
    estimates.learn_speed(make_run(0, concurrency=1, concurrency_end=63, total_us=5_100_000))
    spans = []
    for used in (0, 31):
        found = estimates.estimate(summary(1), SMALL, LoadView(slots=64, used=used))
        spans.append(found.finish_us - found.first_token_us)
    assert spans == [1_000_000, 5_000_000]


def test_a_full_engine_makes_its_queue_wait() -> None:
    estimates = Estimates()
    free = estimates.estimate(summary(1), SMALL, LoadView(slots=2, used=1))
    full = estimates.estimate(summary(1), SMALL, LoadView(slots=2, used=2))
    queue = estimates.estimate(summary(1), SMALL, LoadView(slots=2, used=2, own_waiting=4))
    assert free.finish_us < full.finish_us < queue.finish_us
    assert full.first_token_us > free.first_token_us


def test_decoding_is_expected_to_slow_down_with_company() -> None:
    estimates = Estimates()
    estimates.learn_speed(make_run(0, concurrency=1))
    estimates.learn_speed(make_run(0, concurrency=4, total_us=2_100_000))
    alone = estimates.estimate(summary(1), SMALL, LoadView(slots=8, used=0))
    four = estimates.estimate(summary(1), SMALL, LoadView(slots=8, used=3))
    eight = estimates.estimate(summary(1), SMALL, LoadView(slots=8, used=7))
    spans = [one.finish_us - one.first_token_us for one in (alone, four, eight)]
    assert spans == sorted(spans)
    assert spans[1] == 2 * spans[0]


def test_whatever_was_learned_and_asked_an_estimate_can_travel() -> None:
    estimates = Estimates()
    for _ in range(50):
        estimates.learn_length(make_run(1, completion_tokens=TOKENS_MAX))
        estimates.learn_speed(make_run(0, total_us=3600 * SECOND, completion_tokens=2))
    asked = summary(1, prompt_tokens=TOKENS_MAX, completion_tokens_max=0)
    found = estimates.estimate(asked, SMALL, LoadView(slots=1, used=1, own_waiting=1_000))
    assert found.first_token_us == found.finish_us == ESTIMATE_MAX_US


def test_a_bad_name_for_punctuality_fades_when_nobody_asks_again() -> None:
    # [REQUESTS-SOONEST.5]
    history = History()
    now = Moment(SECOND)
    for _ in range(100):
        history.add_success(make_run(1, first_output_us=4_000, quoted_us=1_000), 0, now)
        history.add_success(make_run(2, first_output_us=250, quoted_us=1_000), 0, now)
    late, early = history.scale(node(1), 1_000, now), history.scale(node(2), 1_000, now)
    assert late > 3_900
    assert early < 300
    now = Moment(now + PROMISE_FADE_US)
    assert history.scale(node(1), 1_000, now) == 1_000 + (late - 1_000) // 2
    assert 600 < history.scale(node(2), 1_000, now) < 650
    now = Moment(now + 20 * PROMISE_FADE_US)
    assert history.scale(node(1), 1_000, now) == history.scale(node(2), 1_000, now) == 1_000


def test_that_a_longer_answer_took_longer_is_no_broken_promise() -> None:
    # [REQUESTS-SOONEST.5]
    history = History()
    now = Moment(SECOND)
    run = make_run(1, completion_tokens=1_000, first_output_us=100_000, total_us=10_100_000)
    for _ in range(100):
        history.add_success(replace(run, quoted_us=1_100_000), 100, now)
    assert history.scale(node(1), 1_000, now) == 1_000
