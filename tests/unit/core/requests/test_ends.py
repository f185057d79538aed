"""Every request ends exactly once, whatever its user, its node or late news do.

A desk (`tests/unit/core/desk.py`) plays the engines and the other nodes, event by event.
"""

from tests.unit.core.desk import (
    Desk,
    ended,
    facts,
    failed,
    pick,
    pick_all,
    request_id,
    served,
)
from wwwserve.core.effects import (
    EndRequest,
    RequestErrorCode,
    StartLocal,
    StopSession,
)
from wwwserve.core.events import (
    CancelRequest,
    Depart,
    Departure,
    FirstOutput,
    SetModels,
)
from wwwserve.core.facts import (
    PeerRefused,
)


def get_error(end: EndRequest) -> RequestErrorCode | None:
    return end.error.code if end.error is not None else None


def test_a_cancel_stops_the_work_and_ends_the_request_once() -> None:
    # [REQUESTS-ONCE.1]
    desk = Desk(served(1))
    start = pick(desk.submit(1), StartLocal)
    desk.submit(2)
    effects = desk.tell(CancelRequest(request_id(1)))
    assert pick(effects, StopSession).session == start.session
    assert get_error(pick(effects, EndRequest)) is RequestErrorCode.CANCELLED
    assert pick(effects, StartLocal).request == request_id(2)
    assert desk.tell(CancelRequest(request_id(1))) == []


def test_late_news_of_a_stopped_session_does_not_count() -> None:
    # [REQUESTS-ONCE.2]
    desk = Desk(served(1))
    start = pick(desk.submit(1), StartLocal)
    desk.tell(CancelRequest(request_id(1)))
    assert desk.tell(FirstOutput(start.session)) == []
    assert desk.tell(failed(start.session)) == []
    assert desk.tell(ended(start.session)) == []


def test_an_open_request_cannot_be_submitted_again() -> None:
    # [REQUESTS-ONCE.3]
    desk = Desk(served(2))
    desk.submit(1)
    effects = desk.submit(1)
    assert facts(effects, PeerRefused)
    assert not list(pick_all(effects, EndRequest))


def test_a_leaving_node_takes_no_requests_and_finishes_those_it_has() -> None:
    desk = Desk(served(2))
    start = pick(desk.submit(1), StartLocal)
    desk.tell(Depart(Departure.LEAVE))
    assert get_error(pick(desk.submit(2), EndRequest)) is RequestErrorCode.LEAVING
    assert pick(desk.tell(ended(start.session)), EndRequest).error is None


def test_a_draining_node_still_serves_its_own_users() -> None:
    desk = Desk(served(1))
    desk.tell(Depart(Departure.DRAIN))
    pick(desk.submit(1), StartLocal)


def test_models_can_change_while_requests_run_and_wait() -> None:
    desk = Desk(served(1))
    start = pick(desk.submit(1), StartLocal)
    desk.submit(2)
    desk.tell(SetModels((served(2),)))
    assert len(list(pick_all(desk.log, StartLocal))) == 2
    desk.tell(SetModels(()))
    assert pick(desk.tell(ended(start.session)), EndRequest).error is None
