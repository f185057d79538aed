"""What is bounded stays bounded, and what was true when asked is still true when it is sent.

A desk (`tests/unit/core/desk.py`) plays the engines and the other nodes, event by event.
"""

import pytest

from tests.unit.core.desk import (
    MODEL,
    Desk,
    declined,
    ended,
    facts,
    member,
    node,
    pick,
    pick_all,
    probes,
    request_id,
    served,
    summary,
)
from wwwserve.core.effects import EndRequest, RequestErrorCode, SendMessage, StartLocal, StartRemote
from wwwserve.core.events import CancelRequest
from wwwserve.core.facts import RequestQueued
from wwwserve.core.placing import ExecutorFailed, LoadView
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests.rules import OFFERS_MAX, REPROBES_MAX, ROUNDS_OPEN_MAX
from wwwserve.core.sessions import Route
from wwwserve.values.limits import QUEUE_WAIT_US, REQUESTS_OPEN_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.wire import Probe


def test_a_request_everybody_declines_is_not_offered_for_ever() -> None:
    desk = Desk()
    desk.meet(member(1))
    effects = desk.submit(1)
    offers = 0
    while not desk.get_ends():
        for peer, asked in probes(effects).items():
            start = pick(desk.quote(asked, peer, finish_us=1), StartRemote)
            offers += 1
            desk.tell(declined(start.session))
        effects = desk.wait(SECOND // 4)
    assert 0 < offers <= OFFERS_MAX
    error = desk.get_ends()[0].error
    assert error is not None
    assert error.code is RequestErrorCode.NO_CAPACITY


def wait_for_probe(desk: Desk) -> Probe:
    for _ in range(20):
        asked = probes(desk.wait(100 * MILLISECOND))
        if asked:
            return asked[1]
    raise AssertionError("nobody was asked")


def test_going_back_to_the_queue_does_not_lengthen_the_wait() -> None:
    desk = Desk()
    desk.meet(member(1))
    (asked,) = probes(desk.submit(1)).values()
    began = desk.now
    start = pick(desk.quote(asked, 1, finish_us=1), StartRemote)
    assert facts(desk.tell(declined(start.session, retry_after_us=10 * SECOND)), RequestQueued)
    desk.wait(10 * SECOND - MILLISECOND)
    asked = wait_for_probe(desk)
    start = pick(desk.quote(asked, 1, finish_us=1), StartRemote)
    desk.tell(declined(start.session, retry_after_us=60 * SECOND))
    while not desk.get_ends():
        desk.wait(SECOND)
    assert desk.now - began <= QUEUE_WAIT_US + SECOND


def test_rounds_open_at_once_are_bounded_and_all_are_closed_again() -> None:
    desk = Desk()
    desk.meet(member(1))
    for number in range(ROUNDS_OPEN_MAX):
        assert probes(desk.submit(number))
    assert not probes(desk.submit(ROUNDS_OPEN_MAX))
    for number in range(ROUNDS_OPEN_MAX + 1):
        desk.tell(CancelRequest(request_id(number)))
    assert desk.requests.open_count == 0
    assert probes(desk.submit(1))


@pytest.mark.slow
def test_requests_open_at_once_are_bounded() -> None:
    desk = Desk(served(REQUESTS_OPEN_MAX + 1), policy=PolicySettings(offload_permille=0))
    for number in range(REQUESTS_OPEN_MAX):
        desk.submit(number)
    assert not desk.get_ends()
    error = pick(desk.submit(REQUESTS_OPEN_MAX), EndRequest).error
    assert error is not None
    assert (error.code, error.retry_after_us > 0) == (RequestErrorCode.QUEUE_FULL, True)


def test_a_node_denied_since_it_was_asked_gets_no_offer() -> None:
    desk = Desk()
    desk.meet(member(1))
    (asked,) = probes(desk.submit(1)).values()
    desk.policy.set(PolicySettings(deny_nodes=(node(1),)), desk.now)
    assert not list(pick_all(desk.quote(asked, 1, finish_us=1), StartRemote))


def test_a_node_that_failed_since_it_was_asked_gets_no_offer() -> None:
    desk = Desk()
    desk.meet(member(1))
    (asked,) = probes(desk.submit(1)).values()
    desk.routing.learn(ExecutorFailed(node(1)), desk.now)
    assert not list(pick_all(desk.quote(asked, 1, finish_us=1), StartRemote))


def test_one_that_finds_a_place_lets_the_next_in_the_queue_go_at_once() -> None:
    desk = Desk()
    desk.meet(member(1, is_linked=False))
    for number in range(8):
        desk.submit(number, Route.NETWORK)
    desk.meet(member(1))
    effects = desk.wait(SECOND // 2)
    asked = [one.message for one in pick_all(effects, SendMessage)]
    assert len(asked) == REPROBES_MAX
    assert isinstance(asked[0], Probe)
    effects = desk.quote(asked[0], 1, finish_us=1)
    assert len(list(pick_all(effects, SendMessage))) == 8 - REPROBES_MAX


def test_the_first_in_the_queue_does_not_count_those_behind_it() -> None:
    desk = Desk(served(1))
    start = pick(desk.submit(0), StartLocal)
    for number in range(1, 20):
        desk.submit(number)
    model = ModelId(MODEL)
    alone = desk.routing.estimate(
        summary(1), model, LoadView(slots=1, used=1, engine="gpu")
    ).finish_us
    desk.meet(member(1))
    asked = probes(desk.wait(SECOND // 2))
    slower_than_its_turn = alone + SECOND
    effects = desk.quote(asked[1], 1, finish_us=slower_than_its_turn)
    assert not list(pick_all(effects, StartRemote))
    assert pick(desk.tell(ended(start.session)), StartLocal).request == request_id(1)
