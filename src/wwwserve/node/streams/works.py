"""Other nodes' requests executed here: from an offer on a stream to its last frame.

One task reads the offer, hears the peer's answer, and pumps the engine's output onto the stream; a
reset by the origin cancels it, and with it the engine's work, at once. When an engine fails, the
peer hears of it first: it may accept the offer once more for another engine, and then the origin
hears nothing. After the last frame nothing is waited for: an origin that never ends its side uses
up its own streams, which are bounded.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wwwserve.core.effects import AcceptOffer, DeclineOffer
from wwwserve.core.events import (
    Event,
    FirstOutput,
    OfferCancelled,
    OfferReceived,
    StreamFailed,
    StreamProgressed,
)
from wwwserve.core.events import StreamEnded as WorkEnded
from wwwserve.core.sessions import Role, SessionId
from wwwserve.node.bodies import BodyStore, BodyStoreFull
from wwwserve.node.open_table import OpenTable
from wwwserve.node.streams.transcript import Transcript, open_work_transcript, prepare_body
from wwwserve.ports.clock import Clock
from wwwserve.ports.engine import Engine, EngineFailure, EngineRequest, EngineRun
from wwwserve.ports.transport import ResetCode, Stream, StreamEnded
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import (
    ACCEPT_WAIT_US,
    BODY_STORE_BYTES_MAX,
    PROGRESS_PERIOD_US,
    STALL_US,
    WORKS_OPEN_MAX,
)
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind, Refusal
from wwwserve.wire import (
    OUTPUT_BYTES_MAX,
    BodyPart,
    Decline,
    Ended,
    ExecutorFrame,
    Failed,
    Offer,
    Output,
    Progress,
    decode_frame,
    encode_frame,
)

OFFER_WAIT_US = 10 * SECOND
"""From a stream's opening to the whole body of its offer; then it is reset."""
WORKS_PER_PEER_MAX = WORKS_OPEN_MAX // 8
"""Of these, offers of one peer, whole or still arriving; one more is reset."""
OFFERED_BYTES_PER_PEER_MAX = BODY_STORE_BYTES_MAX // 8
"""Bodies of one peer held here at once, so that none can fill the store; one more is reset."""
OFFERED_BYTES_MAX = BODY_STORE_BYTES_MAX // 2
"""Bodies of all peers held or announced at once: the other half of the store is own users'."""
_WORDS_FOR_OTHERS = {
    FailureKind.UNAVAILABLE: "the engine is not available",
    FailureKind.REJECTED: "the engine rejects the request",
    FailureKind.BROKEN: "the engine broke off",
    FailureKind.TIMEOUT: "the engine fell silent",
}
"""What another node is told: an engine's address is its provider's business alone."""


@dataclass(slots=True)
class _Work:
    """One offer and what became of it."""

    session: SessionId
    peer: NodeId
    stream: Stream
    task: asyncio.Task[None] | None = None
    decision: AcceptOffer | DeclineOffer | None = None
    offer: Offer | None = None
    body: bytearray = field(default_factory=bytearray)
    """As far as it has come."""
    is_offered: bool = False
    """The offer is whole, and the peer has heard of it."""
    body_bytes: int = 0
    """Room this work holds in the body store."""
    has_answered: bool = False
    """Output has left for the origin: what failed cannot begin anew unseen."""
    is_over: bool = False
    """Its last frame is sent: what the origin does now is no longer a cancel."""
    is_cancelled: bool = False
    """By the origin (reset) or by the peer (`StopSession`), not by the node's end."""


@dataclass(slots=True)
class _Held:
    """What one peer holds of this node's room."""

    works: int = 0
    body_bytes: int = 0


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
    _works: OpenTable[SessionId, _Work] = field(default_factory=OpenTable)
    _held: dict[NodeId, _Held] = field(default_factory=dict)
    """Of each peer with a work open."""
    _offered_bytes: int = 0
    _number: int = 0

    def on_stream(self, peer: NodeId, stream: Stream) -> None:
        """A peer opened a stream: an offer follows."""
        held = self._held.get(peer, _Held())
        if len(self._works) >= WORKS_OPEN_MAX or held.works >= WORKS_PER_PEER_MAX:
            stream.reset(ResetCode.REFUSED)
            return
        held.works += 1
        self._held[peer] = held
        self._number += 1
        work = _Work(SessionId(Role.EXECUTOR, self._number), peer, stream)
        self._works.add(work.session, work)
        try:
            # Most offers come whole, and are decided before a task is even made.
            while not work.is_offered and (data := stream.try_receive()) is not None:
                self._take_frame(work, data)
        except (Refusal, BodyStoreFull) as error:
            self._forget(work)
            is_broken = isinstance(error, Refusal)
            stream.reset(ResetCode.MALFORMED if is_broken else ResetCode.REFUSED)
        except StreamEnded:
            self._forget(work)
        else:
            work.task = self.tasks.create_task(self._serve(work))

    def accept(self, effect: AcceptOffer) -> None:
        """The peer takes the offer."""
        if (work := self._works.get(effect.session)) is not None:
            work.decision = effect

    def decline(self, effect: DeclineOffer) -> None:
        """The peer does not take the offer."""
        if (work := self._works.get(effect.session)) is not None:
            work.decision = effect

    def stop(self, session: SessionId) -> None:
        """The peer wants a running work stopped."""
        if (work := self._works.get(session)) is not None:
            self._cancel(work)

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

    def _cancel(self, work: _Work) -> None:
        if not work.is_cancelled and work.task is not None:
            work.is_cancelled = True
            work.task.cancel()

    async def _serve(self, work: _Work) -> None:
        try:
            await self._serve_offer(work)
        except asyncio.CancelledError:
            if not work.is_cancelled:
                raise
            assert work.task is not None
            work.task.uncancel()
            self.deliver(OfferCancelled(work.session))
            work.stream.reset(ResetCode.CANCELLED)
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
                await _send_last(work.stream, declined.decline)
            case None:
                work.stream.reset(ResetCode.REFUSED)
        work.is_over = True

    async def _receive_offer(self, work: _Work) -> None:
        while not work.is_offered:
            data = await work.stream.receive()
            if data is None:
                raise Refusal("stream-order", "the stream ended before the offer was whole")
            self._take_frame(work, data)

    def _take_frame(self, work: _Work, data: bytes) -> None:
        """Take a frame of the offer or its body; once whole, the peer decides about it.

        Raises `Refusal`, or `BodyStoreFull`.
        """
        frame = decode_frame(data)
        if work.offer is None:
            if not isinstance(frame, Offer):
                raise Refusal("stream-order", "a request stream begins with an offer")
            work.offer = frame
            self._reserve(work, frame.summary.body_bytes)
            return
        if not isinstance(frame, BodyPart):
            raise Refusal("stream-order", "an offer is followed by its body")
        if not frame.data and not frame.is_last:
            raise Refusal("offer-body", "a part of the body is empty")
        work.body += frame.data
        missing = work.body_bytes - len(work.body)
        if missing < 0 or (frame.is_last and missing):
            raise Refusal("offer-body", "the body is not as long as the offer says")
        if frame.is_last:
            self.bodies.put(work.session, bytes(work.body))
            work.body.clear()
            work.is_offered = True
            self.deliver(OfferReceived(work.session, work.peer, work.offer))

    def _reserve(self, work: _Work, body_bytes: int) -> None:
        held = self._held[work.peer]
        if held.body_bytes + body_bytes > OFFERED_BYTES_PER_PEER_MAX:
            raise BodyStoreFull
        if self._offered_bytes + body_bytes > OFFERED_BYTES_MAX:
            raise BodyStoreFull
        self.bodies.reserve(work.session, body_bytes)
        work.body_bytes = body_bytes
        held.body_bytes += body_bytes
        self._offered_bytes += body_bytes

    def _forget(self, work: _Work) -> None:
        """A work is over: free its body's room and its place."""
        self.bodies.remove(work.session)
        self._works.remove(work.session)
        self._offered_bytes -= work.body_bytes
        held = self._held[work.peer]
        held.body_bytes -= work.body_bytes
        held.works -= 1
        if not held.works:
            del self._held[work.peer]

    async def _execute(self, work: _Work, accepted: AcceptOffer) -> None:
        """Run it, on one engine after another as long as the peer names one."""
        await _send(work.stream, accepted.accept, wait_us=ACCEPT_WAIT_US)
        failed = await self._run(work, accepted)
        while failed is not None and isinstance(work.decision, AcceptOffer):
            failed = await self._run(work, work.decision)
        if failed is not None:
            await _send_last(work.stream, _failed_frame(failed))

    async def _run(self, work: _Work, accepted: AcceptOffer) -> EngineFailure | None:
        """Run it on one engine; gives the engine's failure, of which the peer has then decided."""
        assert work.offer is not None
        model, endpoint = accepted.model, work.offer.summary.endpoint
        transcript = open_work_transcript(endpoint, accepted.accept.model)
        try:
            body = prepare_body(self.bodies.get(work.session), model.engine_model, endpoint)
            run = self.engines[model.engine].start(EngineRequest(endpoint, body))
            try:
                await self._pump(work, run, transcript)
            finally:
                await run.stop()
        except EngineFailure as failed:
            if failed.kind is not FailureKind.REJECTED:
                self.on_engine_failed(model.engine)
            work.decision = None
            self._report_failure(work, failed, transcript.completion_tokens)
            return failed
        return None

    async def _pump(self, work: _Work, run: EngineRun, transcript: Transcript) -> None:
        """Carry the engine's output to the origin, counting as it goes."""
        session, stream = work.session, work.stream
        has_output = False
        progress_at = self.clock.now() + PROGRESS_PERIOD_US
        while (data := await run.read()) is not None:
            if output := transcript.feed(data):
                work.has_answered = True
                await _send_output(stream, output)
            if transcript.has_content and not has_output:
                has_output = True
                self._tell_soon(FirstOutput(session))
            if self.clock.now() >= progress_at:
                progress_at = self.clock.now() + PROGRESS_PERIOD_US
                self.deliver(StreamProgressed(session, transcript.completion_tokens))
                stream.try_send(encode_frame(Progress(transcript.completion_tokens)))
        work.has_answered = True
        await _send_output(stream, transcript.finish())
        usage = transcript.get_usage(0)
        digest = transcript.digest
        self._tell_soon(WorkEnded(session, usage, digest))
        await _send_last(stream, Ended(usage, digest))

    def _tell_soon(self, event: Event) -> None:
        """Tell the peer after what was just sent has left: an origin waits for that."""
        asyncio.get_running_loop().call_soon(self.deliver, event)

    def _heed_origin(self, work: _Work) -> None:
        """Notice at once when the origin cuts the stream, or says on it what it may not."""
        if work.is_over:
            return
        try:
            is_silent = work.stream.try_receive() is None
        except StreamEnded:
            is_silent = False
        if is_silent:
            work.stream.notify(lambda: self._heed_origin(work))
        else:
            self._cancel(work)

    def _report_failure(self, work: _Work, failed: EngineFailure, tokens: int) -> None:
        self.deliver(
            StreamFailed(
                session=work.session,
                kind=failed.kind,
                status=failed.status,
                detail=failed.detail,
                is_delivered=work.has_answered,
                completion_tokens=tokens,
            )
        )


async def _send(stream: Stream, frame: ExecutorFrame, *, wait_us: int = STALL_US) -> None:
    """Send a frame; `TimeoutError` when the origin makes no room for it in time.

    Without a bound, whoever takes nothing would hold a slot of the engine for ever.
    """
    data = encode_frame(frame)
    if not stream.try_send(data):
        async with asyncio.timeout(wait_us / SECOND):
            await stream.send(data)


async def _send_output(stream: Stream, data: bytes) -> None:
    for start in range(0, len(data), OUTPUT_BYTES_MAX):
        await _send(stream, Output(data[start : start + OUTPUT_BYTES_MAX]))


async def _send_last(stream: Stream, frame: Decline | Ended | Failed) -> None:
    await _send(stream, frame)
    stream.finish()


def _failed_frame(failed: EngineFailure) -> Failed:
    is_rejection = failed.kind is FailureKind.REJECTED
    return Failed(
        kind=failed.kind,
        status=failed.status,
        body=failed.body if is_rejection else b"",
        detail=_WORDS_FOR_OTHERS.get(failed.kind, ""),
    )
