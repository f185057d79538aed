"""A first token that is late beyond its quote costs its user a bounded wait, and nothing twice.

A desk (`tests/unit/core/desk.py`) plays the engines, the other nodes and the data plane.
"""

import pytest

from tests.fakes.payments import FakePayments
from tests.unit.core.desk import (
    Desk,
    ended,
    facts,
    failed,
    member,
    node,
    pick,
    pick_all,
    probes,
    request_id,
    served,
)
from wwwserve.core.effects import (
    Effect,
    EndRequest,
    RecallSession,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.events import CancelRequest, FirstOutput, RecallAnswered, StreamOpened
from wwwserve.core.facts import AttemptFailed, AttemptStarted, StartReason
from wwwserve.core.placing import Bid
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests.redispatch import LATE_LEAST_US, MOVES_MAX
from wwwserve.core.routing.history import PENALTY_FIRST_US
from wwwserve.core.sessions import Role, Route, SessionId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import DeclineReason, FailureKind

FIRST_US = 50 * MILLISECOND
PATIENCE_US = FIRST_US + LATE_LEAST_US
"""From the accept until the first token of such a quote is late."""


def send_away(desk: Desk, number: int = 1, *, peer: int = 1) -> StartRemote:
    """A request goes to a peer, which accepts it and quoted its first token in `FIRST_US`."""
    asked = probes(desk.submit(number, Route.NETWORK))
    effects: list[Effect] = []
    for other, probe in asked.items():
        finish_us = 200 * MILLISECOND if other == peer else SECOND
        effects = desk.quote(probe, other, finish_us, first_token_us=FIRST_US, payment=b"a price")
    start = pick(effects, StartRemote)
    assert start.peer == node(peer)
    desk.tell(StreamOpened(start.session))
    return start


def recall(desk: Desk, start: StartRemote, *, wait_us: int = PATIENCE_US) -> None:
    """Its first token is late and another node would be quicker: the run is to be stopped."""
    ((peer, asked),) = probes(desk.wait(wait_us)).items()
    effects = desk.quote(
        asked, peer, 300 * MILLISECOND, first_token_us=FIRST_US, payment=b"a price"
    )
    assert pick(effects, RecallSession).session == start.session
    assert not list(pick_all(effects, StartRemote)), "its door is still open"


def test_a_late_first_token_is_looked_for_elsewhere_and_the_user_is_answered() -> None:
    # [REQUESTS-LATE.1] [REQUESTS-LATE.3]
    desk = Desk()
    desk.meet(member(1), member(2))
    start = send_away(desk)
    assert not desk.wait(PATIENCE_US - 1)
    recall(desk, start, wait_us=1)
    effects = desk.tell(RecallAnswered(start.session, is_stopped=True))
    (lost,) = facts(effects, AttemptFailed)
    assert (lost.executor, lost.kind) == (node(1), FailureKind.TIMEOUT)
    again = pick(effects, StartRemote)
    assert (again.peer, again.offer.attempt) == (node(2), 2)
    (told,) = facts(effects, AttemptStarted)
    assert told.reason is StartReason.LATE_ELSEWHERE
    assert [one.reason for one in told.alternatives if one.node == node(1)] != [""]
    desk.tell(ended(again.session))
    assert [end.error for end in desk.get_ends()] == [None]


def test_a_run_whose_output_has_begun_stays_where_it_is() -> None:
    # [REQUESTS-LATE.3]
    desk = Desk()
    desk.meet(member(1), member(2))
    start = send_away(desk)
    recall(desk, start)
    assert desk.tell(RecallAnswered(start.session, is_stopped=False)) == []
    desk.tell(FirstOutput(start.session))
    assert desk.wait(60 * SECOND) == []
    pick(desk.tell(ended(start.session)), EndRequest)


def test_output_ends_the_search_for_another_place() -> None:
    # [REQUESTS-LATE.3]
    desk = Desk()
    desk.meet(member(1), member(2))
    start = send_away(desk)
    ((peer, asked),) = probes(desk.wait(PATIENCE_US)).items()
    desk.tell(FirstOutput(start.session))
    assert desk.quote(asked, peer, 1, first_token_us=1) == []
    assert desk.wait(60 * SECOND) == []


def test_a_quote_that_is_kept_moves_nothing_however_long_the_prompt() -> None:
    # [REQUESTS-LATE.1] Its first token was promised in ten seconds, so nobody asks before twenty.
    desk = Desk()
    desk.meet(member(1))
    (asked,) = probes(desk.submit(1, Route.NETWORK)).values()
    effects = desk.quote(asked, 1, 12 * SECOND, first_token_us=10 * SECOND)
    desk.meet(member(2))
    desk.tell(StreamOpened(pick(effects, StartRemote).session))
    assert not probes(desk.wait(20 * SECOND - 1))
    assert probes(desk.wait(1)).keys() == {2}


def test_it_waits_on_where_others_are_no_better_and_asks_again_later() -> None:
    # [REQUESTS-LATE.2]
    desk = Desk()
    desk.meet(member(1), member(2))
    start = send_away(desk)
    for pause_us in (PATIENCE_US, PATIENCE_US, 2 * PATIENCE_US, 4 * PATIENCE_US):
        assert not probes(desk.wait(pause_us - 1))
        (asked,) = probes(desk.wait(1)).values()
        assert desk.quote(asked, 2, 3_600 * SECOND, first_token_us=FIRST_US) == []
    pick(desk.tell(ended(start.session)), EndRequest)


def test_a_place_that_would_make_others_late_is_none() -> None:
    # [REQUESTS-LATE.2]
    desk = Desk()
    desk.meet(member(1), member(2))
    send_away(desk)
    (asked,) = probes(desk.wait(PATIENCE_US)).values()
    assert desk.quote(asked, 2, 1, first_token_us=1, harmed=1) == []


def test_nobody_answers_and_the_own_engine_takes_it() -> None:
    # [REQUESTS-LATE.2] Nobody is there to ask: this node is a place as well.
    desk = Desk(served(1))
    desk.meet(member(1))
    pick(desk.submit(1), StartLocal)
    (asked,) = probes(desk.submit(2)).values()
    away = pick(desk.quote(asked, 1, 1, first_token_us=FIRST_US), StartRemote)
    desk.tell(StreamOpened(away.session))
    assert not list(pick_all(desk.wait(PATIENCE_US), RecallSession)), "no room here yet"
    desk.tell(ended(SessionId(Role.ORIGIN, 1)))
    assert pick(desk.wait(PATIENCE_US), RecallSession).session == away.session
    effects = desk.tell(RecallAnswered(away.session, is_stopped=True))
    assert pick(effects, StartLocal).request == request_id(2)


def test_a_request_for_the_network_does_not_come_home() -> None:
    # [REQUESTS-LATE.4]
    desk = Desk(served(1))
    desk.meet(member(1))
    send_away(desk)
    assert not list(pick_all(desk.wait(60 * SECOND), RecallSession))


@pytest.mark.parametrize(
    "policy", [PolicySettings(deny_nodes=(node(2),)), PolicySettings(offload_nodes=(node(1),))]
)
def test_the_policy_of_now_says_where_it_may_go(policy: PolicySettings) -> None:
    # [REQUESTS-LATE.4]
    desk = Desk()
    desk.meet(member(1), member(2))
    start = send_away(desk)
    desk.policy.set(policy, desk.now)
    assert not probes(desk.wait(60 * SECOND))
    desk.policy.set(PolicySettings(), desk.now)
    (asked,) = probes(desk.wait(60 * SECOND)).values()
    desk.quote(asked, 2, 1, first_token_us=1)
    desk.policy.set(policy, desk.now)
    effects = desk.tell(RecallAnswered(start.session, is_stopped=True))
    assert not list(pick_all(effects, StartRemote)), "set while its door was being closed"


def test_a_request_whose_user_allows_one_node_alone_waits_for_it() -> None:
    # [REQUESTS-LATE.4]
    desk = Desk()
    desk.meet(member(1), member(2))
    (asked,) = probes(desk.submit(1, Route.NETWORK, (node(1),))).values()
    effects = desk.quote(asked, 1, 1, first_token_us=FIRST_US)
    desk.tell(StreamOpened(pick(effects, StartRemote).session))
    assert desk.wait(60 * SECOND) == []


def test_a_request_is_moved_so_often_and_then_waits_where_it_is() -> None:
    # [REQUESTS-LATE.5]
    desk = Desk()
    desk.meet(member(1))
    start = send_away(desk)
    for number in range(2, 2 + MOVES_MAX):
        desk.meet(member(number))
        (asked,) = probes(desk.wait(PATIENCE_US)).values()
        desk.quote(asked, number, 300 * MILLISECOND, first_token_us=FIRST_US)
        start = pick(desk.tell(RecallAnswered(start.session, is_stopped=True)), StartRemote)
        assert start.peer == node(number)
        desk.tell(StreamOpened(start.session))
    desk.meet(member(2 + MOVES_MAX))
    assert desk.wait(60 * SECOND) == []
    pick(desk.tell(ended(start.session)), EndRequest)


def test_a_run_that_fails_while_others_are_asked_is_tried_elsewhere_as_ever() -> None:
    # [REQUESTS-LATE.3]
    desk = Desk()
    desk.meet(member(1), member(2))
    start = send_away(desk)
    (asked,) = probes(desk.wait(PATIENCE_US)).values()
    again = probes(desk.tell(failed(start.session, FailureKind.BROKEN)))
    assert again.keys() == {2}
    assert desk.quote(asked, 2, 1) == [], "an answer for a round that is over"
    second = pick(desk.quote(again[2], 2, 1), StartRemote)
    assert desk.tell(RecallAnswered(start.session, is_stopped=True)) == []
    desk.tell(ended(second.session))
    assert [end.error for end in desk.get_ends()] == [None]


def test_a_user_who_leaves_while_the_door_is_being_closed_is_not_served_again() -> None:
    # [REQUESTS-LATE.3]
    desk = Desk()
    desk.meet(member(1), member(2))
    start = send_away(desk)
    recall(desk, start)
    effects = desk.tell(CancelRequest(request_id(1)))
    assert pick(effects, StopSession).session == start.session
    assert desk.tell(RecallAnswered(start.session, is_stopped=True)) == []


def test_a_place_that_declines_after_all_leaves_the_late_node_as_a_last_resort() -> None:
    # [REQUESTS-LATE.6] It had it in hand, and may be the only one that would have it.
    desk = Desk()
    desk.meet(member(1), member(2))
    start = send_away(desk)
    recall(desk, start)
    second = pick(desk.tell(RecallAnswered(start.session, is_stopped=True)), StartRemote)
    desk.meet(member(2, is_linked=False))
    desk.tell(failed(second.session, FailureKind.DECLINED, decline=DeclineReason.BUSY))
    assert not desk.get_ends()
    assert 1 in probes(desk.wait(60 * SECOND))


def test_a_late_node_is_left_alone_by_other_requests_and_its_quotes_mean_more() -> None:
    # [REQUESTS-LATE.6]
    desk = Desk()
    desk.meet(member(1), member(2))
    bid = Bid(node(1), ModelId("org/small"), SECOND, desk.now, first_token_us=SECOND)
    (before,) = desk.routing.rank([bid], desk.now)
    start = send_away(desk)
    recall(desk, start)
    desk.tell(RecallAnswered(start.session, is_stopped=True))
    assert 1 not in probes(desk.submit(2, Route.NETWORK))
    desk.pass_time(PENALTY_FIRST_US)
    (after,) = desk.routing.rank([bid], desk.now)
    assert after.first_token_us > before.first_token_us


def test_each_run_has_a_hold_of_its_own() -> None:
    # [REQUESTS-LATE.7]
    desk = Desk(payments=FakePayments(node(0)))
    desk.meet(member(1), member(2))
    start = send_away(desk)
    recall(desk, start)
    again = pick(desk.tell(RecallAnswered(start.session, is_stopped=True)), StartRemote)
    assert again.payment is not None
    assert start.payment is not None
    assert again.payment.terms.hold_id != start.payment.terms.hold_id
