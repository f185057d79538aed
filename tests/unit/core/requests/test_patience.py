"""A request without a place is told so in two minutes, and waits on where one is to come.

A desk (`tests/unit/core/desk.py`) plays the engine and the other nodes, event by event.
"""

import pytest

from tests.unit.core.desk import (
    Desk,
    ended,
    member,
    pick,
    probes,
    reading,
    request_id,
    served,
    summary,
)
from tests.unit.core.requests.test_fair_waiting import HUGE, HUGE_S, open_room, submit
from wwwserve.core.effects import RequestErrorCode, StartLocal
from wwwserve.core.engines import EngineHealth
from wwwserve.core.events import EngineRead, StreamProgressed, SubmitRequest
from wwwserve.core.placing import Objective, OnMiss
from wwwserve.core.sessions import Route
from wwwserve.values.limits import DEFERRED_WAIT_US, QUEUE_WAIT_US
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import DeclineReason


def test_an_engine_that_works_through_others_is_waited_for() -> None:
    # [REQUESTS-QUEUE.4]
    room = open_room()
    for number in range(60):
        room.submit(number, HUGE, "")
    room.submit(60, HUGE, "", deadline_us=30 * SECOND)
    for second in room.seconds(DEFERRED_WAIT_US // SECOND - 1):
        assert (60 in room.ended) is (second >= 30)
    codes = room.get_codes()
    assert codes == {60: RequestErrorCode.DEADLINE}, "whoever has a deadline is told in time"
    assert len(room.started) == DEFERRED_WAIT_US // SECOND // HUGE_S
    for _ in room.seconds(2):
        pass
    refused = room.ended[59].error
    assert refused is not None
    assert refused.code is RequestErrorCode.NO_CAPACITY
    assert refused.retry_after_us > 0
    assert not room.desk.requests.queued_count, "no wait is without end"


def test_an_engine_that_brings_nothing_is_not_waited_for() -> None:
    # [REQUESTS-QUEUE.4]
    desk = Desk(served(1))
    session = pick(desk.submit(1), StartLocal).session
    desk.submit(2)
    desk.wait(QUEUE_WAIT_US // 2)
    desk.tell(StreamProgressed(session, 1))
    desk.wait(QUEUE_WAIT_US // 2 + SECOND)
    assert not desk.get_ends(), "it brought something within the two minutes"
    desk.wait(QUEUE_WAIT_US)
    (end,) = desk.get_ends()
    assert end.request == request_id(2)


def test_an_engine_of_short_answers_is_waited_for_and_one_that_is_down_is_not() -> None:
    # [REQUESTS-QUEUE.4]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    for number in range(1, 8):
        submit(desk, number, "")
    for _ in range(3):
        desk.wait(QUEUE_WAIT_US // 2)
        session = pick(desk.tell(ended(session)), StartLocal).session
    assert not [end for end in desk.get_ends() if end.error is not None]
    desk.tell(EngineRead("gpu", reading(EngineHealth.UNAVAILABLE)))
    desk.wait(QUEUE_WAIT_US)
    assert len([end for end in desk.get_ends() if end.error is not None]) == 4


def test_an_own_engine_is_not_waited_for_by_who_may_not_run_there() -> None:
    # [REQUESTS-QUEUE.4]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    desk.meet(member(1))
    desk.submit(1, Route.NETWORK)
    for _ in range(2):
        assert not desk.get_ends()
        desk.wait(QUEUE_WAIT_US // 2 + 2 * SECOND)
        desk.tell(StreamProgressed(session, 1))
    (end,) = desk.get_ends()
    assert end.request == request_id(1)


@pytest.mark.parametrize(
    ("reason", "is_waited"),
    [(DeclineReason.BUSY, True), (DeclineReason.POLICY, False), (DeclineReason.CLOSED, False)],
)
def test_another_node_that_is_only_busy_is_waited_for(
    reason: DeclineReason, *, is_waited: bool
) -> None:
    # [REQUESTS-QUEUE.4]
    desk = Desk()
    desk.meet(member(1))
    effects = desk.submit(1)
    for _ in range(4 * 150):
        for peer, asked in probes(effects).items():
            desk.quote(asked, peer, decline=reason, retry_after_us=SECOND)
        effects = desk.wait(SECOND // 4)
    assert (not desk.get_ends()) is is_waited
    desk.wait(QUEUE_WAIT_US)
    assert desk.get_ends(), "and no longer than it says so"


def test_who_has_an_objective_waits_as_before() -> None:
    # [REQUESTS-OBJECTIVE.6]
    desk = Desk()
    desk.meet(member(1))
    hope = Objective(base_us=SECOND, on_miss=OnMiss.WAIT)
    effects = desk.tell(SubmitRequest(summary(1), Route.NETWORK, objective=hope))
    for _ in range(4 * 121):
        for peer, asked in probes(effects).items():
            desk.quote(asked, peer, decline=DeclineReason.BUSY, retry_after_us=SECOND)
        effects = desk.wait(SECOND // 4)
    assert desk.get_ends()
