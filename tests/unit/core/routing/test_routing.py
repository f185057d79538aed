"""Candidates are drawn by seats, and quotes weighed by experience.

Each part of routing is asked directly; members are small integers.
"""

from collections import Counter

from msgspec.structs import replace

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
    PENALTY_FIRST_US,
    PENALTY_MAX_US,
    PROMISE_FADE_US,
    History,
    Routing,
    StakeTable,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import QUOTE_LIFE_US
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.wire import RequestSummary

SMALL = ModelId(MODEL)
IDLE = LoadView(slots=4, used=0)


def make_run(number: int, engine: str = "", **fields: int) -> RunMeasured:
    values = {
        "prompt_tokens": 1_000,
        "completion_tokens": 101,
        "completion_tokens_max": 0,
        "first_output_us": 100_000,
        "total_us": 1_100_000,
        "quoted_us": 0,
    } | fields
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
    history.add_success(make_run(1), now)
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


def test_a_bad_name_for_punctuality_fades_when_nobody_asks_again() -> None:
    # [REQUESTS-SOONEST.5]
    history = History()
    now = Moment(SECOND)
    for _ in range(100):
        history.add_success(
            make_run(1, first_output_us=4_000, total_us=4_000, quoted_us=1_000), now
        )
        history.add_success(make_run(2, first_output_us=250, total_us=250, quoted_us=1_000), now)
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
        history.add_success(replace(run, quoted_us=1_100_000, expected_tokens=100), now)
    assert history.scale(node(1), 1_000, now) == 1_000
