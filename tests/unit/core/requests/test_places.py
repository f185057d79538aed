"""An own user's request runs where it finishes soonest, among the places that may have it.

A desk (`tests/unit/core/desk.py`) plays the engines and the other nodes, event by event.
"""

import pytest

from tests.unit.core.desk import (
    MODEL,
    Desk,
    ended,
    facts,
    member,
    node,
    pick,
    pick_all,
    probes,
    reading,
    request_id,
    served,
)
from wwwserve.core.effects import (
    EndRequest,
    RequestErrorCode,
    StartLocal,
    StartRemote,
)
from wwwserve.core.engines import EngineHealth
from wwwserve.core.events import (
    CancelRequest,
    EngineRead,
    FirstOutput,
    StreamOpened,
)
from wwwserve.core.facts import (
    AttemptStarted,
    MemberStatus,
    RequestFinished,
    RequestQueued,
)
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests import PeersLost, ProbeFailed
from wwwserve.core.sessions import Route
from wwwserve.core.snapshot import MemberView
from wwwserve.values.limits import (
    CANDIDATES_MAX,
    ENGINE_STALE_US,
    PROBE_DEADLINE_MIN_US,
    PROBE_DEADLINE_US,
)
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer


def test_an_idle_engine_takes_a_request_at_once() -> None:
    desk = Desk(served(2))
    start = pick(desk.submit(), StartLocal)
    assert start.request == request_id(1)
    desk.tell(StreamOpened(start.session))
    desk.pass_time(30_000)
    desk.tell(FirstOutput(start.session))
    desk.pass_time(70_000)
    effects = desk.tell(ended(start.session))
    assert pick(effects, EndRequest).error is None
    fact = facts(effects, RequestFinished)[0]
    assert (fact.first_output_us, fact.total_us, fact.completion_tokens) == (30_000, 100_000, 50)
    assert fact.executor == node(0)


def test_a_busy_node_asks_two_others_and_takes_the_soonest_finish() -> None:
    # [REQUESTS-SOONEST.1]
    desk = Desk(served(1))
    desk.meet(member(1), member(2))
    desk.submit(1)
    asked = probes(desk.submit(2))
    assert sorted(asked) == [1, 2]
    assert not list(pick_all(desk.quote(asked[1], 1, finish_us=900_000), StartRemote))
    effects = desk.quote(asked[2], 2, finish_us=400_000)
    start = pick(effects, StartRemote)
    assert start.peer == node(2)
    assert start.offer.model == MODEL
    alternatives = facts(effects, AttemptStarted)[0].alternatives
    assert [alternative.node for alternative in alternatives] == [node(2), node(1), node(0)]


def test_a_free_slot_here_wins_against_a_slower_node() -> None:
    # [REQUESTS-SOONEST.2]
    desk = Desk(served(2), policy=PolicySettings(target_utilisation_permille=100))
    desk.meet(member(1))
    desk.submit(1)
    asked = probes(desk.submit(2))
    pick(desk.quote(asked[1], 1, finish_us=3600 * SECOND), StartLocal)


def test_an_own_queue_is_preferred_to_a_much_slower_node() -> None:
    desk = Desk(served(1))
    desk.meet(member(1))
    first = pick(desk.submit(1), StartLocal)
    asked = probes(desk.submit(2))
    effects = desk.quote(asked[1], 1, finish_us=3600 * SECOND)
    assert facts(effects, RequestQueued)
    assert pick(desk.tell(ended(first.session)), StartLocal).request == request_id(2)


def test_sends_count_at_once_against_quotes_that_do_not_know_of_them() -> None:
    # [REQUESTS-HERD.1] Two requests probe before either is sent: they do not both go there.
    desk = Desk(served(1))
    desk.meet(member(1, slots=1), member(2, slots=1))
    desk.submit(1)
    second, third = probes(desk.submit(2)), probes(desk.submit(3))
    desk.pass_time(1_000)
    desk.quote(second[1], 1, finish_us=400_000)
    first_choice = pick(desk.quote(second[2], 2, finish_us=500_000), StartRemote)
    desk.quote(third[1], 1, finish_us=400_000)
    second_choice = pick(desk.quote(third[2], 2, finish_us=500_000), StartRemote)
    assert (first_choice.peer, second_choice.peer) == (node(1), node(2))


def test_a_silent_node_is_not_waited_for_beyond_the_deadline() -> None:
    desk = Desk(served(1))
    desk.meet(member(1), member(2))
    desk.submit(1)
    asked = probes(desk.submit(2))
    desk.quote(asked[2], 2, finish_us=1)
    assert not list(pick_all(desk.wait(PROBE_DEADLINE_US - 1), StartRemote))
    assert pick(desk.wait(1), StartRemote).peer == node(2)


def test_who_has_little_time_left_spends_little_of_it_waiting_for_quotes() -> None:
    # [REQUESTS-SOONEST.7] A silent node costs an eighth of a deadline, not all of it.
    desk = Desk(served(1))
    desk.meet(member(1), member(2))
    desk.submit(1)
    asked = probes(desk.submit(2, deadline_us=SECOND))
    desk.quote(asked[2], 2, finish_us=1)
    assert not list(pick_all(desk.wait(SECOND // 8 - 1), StartRemote))
    assert pick(desk.wait(1), StartRemote).peer == node(2)


def test_who_has_no_time_left_still_hears_those_that_answer_at_once() -> None:
    # [REQUESTS-SOONEST.7]
    desk = Desk(served(1))
    desk.meet(member(1), member(2))
    desk.submit(1)
    asked = probes(desk.submit(2, deadline_us=2 * PROBE_DEADLINE_MIN_US))
    desk.quote(asked[2], 2, finish_us=1)
    assert not list(pick_all(desk.wait(PROBE_DEADLINE_MIN_US - 1), StartRemote))
    assert pick(desk.wait(1), StartRemote).peer == node(2)


def test_who_is_queued_hears_distant_nodes_however_little_time_is_left() -> None:
    # [REQUESTS-SOONEST.7] Nothing is lost by half a second, and nobody nearer has room.
    desk = Desk(served(1))
    desk.meet(member(1))
    desk.submit(1)
    asked = probes(desk.submit(2, deadline_us=2 * SECOND))
    assert facts(desk.quote(asked[1], 1, decline=DeclineReason.BUSY), RequestQueued)
    again = None
    while again is None:
        again = probes(desk.wait(10_000)).get(1)
    desk.wait(300_000)
    assert pick(desk.quote(again, 1, finish_us=1), StartRemote).peer == node(1)


@pytest.mark.parametrize("news", ["lost", "unsent"])
def test_a_vanished_node_is_given_up_at_once(news: str) -> None:
    desk = Desk(served(1))
    desk.meet(member(1), member(2))
    desk.submit(1)
    asked = probes(desk.submit(2))
    desk.quote(asked[2], 2, finish_us=1)
    gone = PeersLost((node(1),)) if news == "lost" else ProbeFailed(node(1), asked[1])
    assert pick(desk.tell(gone), StartRemote).peer == node(2)


def test_more_nodes_are_asked_when_the_first_decline() -> None:
    desk = Desk()
    desk.meet(*(member(number) for number in range(1, 9)))
    asked = probes(desk.submit(1))
    assert len(asked) == 2
    more = {}
    for number, probe in asked.items():
        more = probes(desk.quote(probe, number, decline=DeclineReason.BUSY))
    assert len(more) == CANDIDATES_MAX
    assert not more.keys() & asked.keys()


@pytest.mark.parametrize(
    "view",
    [
        member(1, status=MemberStatus.SUSPECT),
        member(1, status=MemberStatus.DEAD),
        member(1, is_linked=False),
        member(1, is_draining=True),
        member(1, ModelOffer("org/other")),
        member(1, ModelOffer(MODEL, context_tokens=150)),
        member(1, ModelOffer(MODEL, capabilities=("chat",))),
    ],
    ids=["suspect", "dead", "unlinked", "draining", "other-model", "short-context", "no-tools"],
)
def test_nodes_that_could_not_run_it_are_not_asked(view: MemberView) -> None:
    # [REQUESTS-CANDIDATES.1]
    desk = Desk(served(1))
    desk.meet(view)
    desk.submit(1)
    assert probes(desk.submit(2, needs=("tools",))) == {}


def test_only_allowed_nodes_see_a_request() -> None:
    # [REQUESTS-CANDIDATES.2] The user's list and the provider's both hold.
    policy = PolicySettings(offload_nodes=(node(1), node(2)), deny_nodes=(node(2),))
    desk = Desk(served(1), policy=policy)
    desk.meet(*(member(number) for number in range(1, 5)))
    desk.submit(1)
    assert probes(desk.submit(2, allowed=(node(3), node(2)))).keys() == set()
    assert probes(desk.submit(3, allowed=(node(1), node(3)))).keys() == {1}
    assert probes(desk.submit(4)).keys() == {1}


def test_routes_are_kept() -> None:
    desk = Desk(served(1))
    desk.meet(member(1))
    assert probes(desk.submit(1, Route.NETWORK)).keys() == {1}
    pick(desk.submit(2, Route.LOCAL), StartLocal)
    effects = desk.submit(3, Route.LOCAL)
    assert facts(effects, RequestQueued)
    desk.tell(CancelRequest(request_id(1)))
    assert not probes(desk.wait(5 * SECOND))


def test_a_loading_engine_sends_own_requests_to_the_network() -> None:
    desk = Desk(served(1), is_read=False)
    desk.meet(member(1))
    desk.tell(EngineRead("gpu", reading(EngineHealth.LOADING)))
    assert probes(desk.submit(1)).keys() == {1}


def test_a_reading_too_old_is_unknown_and_takes_no_work() -> None:
    desk = Desk(served(1))
    desk.meet(member(1))
    desk.pass_time(ENGINE_STALE_US)
    assert probes(desk.submit(1)).keys() == {1}


def test_work_others_give_the_engine_counts_as_used() -> None:
    desk = Desk(served(2))
    desk.meet(member(1))
    desk.tell(EngineRead("gpu", reading(running=2, waiting=1)))
    assert probes(desk.submit(1)).keys() == {1}
    desk.tell(EngineRead("gpu", reading(running=0)))
    pick(desk.submit(2), StartLocal)


def test_an_ability_nobody_has_is_told_and_not_to_be_tried_again() -> None:
    desk = Desk()
    desk.meet(member(1, ModelOffer(MODEL, capabilities=("chat",))))
    end = pick(desk.submit(1, Route.NETWORK, needs=("vision",)), EndRequest)
    assert end.error is not None
    assert end.error.code is RequestErrorCode.MODEL_UNKNOWN
    assert "vision" in end.error.detail
    assert end.error.retry_after_us == 0


def test_a_private_request_is_not_even_probed_for_where_nobody_is_named() -> None:
    desk = Desk()
    desk.meet(member(1))
    effects = desk.submit(is_private=True)
    assert not probes(effects)
    assert pick(effects, EndRequest).error is not None
    assert len(probes(desk.submit(2, allowed=(node(1),), is_private=True))) == 1


def test_of_an_engine_that_tells_no_load_the_own_count_is_all_there_is() -> None:
    desk = Desk(served(2))
    desk.meet(member(1))
    unknown = reading(running=None, waiting=None, kv_used_permille=None, slots=None)
    desk.tell(EngineRead("gpu", unknown))
    for number in (1, 2):
        pick(desk.submit(number, Route.LOCAL), StartLocal)
    desk.tell(EngineRead("gpu", unknown))
    assert probes(desk.submit(3)).keys() == {1}
