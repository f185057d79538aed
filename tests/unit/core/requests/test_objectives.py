"""Requests whose users hope for a time go where it is kept and nobody else is made late, or wait.

A desk plays the engines and the other nodes; what other nodes expect is the test's own word.
"""

from collections.abc import Iterator

import pytest

from tests.unit.core.desk import (
    Desk,
    ended,
    facts,
    member,
    node,
    offer,
    pick,
    pick_all,
    probe,
    probes,
    reading,
    request_id,
    served,
    summary,
)
from wwwserve.core.effects import (
    AcceptOffer,
    Effect,
    EndRequest,
    RequestErrorCode,
    SendMessage,
    StartLocal,
    StartRemote,
)
from wwwserve.core.events import EngineRead, SubmitRequest
from wwwserve.core.facts import AttemptStarted, RequestQueued, StartReason
from wwwserve.core.placing import Objective, OnMiss
from wwwserve.core.requests import QuoteReceived, RoomHeard
from wwwserve.core.requests.rules import (
    CANDIDATES_PRESSED,
    CANDIDATES_USUAL,
    DEFERRED_US,
    ROOM_SPACING_US,
)
from wwwserve.core.sessions import Route
from wwwserve.values.limits import DEFERRED_WAIT_US, QUEUE_WAIT_US
from wwwserve.values.moments import SECOND
from wwwserve.wire import Probe, Quote, Room

SOON = Objective(10 * SECOND)


def submit(desk: Desk, number: int, objective: Objective = SOON, **fields: object) -> list[Effect]:
    """A request that other nodes alone may run, so that each answer is the test's own."""
    asked = summary(number, **fields)
    return desk.tell(SubmitRequest(asked, Route.NETWORK, objective=objective))


def quote(
    desk: Desk, asked: Probe, peer: int, finish_us: int, *, harmed: int = 0, burden_us: int = 0
) -> list[Effect]:
    answer = Quote(
        asked.probe, None, "org/small", finish_us=finish_us, harmed=harmed, burden_us=burden_us
    )
    return desk.tell(QuoteReceived(node(peer), answer))


def rooms(effects: list[Effect]) -> Iterator[int]:
    for effect in pick_all(effects, SendMessage):
        if isinstance(effect.message, Room):
            yield effect.peer[0]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.meet(member(1), member(2))
    return desk


def test_others_hear_how_much_time_is_left(desk: Desk) -> None:
    # [REQUESTS-OBJECTIVE.1]
    assert probes(submit(desk, 1))[1].summary.due_us == 10 * SECOND
    assert probes(desk.submit(2, Route.NETWORK))[1].summary.due_us == 0


def test_who_would_be_late_at_the_own_engine_asks_one_more() -> None:
    # [REQUESTS-SOONEST.6]
    desk = Desk(served(1))
    desk.meet(*map(member, range(1, 5)))
    desk.submit(1)
    asked = probes(desk.tell(SubmitRequest(summary(2), Route.AUTO, objective=Objective(SECOND))))
    assert len(asked) == CANDIDATES_PRESSED
    patient = Objective(600 * SECOND)
    asked = probes(desk.tell(SubmitRequest(summary(3), Route.AUTO, objective=patient)))
    assert len(asked) == CANDIDATES_USUAL


def test_of_the_places_in_time_that_harm_nobody_the_lightest_is_taken(desk: Desk) -> None:
    # [REQUESTS-OBJECTIVE.2]
    asked = probes(submit(desk, 1))
    quote(desk, asked[1], 1, SECOND, harmed=1)
    effects = quote(desk, asked[2], 2, 9 * SECOND)
    assert pick(effects, StartRemote).peer == node(2)
    (start,) = facts(effects, AttemptStarted)
    assert start.reason is StartReason.LEAST_WEIGHT
    assert {one.node: one.harmed for one in start.alternatives} == {node(1): 1, node(2): 0}
    assert start.due_us == 10 * SECOND


def test_what_would_make_others_late_waits_until_it_does_not(desk: Desk) -> None:
    # [REQUESTS-OBJECTIVE.3]
    asked = probes(submit(desk, 1))
    quote(desk, asked[1], 1, SECOND, harmed=1)
    effects = quote(desk, asked[2], 2, SECOND, harmed=2)
    assert facts(effects, RequestQueued)
    asked = probes(desk.wait(SECOND // 2))
    quote(desk, asked[2], 2, SECOND, harmed=2)
    effects = quote(desk, asked[1], 1, SECOND)
    assert pick(effects, StartRemote).request == request_id(1)


def test_who_is_late_anyway_goes_after_all_who_are_not(desk: Desk) -> None:
    # [REQUESTS-OBJECTIVE.4]
    for number in (1, 2):
        asked = probes(submit(desk, number, Objective(number * SECOND)))
        effects = [
            one
            for peer, each in asked.items()
            for one in quote(desk, each, peer, SECOND + number, harmed=1)
        ]
        assert facts(effects, RequestQueued)
        desk.pass_time(SECOND // 10)
    # The first is late wherever it runs; a place that harms nobody is the second's.
    effects = desk.tell(RoomHeard(node(1), ("org/small",)))
    first = next(pick_all(effects, SendMessage)).message
    assert isinstance(first, Probe)
    assert first.summary.request == request_id(2)


@pytest.mark.parametrize("on_miss", [OnMiss.SERVE, OnMiss.REFUSE])
def test_a_miss_is_served_or_refused_as_its_user_chose(desk: Desk, on_miss: OnMiss) -> None:
    # [REQUESTS-OBJECTIVE.5]
    asked = probes(submit(desk, 1, Objective(SECOND, on_miss=on_miss)))
    quote(desk, asked[1], 1, 3 * SECOND)
    effects = quote(desk, asked[2], 2, 2 * SECOND)
    if on_miss is OnMiss.SERVE:
        assert pick(effects, StartRemote).peer == node(2)
        return
    error = pick(effects, EndRequest).error
    assert error is not None
    assert error.code is RequestErrorCode.NO_CAPACITY
    assert error.retry_after_us > 0


def test_who_has_waited_long_is_served_whomever_that_harms() -> None:
    # [REQUESTS-OBJECTIVE.6]
    desk = Desk(served(1))
    desk.tell(SubmitRequest(summary(1), Route.LOCAL))
    desk.tell(SubmitRequest(summary(2), Route.LOCAL, objective=Objective(1)))
    desk.wait(QUEUE_WAIT_US + SECOND)
    assert not desk.get_ends(), "an engine that could run it is there"
    desk.wait(DEFERRED_US)
    start = pick(desk.log, StartLocal)
    effects = desk.tell(ended(start.session))
    assert pick(effects, StartLocal).request == request_id(2)


def test_no_wait_is_without_end() -> None:
    # [REQUESTS-OBJECTIVE.6]
    desk = Desk(served(1))
    desk.submit(1)
    desk.tell(SubmitRequest(summary(2), Route.LOCAL, objective=SOON))
    desk.wait(DEFERRED_WAIT_US + SECOND)
    (end,) = desk.get_ends()
    assert end.request == request_id(2)


def test_who_was_turned_away_hears_of_room_once() -> None:
    # [REQUESTS-ROOM.1]
    desk = Desk(served(1))
    session = pick(desk.tell(offer(1, peer=3)), AcceptOffer).session
    desk.tell(probe(2, peer=1))
    desk.tell(probe(3, peer=2))
    assert not list(rooms(desk.tell(EngineRead("gpu", reading())))), "there is none yet"
    assert list(rooms(desk.tell(ended(session)))) == [1, 2]
    assert not list(rooms(desk.tell(EngineRead("gpu", reading()))))


def test_who_hears_of_room_asks_that_node_at_once_for_the_first_of_its_queue(desk: Desk) -> None:
    # [REQUESTS-ROOM.2]
    asked = probes(submit(desk, 1))
    quote(desk, asked[1], 1, SECOND, harmed=1)
    quote(desk, asked[2], 2, SECOND, harmed=1)
    effects = desk.tell(RoomHeard(node(2), ("org/small",)))
    assert probes(effects).keys() == {2}
    assert pick(quote(desk, probes(effects)[2], 2, SECOND), StartRemote).peer == node(2)


def test_a_node_that_cries_room_all_the_time_is_heard_now_and_then(desk: Desk) -> None:
    # [REQUESTS-ROOM.3]
    for number in range(1, 9):
        asked = probes(submit(desk, number))
        for peer, each in asked.items():
            quote(desk, each, peer, SECOND, harmed=1)
    first = desk.tell(RoomHeard(node(2), ("org/small",)))
    assert len([one for one in pick_all(first, SendMessage) if one.peer == node(2)]) == 2
    assert not probes(desk.tell(RoomHeard(node(2), ("org/small",))))
    desk.pass_time(ROOM_SPACING_US)
    assert desk.tell(RoomHeard(node(2), ("org/small",)))
