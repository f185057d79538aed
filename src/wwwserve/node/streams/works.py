"""Other nodes' requests executed here: from an offer on a stream to its last frame.

One task reads the offer, hears the peer's answer, and pumps the engine's output onto the stream; a
reset by the origin cancels it, and with it the engine's work, at once. When an engine fails, the
peer hears of it first: it may accept the offer once more for another engine, and then the origin
hears nothing. After the last frame nothing is waited for but, where the work is paid, a last unit:
an origin that never ends its side uses up its own streams, which are bounded.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from wwwserve.core.effects import AcceptOffer, DeclineOffer, TakeExtension
from wwwserve.core.events import (
    Event,
    ExtensionReceived,
    FirstOutput,
    OfferCancelled,
    OfferReceived,
    StreamFailed,
    StreamProgressed,
)
from wwwserve.core.events import StreamEnded as WorkEnded
from wwwserve.core.payments import count_completion
from wwwserve.core.sessions import Role, SessionId
from wwwserve.node.bodies import BodyStore, BodyStoreFull
from wwwserve.node.open_table import OpenTable
from wwwserve.node.streams.delivery import Delivery, describe_failure
from wwwserve.node.streams.offers import ArrivingOffer, OfferRoom
from wwwserve.node.streams.paying import OPENED_AT_ONCE_BYTES_MAX, Earnings, Till, find_no_till
from wwwserve.node.streams.transcript import Transcript, open_work_transcript, prepare_body
from wwwserve.ports.clock import Clock
from wwwserve.ports.engine import Engine, EngineFailure, EngineRequest, EngineRun
from wwwserve.ports.transport import ResetCode, Stream, StreamEnded
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import ACCEPT_WAIT_US, PROGRESS_PERIOD_US, WORKS_OPEN_MAX
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind, Refusal
from wwwserve.wire import Ended, Extension, Offer, Unit, Usage, decode_frame, encode_frame
from wwwserve.wire.paying import OpenedHold

OFFER_WAIT_US = 10 * SECOND
"""From a stream's opening to the whole body of its offer; then it is reset."""


@dataclass(slots=True)
class _Work:
    """One offer and what became of it."""

    session: SessionId
    peer: NodeId
    stream: Stream
    delivery: Delivery
    arriving: ArrivingOffer = field(default_factory=ArrivingOffer)
    task: asyncio.Task[None] | None = None
    decision: AcceptOffer | DeclineOffer | None = None
    is_offered: bool = False
    """The offer is whole, and the peer has heard of it."""
    answered_tokens: int = 0
    """Of a whole answer, as its origin was told."""
    is_over: bool = False
    """Nothing is waited for: what the origin does now is no longer a cancel."""
    is_cancelled: bool = False
    """By the origin (reset) or by the peer (`StopSession`), not by the node's end."""
    failure: FailureKind | None = None
    """As what the peer stopped it, for its origin to hear."""
    reset_code: ResetCode = ResetCode.CANCELLED
    """With which its stream is cut off when it is cancelled."""

    @property
    def offer(self) -> Offer:
        """What was offered."""
        assert self.arriving.offer is not None, "only a whole offer is worked on"
        return self.arriving.offer


@dataclass(slots=True)
class Works:
    """Runs what other nodes offer and the peer accepts."""

    engines: Mapping[str, Engine]
    bodies: BodyStore
    clock: Clock
    tasks: asyncio.TaskGroup
    deliver: Callable[[Event], None]
    on_engine_failed: Callable[[str], None]
    """An engine failed: its state wants reading."""
    report_fault: Callable[[str, BaseException], None]
    """A task ended by a fault of this node: somebody must read about it."""
    find_till: Callable[[], Till | None] = find_no_till
    """Where requests are paid."""
    _works: OpenTable[SessionId, _Work] = field(default_factory=OpenTable)
    _room: OfferRoom = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        """Offers share the room of the body store."""
        self._room = OfferRoom(self.bodies)

    def on_stream(self, peer: NodeId, stream: Stream) -> None:
        """A peer opened a stream: an offer follows."""
        if len(self._works) >= WORKS_OPEN_MAX or not self._room.enter(peer):
            stream.reset(ResetCode.REFUSED)
            return
        self._number += 1
        work = _Work(SessionId(Role.EXECUTOR, self._number), peer, stream, Delivery(stream))
        self._works.add(work.session, work)
        try:
            # Most offers come whole, and are decided before a task is even made.
            while not work.arriving.is_whole and (data := stream.try_receive()) is not None:
                self._take_frame(work, data)
        except (Refusal, BodyStoreFull) as error:
            self._forget(work)
            is_broken = isinstance(error, Refusal)
            stream.reset(ResetCode.MALFORMED if is_broken else ResetCode.REFUSED)
        except StreamEnded:
            self._forget(work)
        else:
            work.task = self.tasks.create_task(self._serve(work))

    # -- what the peer decides -------------------------------------------------------------------

    def accept(self, effect: AcceptOffer) -> None:
        """The peer takes the offer."""
        work = self._works.get(effect.session)
        if work is None:
            return
        work.decision = effect
        if effect.payment is not None and work.delivery.earnings is None:
            work.delivery.earnings = Earnings(work.session, effect.payment, self.deliver)

    def decline(self, effect: DeclineOffer) -> None:
        """The peer does not take the offer."""
        if (work := self._works.get(effect.session)) is not None:
            work.decision = effect

    def stop(self, session: SessionId, failure: FailureKind | None = None) -> None:
        """The peer wants a running work stopped; its origin hears as what it failed, if told."""
        if (work := self._works.get(session)) is not None:
            work.failure = failure
            self._cancel(work)

    def release(self, session: SessionId) -> None:
        """Output of a work may leave for its origin."""
        if (work := self._works.get(session)) is not None and work.delivery.earnings is not None:
            work.delivery.release()

    def extend(self, effect: TakeExtension) -> None:
        """Units of a work are those of another hold from now on."""
        work = self._works.get(effect.session)
        if work is None or work.delivery.earnings is None:
            return
        try:
            work.delivery.earnings.extend(effect.payment)
        except Refusal:
            self._cancel(work, ResetCode.MALFORMED)

    def stop_all(self) -> None:
        """The node ends: stop every work."""
        for work in self._works:
            self._cancel(work)

    @property
    def count(self) -> int:
        """How many are open now."""
        return len(self._works)

    async def wait_none(self) -> None:
        """Wait until no work is open."""
        await self._works.wait_empty()

    def _cancel(self, work: _Work, code: ResetCode = ResetCode.CANCELLED) -> None:
        if not work.is_cancelled and work.task is not None:
            work.is_cancelled = True
            work.reset_code = code
            work.task.cancel()

    # -- one work --------------------------------------------------------------------------------

    async def _serve(self, work: _Work) -> None:
        try:
            await self._serve_offer(work)
        except asyncio.CancelledError:
            if not work.is_cancelled:
                raise
            assert work.task is not None
            work.task.uncancel()
            self.deliver(OfferCancelled(work.session))
            self._cut_off(work)
        except StreamEnded:
            self.deliver(OfferCancelled(work.session))
        except Refusal:
            self.deliver(OfferCancelled(work.session))
            work.stream.reset(ResetCode.MALFORMED)
        except (TimeoutError, BodyStoreFull):
            self.deliver(OfferCancelled(work.session))
            work.stream.reset(ResetCode.REFUSED)
        except Exception as error:  # noqa: BLE001 - the task ends here, and says so
            self.report_fault(f"serving {work.session}", error)
            self._report_failure(work, EngineFailure(FailureKind.INTERNAL, repr(error)), 0)
            work.stream.reset(ResetCode.INTERNAL)
        finally:
            self._forget(work)

    async def _serve_offer(self, work: _Work) -> None:
        if not work.is_offered:
            async with asyncio.timeout(OFFER_WAIT_US / SECOND):
                await self._receive_offer(work)
        self._heed_origin(work)
        match work.decision:
            case AcceptOffer() as accepted:
                await self._execute(work, accepted)
            case DeclineOffer() as declined:
                await work.delivery.end(declined.decline)
            case None:
                work.stream.reset(ResetCode.REFUSED)
        work.is_over = True

    async def _receive_offer(self, work: _Work) -> None:
        while not work.arriving.is_whole:
            data = await work.stream.receive()
            if data is None:
                raise Refusal("stream-order", "the stream ended before the offer was whole")
            self._take_frame(work, data)
        if not work.is_offered:
            self._offer(work, await asyncio.to_thread(self._open_hold, work))

    def _take_frame(self, work: _Work, data: bytes) -> None:
        """Take a frame of the offer or its body; once whole, the peer decides about it.

        Raises `Refusal`, or `BodyStoreFull`. A long payment is left for a worker to open.
        """
        arriving = work.arriving
        is_first = arriving.offer is None
        arriving.take(data)
        if is_first:
            self._room.reserve(work.session, work.peer, work.offer.summary.body_bytes)
        if not arriving.is_whole:
            return
        self.bodies.put(work.session, bytes(arriving.body))
        arriving.body.clear()
        if len(work.offer.payment) <= OPENED_AT_ONCE_BYTES_MAX:
            self._offer(work, self._open_hold(work))

    def _open_hold(self, work: _Work) -> OpenedHold | None:
        """What an offer pays with, if anything. Raises `Refusal`."""
        return self._open_payment(work, work.offer.payment) if work.offer.payment else None

    def _open_payment(self, work: _Work, payment: bytes) -> OpenedHold | None:
        till = self.find_till()
        if till is None:
            return None
        digest = work.arriving.body_digest
        return till.open_hold(payment, payer=work.peer, model=work.offer.model, body_digest=digest)

    def _offer(self, work: _Work, hold: OpenedHold | None) -> None:
        work.is_offered = True
        self.deliver(OfferReceived(work.session, work.peer, work.offer, hold))

    def _forget(self, work: _Work) -> None:
        """A work is over: free its place, and tell what was paid for it."""
        if work.delivery.earnings is not None:
            work.delivery.earnings.close()
        self._room.free(work.session)
        self._room.leave(work.peer)
        self._works.remove(work.session)

    def _cut_off(self, work: _Work) -> None:
        """End the stream of a work that was stopped, with a word on why if there is one."""
        if work.failure is not None:
            failed = describe_failure(EngineFailure(work.failure, ""))
            with suppress(StreamEnded):
                if work.stream.try_send(encode_frame(failed)):
                    work.stream.finish()
                    return
        work.stream.reset(work.reset_code)

    # -- its execution ---------------------------------------------------------------------------

    async def _execute(self, work: _Work, accepted: AcceptOffer) -> None:
        """Run it, on one engine after another as long as the peer names one."""
        delivery = work.delivery
        await delivery.accept(accepted.accept, ACCEPT_WAIT_US)
        failed = await self._run(work, accepted)
        while failed is not None and isinstance(work.decision, AcceptOffer):
            failed = await self._run(work, work.decision)
        if failed is not None:
            await delivery.end(describe_failure(failed))
        elif delivery.earnings is not None:
            # The engine is free and the peer was told: only this task still waits.
            self._room.free(work.session)
            await delivery.earnings.wait_settled(work.answered_tokens)

    async def _run(self, work: _Work, accepted: AcceptOffer) -> EngineFailure | None:
        """Run it on one engine; gives the engine's failure, of which the peer has then decided."""
        model, endpoint = accepted.model, work.offer.summary.endpoint
        transcript = open_work_transcript(endpoint, accepted.accept.model)
        try:
            body = prepare_body(self.bodies.get(work.session), model.engine_model, endpoint)
            run = self.engines[model.engine].start(EngineRequest(endpoint, body))
            try:
                with work.delivery.telling(lambda: transcript.completion_tokens):
                    await self._pump(work, run, transcript)
            finally:
                await run.stop()
        except EngineFailure as failed:
            if failed.kind not in (FailureKind.REJECTED, FailureKind.UNPAID):
                self.on_engine_failed(model.engine)
            work.delivery.drop()
            work.decision = None
            self._report_failure(work, failed, transcript.completion_tokens)
            return failed
        return None

    async def _pump(self, work: _Work, run: EngineRun, transcript: Transcript) -> None:
        """Carry the engine's output to the origin, counting as it goes."""
        session, delivery = work.session, work.delivery
        has_output = False
        progress_at = self.clock.now() + PROGRESS_PERIOD_US
        while (data := await run.read()) is not None:
            before = transcript.completion_tokens
            if output := transcript.feed(data):
                await delivery.give(output, before, transcript.completion_tokens)
            if transcript.has_content and not has_output:
                has_output = True
                self._tell_soon(FirstOutput(session))
            if self.clock.now() >= progress_at:
                progress_at = self.clock.now() + PROGRESS_PERIOD_US
                self.deliver(StreamProgressed(session, transcript.completion_tokens))
                delivery.tell_progress(transcript.completion_tokens)
        await self._end(work, transcript)

    async def _end(self, work: _Work, transcript: Transcript) -> None:
        """The engine has said all: see that it leaves, and say so."""
        delivery, tokens = work.delivery, transcript.completion_tokens
        await delivery.give(transcript.finish(), tokens, tokens)
        await delivery.flush()
        usage = transcript.get_usage(0)
        digest = transcript.digest
        work.answered_tokens = count_completion(usage.completion_tokens, transcript.text_bytes)
        self._tell_soon(WorkEnded(work.session, usage, digest, transcript.text_bytes))
        await delivery.end(Ended(usage, digest, self._seal_final(work, usage, digest)))

    def _seal_final(self, work: _Work, usage: Usage, digest: bytes) -> bytes:
        earnings, till = work.delivery.earnings, self.find_till()
        if earnings is None or till is None:
            return b""
        return till.seal_final(earnings, usage, digest)

    def _tell_soon(self, event: Event) -> None:
        """Tell the peer after what was just sent has left: an origin waits for that."""
        asyncio.get_running_loop().call_soon(self.deliver, event)

    # -- what its origin says meanwhile ----------------------------------------------------------

    def _heed_origin(self, work: _Work) -> None:
        """Take what the origin pays, and notice at once when it cuts the stream off."""
        if work.is_over or work.is_cancelled:
            return
        try:
            while (data := work.stream.try_receive()) is not None:
                self._take_payment(work, data)
        except StreamEnded:
            self._cancel(work)
        except Refusal:
            self._cancel(work, ResetCode.MALFORMED)
        else:
            work.stream.notify(lambda: self._heed_origin(work))

    def _take_payment(self, work: _Work, data: bytes) -> None:
        """A frame came after the offer. Raises `Refusal` for one that pays nothing."""
        earnings = work.delivery.earnings
        if earnings is None:
            raise Refusal("stream-order", "nothing more was asked of the origin")
        match decode_frame(data):
            case Unit() as unit:
                earnings.take(unit)
            case Extension(payment):
                earnings.note_extension()
                if len(payment) > OPENED_AT_ONCE_BYTES_MAX:
                    raise Refusal("extension-size", f"{len(payment)} bytes of payment")
                hold = self._open_payment(work, payment)
                assert hold is not None, "who earns has a till"
                self.deliver(ExtensionReceived(work.session, hold))
            case _:
                raise Refusal("stream-order", "an offer is followed by its payment")

    def _report_failure(self, work: _Work, failed: EngineFailure, tokens: int) -> None:
        self.deliver(
            StreamFailed(
                session=work.session,
                kind=failed.kind,
                status=failed.status,
                detail=failed.detail,
                is_delivered=work.delivery.has_answered,
                completion_tokens=tokens,
            )
        )
