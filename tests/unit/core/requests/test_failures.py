"""What fails before its user sees a part of it is tried elsewhere; what cannot be is told honestly.

A desk (`tests/unit/core/desk.py`) plays the engines and the other nodes, event by event.
"""

import pytest

from tests.unit.core.desk import (
    MODEL,
    Desk,
    declined,
    ended,
    facts,
    failed,
    member,
    node,
    pick,
    probes,
    request_id,
    served,
)
from wwwserve.core.effects import (
    Effect,
    EndRequest,
    RequestErrorCode,
    SendMessage,
    StartLocal,
    StartRemote,
)
from wwwserve.core.facts import (
    RequestQueued,
)
from wwwserve.core.requests import RoomHeard
from wwwserve.core.requests.quotes import POOLED_US
from wwwserve.core.requests.rules import DECLINES_TRUSTED, ROOM_SPACING_US
from wwwserve.core.sessions import Route
from wwwserve.values.limits import (
    ATTEMPTS_MAX,
)
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Probe


def get_error(end: EndRequest) -> RequestErrorCode | None:
    return end.error.code if end.error is not None else None


def start_remote(desk: Desk, number: int, peer: int = 1) -> StartRemote:
    asked = probes(desk.submit(number, Route.NETWORK))
    effects: list[Effect] = []
    for other, probe in asked.items():
        effects = desk.quote(probe, other, finish_us=1 if other == peer else SECOND)
    return pick(effects, StartRemote)


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.UNAVAILABLE,
        FailureKind.BROKEN,
        FailureKind.TIMEOUT,
        FailureKind.LINK_LOST,
        FailureKind.CANCELLED,
        FailureKind.INTERNAL,
    ],
)
def test_a_dead_executor_costs_its_user_nothing(kind: FailureKind) -> None:
    # [REQUESTS-RETRY.1] Another node runs it, and the one that failed is not asked again.
    desk = Desk()
    desk.meet(member(1), member(2))
    start = start_remote(desk, 1)
    desk.pass_time(POOLED_US + 1)
    again = probes(desk.tell(failed(start.session, kind)))
    assert again.keys() == {2}
    second = pick(desk.quote(again[2], 2, finish_us=1), StartRemote)
    assert second.offer.attempt == 2
    desk.tell(ended(second.session))
    assert [end.error for end in desk.get_ends()] == [None]


def test_a_request_goes_back_to_the_only_node_that_can_run_it_once_that_is_linked_again() -> None:
    # [REQUESTS-RETRY.7] Its process was killed and started again: what it left waits for it.
    desk = Desk()
    desk.meet(member(1))
    start = start_remote(desk, 1)
    effects = desk.tell(failed(start.session, FailureKind.LINK_LOST))
    assert facts(effects, RequestQueued)
    desk.meet(member(1, is_linked=False))
    assert not probes(desk.wait(10 * SECOND))
    desk.meet(member(1))
    looks = (probes(desk.wait(100 * MILLISECOND)) for _ in range(20))
    again = next(filter(None, looks))
    second = pick(desk.quote(again[1], 1, finish_us=1), StartRemote)
    desk.tell(ended(second.session))
    assert [end.error for end in desk.get_ends()] == [None]


@pytest.mark.parametrize("kind", [FailureKind.UNAVAILABLE, FailureKind.INTERNAL])
def test_a_node_that_failed_a_request_itself_does_not_get_it_again(kind: FailureKind) -> None:
    # [REQUESTS-RETRY.1]
    desk = Desk()
    desk.meet(member(1))
    start = start_remote(desk, 1)
    desk.tell(failed(start.session, kind))
    assert not probes(desk.wait(60 * SECOND))


def test_a_declined_offer_goes_elsewhere_and_the_decliner_may_be_asked_later() -> None:
    # [REQUESTS-RETRY.2]
    desk = Desk()
    desk.meet(member(1))
    start = start_remote(desk, 1)
    effects = desk.tell(declined(start.session, retry_after_us=3 * SECOND))
    assert facts(effects, RequestQueued)
    assert not probes(desk.wait(2 * SECOND))
    assert probes(desk.wait(3 * SECOND)).keys() == {1}


def test_a_node_that_cries_room_and_declines_costs_no_user_a_request() -> None:
    # [REQUESTS-RETRY.8]
    desk = Desk()
    desk.meet(member(1), member(2))
    effects = desk.submit(route=Route.NETWORK)
    offers = 0
    for _ in range(60 * SECOND // ROOM_SPACING_US):
        while effects:
            match effects.pop():
                case SendMessage(peer, Probe() as asked) if peer == node(1):
                    effects += desk.quote(asked, 1, finish_us=1)
                case SendMessage(peer, Probe() as asked):
                    effects += desk.quote(asked, 2, decline=DeclineReason.BUSY)
                case StartRemote(session):
                    offers += 1
                    effects += desk.tell(declined(session))
                case _:
                    pass
        effects += desk.wait(ROOM_SPACING_US)
        effects += desk.tell(RoomHeard(node(1), (MODEL,)))
    assert not desk.get_ends(), "the other node may have room yet"
    assert offers <= DECLINES_TRUSTED + 1


def test_what_the_engine_rejects_is_told_to_the_user_and_not_retried() -> None:
    # [REQUESTS-RETRY.3]
    desk = Desk()
    desk.meet(member(1), member(2))
    start = start_remote(desk, 1)
    end = pick(desk.tell(failed(start.session, FailureKind.REJECTED)), EndRequest)
    assert end.error is not None
    assert (end.error.code, end.error.session) == (RequestErrorCode.REJECTED, start.session)


def test_a_stream_that_breaks_after_a_part_was_delivered_ends_honestly() -> None:
    # [REQUESTS-RETRY.4]
    desk = Desk(served(1))
    desk.meet(member(1))
    start = pick(desk.submit(1), StartLocal)
    end = pick(desk.tell(failed(start.session, FailureKind.BROKEN, is_delivered=True)), EndRequest)
    assert get_error(end) is RequestErrorCode.FAILED


def test_a_failing_own_engine_is_tried_again_when_nobody_else_can() -> None:
    desk = Desk(served(1))
    start = pick(desk.submit(1), StartLocal)
    assert facts(desk.tell(failed(start.session)), RequestQueued)
    assert pick(desk.wait(2 * SECOND), StartLocal).request == request_id(1)


def test_after_its_last_attempt_a_request_fails() -> None:
    # [REQUESTS-RETRY.5]
    desk = Desk(served(1))
    effects = desk.submit(1)
    for _ in range(ATTEMPTS_MAX):
        assert not desk.get_ends()
        start = pick(effects, StartLocal)
        desk.tell(failed(start.session))
        effects = desk.wait(2 * SECOND)
    assert [get_error(end) for end in desk.get_ends()] == [RequestErrorCode.FAILED]


def test_when_everybody_failed_the_user_is_told_at_once() -> None:
    desk = Desk()
    desk.meet(member(1))
    end = pick(desk.tell(failed(start_remote(desk, 1).session)), EndRequest)
    assert get_error(end) is RequestErrorCode.FAILED


def test_a_node_that_fails_is_left_alone_by_all_requests_for_a_while() -> None:
    # [REQUESTS-RETRY.6]
    desk = Desk()
    desk.meet(member(1), member(2))
    desk.tell(failed(start_remote(desk, 1).session))
    desk.pass_time(POOLED_US + 1)
    assert probes(desk.submit(2)).keys() == {2}
    desk.wait(SECOND)
    assert probes(desk.submit(3)).keys() == {1, 2}
