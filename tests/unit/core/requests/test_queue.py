"""A request without a place waits in fair order, never beside a free slot, and never for ever.

A desk (`tests/unit/core/desk.py`) plays the engines and the other nodes, event by event.
"""

from tests.unit.core.desk import (
    Desk,
    ended,
    facts,
    member,
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
    StopSession,
)
from wwwserve.core.events import (
    EngineRead,
)
from wwwserve.core.facts import (
    MemberStatus,
    RequestQueued,
)
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.limits import (
    QUEUE_LENGTH_MAX,
    QUEUE_WAIT_US,
)
from wwwserve.values.moments import SECOND


def get_error(end: EndRequest) -> RequestErrorCode | None:
    return end.error.code if end.error is not None else None


def test_nothing_waits_while_an_own_engine_has_room() -> None:
    # [REQUESTS-QUEUE.1]
    desk = Desk(served(2), is_read=False)
    assert facts(desk.submit(1), RequestQueued)
    desk.submit(2)
    effects = desk.tell(EngineRead("gpu", reading()))
    assert len(list(pick_all(effects, StartLocal))) == 2


def test_the_queue_is_served_by_deadline_then_class_then_arrival() -> None:
    # [REQUESTS-QUEUE.2]
    desk = Desk(served(1))
    start = pick(desk.submit(1), StartLocal)
    desk.submit(2)
    desk.submit(3, priority=1)
    desk.pass_time(1)
    desk.submit(4)
    desk.submit(5, deadline_us=60 * SECOND)
    order = []
    for _ in range(4):
        start = pick(desk.tell(ended(start.session)), StartLocal)
        order.append(int.from_bytes(start.request, "big"))
    assert order == [5, 2, 4, 3]


def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    # [REQUESTS-QUEUE.3]
    desk = Desk(served(1))
    for number in range(QUEUE_LENGTH_MAX + 1):
        desk.submit(number)
    assert not desk.get_ends()
    end = pick(desk.submit(QUEUE_LENGTH_MAX + 1), EndRequest)
    assert get_error(end) is RequestErrorCode.QUEUE_FULL
    assert end.error is not None
    assert end.error.retry_after_us > 0


def test_waiting_ends_at_its_bound_or_at_the_users_deadline() -> None:
    # [REQUESTS-QUEUE.4]
    desk = Desk(served(1))
    desk.submit(1)
    desk.submit(2)
    desk.submit(3, deadline_us=10 * SECOND)
    end = pick(desk.wait(10 * SECOND), EndRequest)
    assert (end.request, get_error(end)) == (request_id(3), RequestErrorCode.DEADLINE)
    end = pick(desk.wait(QUEUE_WAIT_US), EndRequest)
    assert (end.request, get_error(end)) == (request_id(2), RequestErrorCode.NO_CAPACITY)


def test_a_deadline_ends_a_running_answer_too() -> None:
    desk = Desk(served(1))
    start = pick(desk.submit(1, deadline_us=SECOND), StartLocal)
    effects = desk.wait(SECOND)
    assert pick(effects, StopSession).session == start.session
    assert get_error(pick(effects, EndRequest)) is RequestErrorCode.DEADLINE


def test_a_queued_request_goes_to_a_node_that_becomes_free() -> None:
    # [REQUESTS-QUEUE.5]
    desk = Desk(served(1))
    desk.submit(1)
    desk.submit(2)
    desk.meet(member(1))
    asked = probes(desk.wait(SECOND // 2))
    assert pick(desk.quote(asked[1], 1, finish_us=1), StartRemote).request == request_id(2)


def test_who_may_not_wait_is_refused() -> None:
    desk = Desk(served(1), policy=PolicySettings(queue_permille=0))
    desk.submit(1)
    assert get_error(pick(desk.submit(2), EndRequest)) is RequestErrorCode.NO_CAPACITY


def test_a_model_nobody_has_heard_of_is_unknown_and_a_dead_nodes_is_not() -> None:
    desk = Desk()
    assert get_error(pick(desk.submit(1), EndRequest)) is RequestErrorCode.MODEL_UNKNOWN
    desk.meet(member(1, status=MemberStatus.DEAD))
    assert get_error(pick(desk.submit(2), EndRequest)) is RequestErrorCode.NO_CAPACITY


def test_an_engine_says_itself_that_a_prompt_is_too_long_when_none_is_longer() -> None:
    desk = Desk(served(1, context_tokens=50))
    pick(desk.submit(1), StartLocal)
