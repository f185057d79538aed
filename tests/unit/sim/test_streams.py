"""The rules of `sim.streams`, one by one: what each side of a session is told, and when.

Scripted peers in a quiet world ask for effects; the events they get are compared whole.
"""

import pytest

from tests.unit.sim.stage import CROSSING_US, Stage
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    EndRequest,
    RecallSession,
    RequestError,
    RequestErrorCode,
    StartLocal,
    StopSession,
)
from wwwserve.core.events import OfferReceived, RecallAnswered, StreamEnded, StreamFailed
from wwwserve.core.sessions import Role, SessionId
from wwwserve.sim.carriages import Carriage
from wwwserve.sim.people import Silent
from wwwserve.sim.plans import EnginePlan
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.limits import ACCEPT_WAIT_US, STALL_US, STARVED_US
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Accept, Decline, Usage

FIRST_US = 25_158
"""One iteration of the plain engine: a token's time, and a little for 40 tokens of prompt."""
MINE, THEIRS = SessionId(Role.ORIGIN, 1), SessionId(Role.EXECUTOR, 1)
WHOLE = ["FirstOutput", *["StreamProgressed"] * 3, "StreamEnded"]
TWO_SECONDS_TOKENS = 81


def start_local(stage: Stage) -> UserRequest:
    request = stage.create_request()
    host = stage.hosts[0]
    host.carry_out(host, StartLocal(MINE, request.request, stage.get_model(host)))
    return request


def offer(stage: Stage, **traits: int | bool) -> UserRequest:
    """The first host offers a request to the second, which has it in hand."""
    a, b = stage.hosts[:2]
    stage.link(a, b)
    request = stage.create_request(**traits)  # type: ignore[arg-type]
    a.carry_out(a, stage.create_offer(request, b, 1))
    stage.run(CROSSING_US)
    assert [type(event) for event in stage.hear(b)] == [OfferReceived]
    return request


def accept(stage: Stage) -> None:
    b = stage.hosts[1]
    b.carry_out(b, AcceptOffer(THEIRS, Accept(1, "pretend/base"), stage.get_model(b)))


def test_a_local_run_is_told_from_its_first_output_to_its_end() -> None:
    stage = Stage()
    request = start_local(stage)
    assert stage.hear(stage.hosts[0]) == [], "never during the effect"
    stage.run(2 * SECOND)
    heard = stage.hear(stage.hosts[0])
    assert [type(event).__name__ for event in heard] == WHOLE
    assert isinstance(heard[-1], StreamEnded)
    assert heard[-1].usage == Usage(40, 41)
    assert request.first_output_us == request.arrival_us + FIRST_US


def test_an_offer_accepted_is_told_to_both_sides() -> None:
    stage = Stage()
    request = offer(stage)
    accept(stage)
    stage.run(2 * SECOND)
    assert stage.name(stage.hosts[1]) == WHOLE
    assert stage.name(stage.hosts[0]) == ["StreamOpened", *WHOLE]
    assert stage.cluster.streams.get_answerer(request.request) == 1


def test_a_decline_carries_its_reason() -> None:
    stage = Stage()
    offer(stage)
    b = stage.hosts[1]
    b.carry_out(b, DeclineOffer(THEIRS, Decline(DeclineReason.BUSY, 7, "full")))
    stage.run()
    (failed,) = stage.hear(stage.hosts[0])
    assert isinstance(failed, StreamFailed)
    assert (failed.kind, failed.decline) == (FailureKind.DECLINED, DeclineReason.BUSY)
    assert (failed.retry_after_us, failed.detail) == (7, "full")


def test_no_link_is_a_lost_link() -> None:
    stage = Stage()
    a, b = stage.hosts
    a.carry_out(a, stage.create_offer(stage.create_request(), b, 1))
    stage.run()
    (failed,) = stage.hear(a)
    assert isinstance(failed, StreamFailed)
    assert failed.kind is FailureKind.LINK_LOST


def test_no_answer_to_an_offer_times_out_and_resets_it() -> None:
    stage = Stage()
    offer(stage)
    stage.run(ACCEPT_WAIT_US)
    (failed,) = stage.hear(stage.hosts[0])
    assert isinstance(failed, StreamFailed)
    assert failed.kind is FailureKind.TIMEOUT
    stage.run(CROSSING_US)
    assert stage.name(stage.hosts[1]) == ["OfferCancelled"]
    accept(stage)
    stage.run(5 * SECOND)
    assert stage.name(stage.hosts[1]) == [], "an accept that comes too late does nothing"
    assert stage.hosts[1].engine.running == 0


def test_a_stopped_session_stops_the_other_nodes_engine() -> None:
    stage = Stage()
    offer(stage, completion_tokens=TWO_SECONDS_TOKENS)
    accept(stage)
    stage.run(SECOND)
    a, b = stage.hosts
    assert b.engine.running == 1
    stage.hear(a), stage.hear(b)
    a.carry_out(a, StopSession(MINE))
    stage.run(CROSSING_US)
    assert b.engine.running == 0
    assert stage.name(b) == ["OfferCancelled"]
    stage.run(5 * SECOND)
    assert stage.name(a) == [], "nothing more is told of a stopped session"


def test_a_run_without_output_is_recalled_and_its_engine_stopped() -> None:
    # Rule 19.
    stage = Stage(2, EnginePlan(prefill_tokens_per_s=10))
    request = offer(stage)
    accept(stage)
    stage.run(SECOND)
    a, b = stage.hosts
    assert b.engine.running == 1
    assert stage.name(a) == ["StreamOpened"]
    a.carry_out(a, RecallSession(MINE))
    assert stage.hear(a) == [], "never during the effect"
    stage.run(0)
    assert stage.hear(a) == [RecallAnswered(MINE, is_stopped=True)]
    stage.run(CROSSING_US)
    assert b.engine.running == 0
    assert stage.name(b) == ["OfferCancelled"]
    stage.run(60 * SECOND)
    assert stage.name(a) == [], "nothing more is told of a stopped session"
    assert request.first_output_us == 0
    a.carry_out(a, RecallSession(MINE))
    stage.run(SECOND)
    assert stage.name(a) == [], "nor is it answered for a second time"


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_run_with_output_is_not_recalled(*, is_streamed: bool) -> None:
    # Rule 19.
    stage = Stage()
    offer(stage, completion_tokens=TWO_SECONDS_TOKENS, is_streamed=is_streamed)
    accept(stage)
    stage.run(SECOND)
    a = stage.hosts[0]
    stage.hear(a)
    a.carry_out(a, RecallSession(MINE))
    stage.run(0)
    assert stage.hear(a) == [RecallAnswered(MINE, is_stopped=False)]
    stage.run(5 * SECOND)
    assert stage.name(a)[-1] == "StreamEnded"


def test_an_executor_that_stops_breaks_the_stream() -> None:
    stage = Stage()
    offer(stage, completion_tokens=TWO_SECONDS_TOKENS)
    accept(stage)
    stage.run(SECOND)
    a, b = stage.hosts
    stage.hear(a)
    b.carry_out(b, StopSession(THEIRS))
    stage.run(CROSSING_US)
    failed = stage.hear(a)[-1]
    assert isinstance(failed, StreamFailed)
    assert (failed.kind, failed.is_delivered) == (FailureKind.BROKEN, True)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_killed_executor_is_a_lost_link_before_the_link_is_closed(*, is_streamed: bool) -> None:
    stage = Stage()
    offer(stage, completion_tokens=TWO_SECONDS_TOKENS, is_streamed=is_streamed)
    accept(stage)
    stage.run(SECOND)
    a, b = stage.hosts
    stage.hear(a)
    stage.cluster.faults.end(b)
    stage.run(CROSSING_US)
    failed, closed = stage.hear(a)[-2:]
    assert isinstance(failed, StreamFailed)
    assert (failed.kind, failed.is_delivered) == (FailureKind.LINK_LOST, is_streamed)
    assert type(closed).__name__ == "LinkClosed"
    assert b.engine.running == 0


def test_a_lost_link_cancels_the_work_at_the_executor() -> None:
    stage = Stage()
    offer(stage, completion_tokens=TWO_SECONDS_TOKENS)
    accept(stage)
    stage.run(SECOND)
    b = stage.hosts[1]
    stage.hear(b)
    stage.cluster.network.break_links(b)
    stage.run(1)
    assert stage.name(b) == ["OfferCancelled", "LinkClosed"]
    assert b.engine.running == 0


def test_an_engine_that_dies_is_told_to_both_with_its_kind() -> None:
    stage = Stage()
    offer(stage, completion_tokens=TWO_SECONDS_TOKENS)
    accept(stage)
    stage.run(SECOND)
    a, b = stage.hosts
    b.engine.go_down(for_us=SECOND)
    stage.run(CROSSING_US)
    for host in (a, b):
        failed = stage.hear(host)[-1]
        assert isinstance(failed, StreamFailed)
        assert failed.kind is FailureKind.BROKEN


def test_a_wrong_request_is_rejected_with_the_engines_status() -> None:
    stage = Stage()
    request = stage.create_request()
    request.is_wrong = True
    host = stage.hosts[0]
    host.carry_out(host, StartLocal(MINE, request.request, stage.get_model(host)))
    stage.run()
    failed = stage.hear(host)[-1]
    assert isinstance(failed, StreamFailed)
    assert (failed.kind, failed.status) == (FailureKind.REJECTED, 400)


def test_silence_fails_a_session() -> None:
    stage = Stage()
    stage.hosts[1].person = Silent()
    offer(stage)
    accept(stage)
    stage.run(STALL_US + SECOND)
    failed = stage.hear(stage.hosts[0])[-1]
    assert isinstance(failed, StreamFailed)
    assert (failed.kind, failed.is_delivered) == (FailureKind.TIMEOUT, False)


def test_an_answer_that_lost_its_place_is_waited_for_while_its_engine_goes_on() -> None:
    stage = Stage(2, EnginePlan(profile="RTX-3090:Qwen3-8B"))
    offer(stage, completion_tokens=25_000)
    accept(stage)
    b = stage.hosts[1]
    own = stage.create_request(completion_tokens=25_000)
    b.carry_out(b, StartLocal(MINE, own.request, stage.get_model(b)))
    most_waiting_us = silent_us = 0
    for _ in range(2_000):
        stage.run(SECOND)
        silent_us = silent_us + SECOND if b.engine.read_state().waiting else 0
        most_waiting_us = max(most_waiting_us, silent_us)
    assert STALL_US < most_waiting_us < STARVED_US, "the cache holds only one of them to its end"
    ends = [type(event) for host in stage.hosts for event in stage.hear(host)]
    assert ends.count(StreamEnded) == 3
    assert StreamFailed not in ends


def test_an_engine_that_hangs_in_an_answer_is_not_waited_for_longer() -> None:
    stage = Stage()
    offer(stage, completion_tokens=TWO_SECONDS_TOKENS)
    accept(stage)
    stage.run(SECOND)
    stage.hosts[1].engine.is_hung = True
    stage.run(STALL_US + SECOND)
    for host in stage.hosts:
        failed = stage.hear(host)[-1]
        assert isinstance(failed, StreamFailed)
        assert failed.kind is FailureKind.TIMEOUT


def test_an_executor_that_only_says_it_lives_is_not_waited_for_for_ever() -> None:
    stage = Stage()
    stage.hosts[1].person = Silent()
    offer(stage)
    accept(stage)
    link = stage.cluster.network.find_link(stage.hosts[0], stage.hosts[1].node_id)
    assert link is not None
    (carriage,) = link.cargo
    assert isinstance(carriage, Carriage)
    assert carriage.executor is not None
    # An honest one would give up its engine.
    carriage.executor.is_open = False
    for _ in range(STARVED_US // (60 * SECOND)):
        assert not any(isinstance(event, StreamFailed) for event in stage.hear(stage.hosts[0]))
        carriage.say_alive()
        stage.run(60 * SECOND)
    stage.run(SECOND)
    failed = stage.hear(stage.hosts[0])[-1]
    assert isinstance(failed, StreamFailed)
    assert failed.kind is FailureKind.TIMEOUT


def test_an_ended_request_stops_what_still_runs_of_it() -> None:
    stage = Stage()
    request = start_local(stage)
    host = stage.hosts[0]
    host.carry_out(
        host, EndRequest(request.request, RequestError(RequestErrorCode.CANCELLED, "gone"))
    )
    assert host.engine.running == 0
    assert request.outcome is Outcome.CANCELLED
    stage.run(5 * SECOND)
    assert stage.name(host) == []


def test_an_engine_queues_beyond_its_slots() -> None:
    stage = Stage(1, EnginePlan(slots=1))
    host = stage.hosts[0]
    for number in (1, 2):
        request = stage.create_request()
        session = SessionId(Role.ORIGIN, number)
        host.carry_out(host, StartLocal(session, request.request, stage.get_model(host)))
    reading = host.engine.read_state()
    assert (reading.running, reading.waiting, reading.slots) == (1, 1, 1)
    stage.run(3 * SECOND)
    assert [type(event) for event in stage.hear(host)].count(StreamEnded) == 2
