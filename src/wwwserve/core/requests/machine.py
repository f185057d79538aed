"""One door for both roles of a node: each event goes to the request or the work it concerns."""

from typing import assert_never

from wwwserve.core.effects import Report
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    CancelRequest,
    DeadlineReached,
    Depart,
    Departure,
    EngineRead,
    FirstOutput,
    OfferCancelled,
    OfferReceived,
    RecallAnswered,
    SetModels,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamProgressed,
    SubmitRequest,
)
from wwwserve.core.facts import EngineChanged
from wwwserve.core.paying import WorkUnpaid
from wwwserve.core.requests.capacity import Capacity
from wwwserve.core.requests.effects import RequestsEffect
from wwwserve.core.requests.events import (
    PeersLost,
    ProbeFailed,
    ProbeReceived,
    QuoteReceived,
    RequestsEvent,
    RoomHeard,
    SessionEvent,
)
from wwwserve.core.requests.executor import Executor
from wwwserve.core.requests.origin import Origin
from wwwserve.core.requests.questions import AsksPayments, AsksPolicy, AsksRouting, Strangers
from wwwserve.core.requests.state import START, Run, Tally, Work
from wwwserve.core.sessions import ServedModel
from wwwserve.core.snapshot import EngineView, Totals
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment

_ROOM_NEWS = (FirstOutput, StreamEnded, StreamFailed, OfferCancelled, WorkUnpaid, EngineRead)
"""After which an engine may have room for others that it had not."""
_OUTPUT = (FirstOutput, StreamProgressed, StreamEnded)
"""By which an engine shows that it works."""


class Requests:
    """The life of every request that concerns this node, as its origin or its executor."""

    def __init__(
        self,
        own: NodeId,
        models: tuple[ServedModel, ...],
        *,
        policy: AsksPolicy,
        routing: AsksRouting,
        payments: AsksPayments,
        entropy: Entropy,
    ) -> None:
        self._capacity = Capacity(models)
        self._tally = Tally()
        self._routing = routing
        self._strangers = strangers = Strangers(policy, routing, payments)
        self._origin = Origin(
            own,
            capacity=self._capacity,
            strangers=strangers,
            entropy=entropy,
            tally=self._tally,
        )
        self._executor = Executor(
            own,
            capacity=self._capacity,
            queue=self._origin.book.queue,
            strangers=strangers,
            tally=self._tally,
        )
        self._now = START

    def handle(self, event: RequestsEvent, now: Moment) -> list[RequestsEffect]:
        """Take in what happened; answer with what should be done."""
        self._now = now
        self._dispatch(event, now)
        self._origin.work(now)
        if isinstance(event, _ROOM_NEWS):
            # After the own queue: what it left is for others.
            self._executor.invite(now)
        return self._executor.take_effects() + self._origin.book.take_effects()

    def set_payments(self, payments: AsksPayments) -> None:
        """From now on these are asked."""
        self._strangers.payments = payments

    def next_deadline(self) -> Moment:
        """When this machine wants to be called again."""
        return self._origin.get_next_deadline(self._now)

    def is_asking(self, peer: NodeId) -> bool:
        """Whether a peer has yet to answer a probe, so that its loss matters."""
        return self._origin.is_asking(peer)

    # -- for a snapshot --------------------------------------------------------------------------

    @property
    def open_count(self) -> int:
        """Own users' requests alive."""
        return len(self._origin.book)

    @property
    def queued_count(self) -> int:
        """Of these, waiting for a place."""
        return len(self._origin.book.queue)

    @property
    def works_count(self) -> int:
        """Other nodes' requests running here."""
        return len(self._executor)

    def get_engines(self, now: Moment) -> tuple[EngineView, ...]:
        """The own engines."""
        return self._capacity.get_views(now)

    def get_totals(self) -> Totals:
        """Counts since the start."""
        return self._tally.to_totals()

    # -- dispatch --------------------------------------------------------------------------------

    def _dispatch(self, event: RequestsEvent, now: Moment) -> None:
        match event:
            case DeadlineReached():
                pass
            case (
                StreamOpened() | FirstOutput() | StreamProgressed() | StreamEnded() | StreamFailed()
            ):
                self._on_session(event, now)
            case RecallAnswered(session):
                run = self._origin.book.get_run(session)
                if run is not None:
                    self._origin.redispatch.take_answer(run, event, now)
            case (
                SubmitRequest()
                | CancelRequest()
                | QuoteReceived()
                | ProbeFailed()
                | RoomHeard()
                | PeersLost()
            ):
                self._on_own(event, now)
            case ProbeReceived() | OfferReceived() | OfferCancelled() | WorkUnpaid():
                self._on_peer(event, now)
            case EngineRead() | SetModels() | Depart():
                self._on_setting(event, now)
            case _:
                assert_never(event)

    def _on_own(
        self,
        event: SubmitRequest | CancelRequest | QuoteReceived | ProbeFailed | RoomHeard | PeersLost,
        now: Moment,
    ) -> None:
        match event:
            case SubmitRequest():
                self._origin.submit(event, now)
            case CancelRequest():
                self._origin.cancel(event, now)
            case QuoteReceived():
                self._origin.take_quote(event, now)
            case ProbeFailed():
                self._origin.take_probe_failure(event, now)
            case RoomHeard():
                self._origin.take_room(event, now)
            case PeersLost(peers):
                for peer in peers:
                    self._origin.lose_peer(peer)
            case _:
                assert_never(event)

    def _on_peer(
        self, event: ProbeReceived | OfferReceived | OfferCancelled | WorkUnpaid, now: Moment
    ) -> None:
        match event:
            case ProbeReceived():
                self._executor.answer_probe(event, now)
            case OfferReceived():
                self._executor.answer_offer(event, now)
            case OfferCancelled(session):
                work = self._executor.get_work(session)
                if work is not None:
                    self._executor.fail(work, "cancelled", now)
                    self._origin.note_room()
            case WorkUnpaid(session):
                work = self._executor.get_work(session)
                if work is not None:
                    self._executor.stop_unpaid(work, now)
                    self._origin.note_room()
            case _:
                assert_never(event)

    def _on_setting(self, event: EngineRead | SetModels | Depart, now: Moment) -> None:
        match event:
            case EngineRead(engine, reading):
                self._origin.note_waiting(engine)
                if self._capacity.set_reading(engine, reading, now):
                    fact = EngineChanged(engine, reading.health, reading.detail)
                    self._executor.effects.append(Report(fact))
                self._origin.note_room()
            case SetModels(models):
                self._capacity.set_models(models)
                self._origin.book.note_models()
                self._origin.note_room()
            case Depart(departure):
                if departure is Departure.LEAVE:
                    self._origin.leave()
                # Who leaves takes no work any more, whatever its operator says after that.
                is_resuming = departure is Departure.RESUME and not self._origin.is_leaving
                self._executor.set_draining(is_draining=not is_resuming)
            case _:
                assert_never(event)

    def _on_session(self, event: SessionEvent, now: Moment) -> None:
        """News of a run or a work; of one that was stopped or is over it does not count."""
        run = self._origin.book.get_run(event.session)
        if run is not None:
            self._note_output(run, event, now)
            self._on_run(run, event, now)
        work = self._executor.get_work(event.session)
        if work is not None:
            self._note_output(work, event, now)
            self._on_work(work, event, now)

    def _note_output(self, execution: Run | Work, event: SessionEvent, now: Moment) -> None:
        if execution.served is not None and isinstance(event, _OUTPUT):
            self._capacity.note_output(execution.served, now)

    def _on_run(self, run: Run, event: SessionEvent, now: Moment) -> None:
        match event:
            case StreamOpened():
                self._origin.redispatch.note_opened(run, now)
            case FirstOutput() | StreamProgressed():
                self._note_progress(run, event, now)
                self._origin.redispatch.note_output(run)
            case StreamEnded():
                self._origin.finish_run(run, event, now)
            case StreamFailed():
                self._origin.fail_run(run, event, now)
            case _:
                assert_never(event)

    def _on_work(self, work: Work, event: SessionEvent, now: Moment) -> None:
        match event:
            case StreamOpened() | FirstOutput() | StreamProgressed():
                self._note_progress(work, event, now)
            case StreamEnded():
                self._executor.finish(work, event, now)
                self._origin.note_room()
            case StreamFailed():
                self._executor.take_failure(work, event, now)
                self._origin.note_room()
            case _:
                assert_never(event)

    def _note_progress(
        self,
        execution: Run | Work,
        event: StreamOpened | FirstOutput | StreamProgressed,
        now: Moment,
    ) -> None:
        match event:
            case StreamOpened():
                pass
            case FirstOutput(session):
                if execution.first_output_at is None:
                    execution.first_output_at = now
                    self._routing.note_first_output(session, now)
                    if isinstance(execution, Work):
                        self._capacity.note_read(execution.served)
            case StreamProgressed(session, completion_tokens):
                execution.completion_tokens = completion_tokens
                self._routing.note_progress(session, completion_tokens, now)
            case _:
                assert_never(event)
