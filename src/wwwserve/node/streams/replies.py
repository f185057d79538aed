"""Own users' requests: the answer each frontend reads, whichever execution it comes from.

The frontend's own task pulls: `read` takes bytes straight from the engine or the link, so a local
token crosses no queue and no second task. When an execution fails before anything was delivered,
the peer starts another and the reader never notices.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from wwwserve.core.effects import (
    EndRequest,
    RequestError,
    RequestErrorCode,
    StartLocal,
    StartRemote,
)
from wwwserve.core.events import (
    CancelRequest,
    Event,
    FirstOutput,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamProgressed,
)
from wwwserve.core.sessions import ServedModel, SessionId
from wwwserve.node.bodies import BodyStore, BodyStoreFull
from wwwserve.node.open_table import OpenTable
from wwwserve.node.streams.sources import FailedSource, RemoteSource, SourceFailed
from wwwserve.node.streams.transcript import Transcript, open_reply_transcript, prepare_body
from wwwserve.ports.clock import Clock
from wwwserve.ports.engine import Engine, EngineFailure, EngineRequest, EngineRun
from wwwserve.ports.peer_handle import ReplyInfo, RequestFailed, UserRequest
from wwwserve.ports.transport import Link
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import PROGRESS_PERIOD_US, REQUESTS_OPEN_MAX
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Endpoint, Usage

READER_WAIT_US = 15 * SECOND
"""A user who takes nothing of what is there for so long (or up to twice that) counts as gone: a
slot, and a share of the link to the executor, would be held up for all others."""
RETRY_WHEN_FULL_US = 5 * SECOND
"""What a user is told to wait when this node holds as many requests as it may."""


class _Interrupted(Exception):
    """What the reader waited for no longer matters: look at the reply's state again."""


@dataclass(slots=True)
class _Attempt:
    """One execution of a request."""

    session: SessionId
    source: EngineRun
    transcript: Transcript
    executor: NodeId | None
    """None: here."""
    has_output: bool = False
    progress_at: int = 0


class NodeReply:
    """The answer to one request; see `ports.peer_handle.Reply`."""

    def __init__(self, owner: "Replies", request_id: RequestId, request: UserRequest) -> None:
        self.info = ReplyInfo(request_id)
        self.request = request
        self._owner = owner
        self._began_us = owner.clock.now()
        self._attempt: _Attempt | None = None
        self._tail: bytes | None = None
        self._failure: RequestFailed | None = None
        self._is_over = False
        self._is_delivered = False
        self._refused_by: dict[SessionId, EngineFailure] = {}
        self.sessions: list[SessionId] = []
        """Every execution there was; the peer bounds them."""
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[object] | None = None
        self._reads = 0
        self._reader_watch: asyncio.TimerHandle | None = None
        self._is_interrupted = False

    # -- the reader's side -----------------------------------------------------------------------

    async def read(self) -> bytes | None:
        """See `Reply`."""
        self._reads += 1
        while not self._is_over:
            attempt = self._attempt
            try:
                piece = await self._wait_piece(attempt)
                if attempt is None:
                    continue
                if piece is None:
                    await self._end(attempt)
                elif data := self._take(attempt, piece):
                    self._is_delivered = True
                    return data
            except _Interrupted:
                continue
            except EngineFailure as failed:
                assert attempt is not None
                self._fail(attempt, failed)
        if self._failure is not None:
            raise self._failure
        tail, self._tail = self._tail, None
        return tail or None

    def cancel(self) -> None:
        """See `Reply`."""
        if not self._is_over:
            self._owner.deliver(CancelRequest(self.info.request))

    async def _wait_piece(self, attempt: _Attempt | None) -> bytes | None:
        """The execution's next bytes; without one, wait until something changes.

        Raises `_Interrupted` when what is waited for no longer matters.
        """
        self._reader = asyncio.current_task()
        try:
            if attempt is None:
                await self._changed.wait()
                return None
            return await attempt.source.read()
        except asyncio.CancelledError:
            # The same bookkeeping as `asyncio.timeout`: only our own cancel is taken back.
            if self._is_interrupted and self._reader and self._reader.uncancel() == 0:
                self._is_interrupted = False
                raise _Interrupted from None
            raise
        finally:
            self._reader = None

    def _take(self, attempt: _Attempt, piece: bytes) -> bytes:
        """Count and rewrite a piece of output, and tell the peer how far it has come."""
        transcript, owner = attempt.transcript, self._owner
        if not piece:
            # Accepted, and nothing said yet. Where output is the first news, it says that too.
            owner.deliver(StreamOpened(attempt.session))
            return b""
        data = transcript.feed(piece)
        if not attempt.has_output and transcript.has_content:
            attempt.has_output = True
            attempt.progress_at = owner.clock.now() + PROGRESS_PERIOD_US
            owner.deliver(FirstOutput(attempt.session))
        elif attempt.has_output and owner.clock.now() >= attempt.progress_at:
            attempt.progress_at = owner.clock.now() + PROGRESS_PERIOD_US
            owner.deliver(StreamProgressed(attempt.session, transcript.completion_tokens))
        return data

    async def _end(self, attempt: _Attempt) -> None:
        """The execution is complete: keep its last bytes, then say so."""
        transcript = attempt.transcript
        tail = transcript.finish()
        if not attempt.has_output:
            self._owner.deliver(FirstOutput(attempt.session))
        self._tail = tail
        self.info.usage = self._settle_usage(attempt)
        self._owner.deliver(StreamEnded(attempt.session, self.info.usage, transcript.digest))
        await attempt.source.stop()

    def _settle_usage(self, attempt: _Attempt) -> Usage:
        """What the execution used, as it says; of another node's word only what it can prove.

        No token is less than a byte. Whoever could claim more at will would use up a user's budget,
        and teach this node that the answers of a model are endless.
        """
        transcript, source = attempt.transcript, attempt.source
        counted = transcript.get_usage(self.request.prompt_tokens)
        if not isinstance(source, RemoteSource):
            return counted
        stated = counted if source.usage is None or transcript.has_usage else source.usage
        tokens = min(stated.completion_tokens, source.received_bytes)
        return msgspec.structs.replace(stated, completion_tokens=tokens)

    def _fail(self, attempt: _Attempt, failed: EngineFailure) -> None:
        """The execution came to nothing; the peer starts another or ends the request."""
        self._attempt = None
        self._changed.clear()
        self._owner.stop_source(attempt.source)
        if attempt.executor is None and failed.kind is not FailureKind.REJECTED:
            self._owner.on_local_failure(attempt.session)
        if failed.kind is FailureKind.REJECTED:
            self._refused_by[attempt.session] = failed
        self._owner.deliver(
            StreamFailed(
                session=attempt.session,
                kind=failed.kind,
                status=failed.status,
                detail=failed.detail,
                is_delivered=self._is_delivered,
                completion_tokens=attempt.transcript.completion_tokens,
                decline=failed.decline if isinstance(failed, SourceFailed) else None,
                retry_after_us=failed.retry_after_us if isinstance(failed, SourceFailed) else 0,
            )
        )

    # -- the peer's side -------------------------------------------------------------------------

    def start(self, attempt: _Attempt) -> None:
        """From now on the answer comes from this execution."""
        self.info.executor = attempt.executor or self._owner.own
        self.info.is_local = attempt.executor is None
        self.info.attempts += 1
        self.info.queue_us = self._owner.clock.now() - self._began_us
        self._attempt = attempt
        self._changed.set()
        if self._reader_watch is None:
            self._watch_reader()

    def stop(self, session: SessionId) -> None:
        """The peer gives this execution up."""
        attempt = self._attempt
        if attempt is not None and attempt.session == session:
            self._attempt = None
            self._changed.clear()
            self._owner.stop_source(attempt.source)
            self._interrupt()

    def end(self, error: RequestError | None) -> None:
        """The request is over, one way or the other."""
        self._is_over = True
        if self._reader_watch is not None:
            self._reader_watch.cancel()
        if error is not None:
            refused = self._refused_by.get(error.session) if error.session else None
            self._failure = RequestFailed(
                error.code,
                error.detail,
                error.retry_after_us,
                refused.status if refused else 0,
                refused.body if refused else b"",
            )
            self._interrupt()

    def _watch_reader(self) -> None:
        """Look now and then whether the user still takes what is there; no token pays for it."""
        seen = self._reads

        def look() -> None:
            if self._reader is None and self._reads == seen:
                self.cancel()
            else:
                self._watch_reader()

        loop = asyncio.get_running_loop()
        self._reader_watch = loop.call_later(READER_WAIT_US / SECOND, look)

    def _interrupt(self) -> None:
        if self._reader is not None and not self._is_interrupted:
            self._is_interrupted = True
            self._reader.cancel()


@dataclass(slots=True)
class Replies:
    """All requests of own users now open, and the carrying out of the peer's effects on them."""

    own: NodeId
    engines: Mapping[str, Engine]
    bodies: BodyStore
    clock: Clock
    tasks: asyncio.TaskGroup
    deliver: Callable[[Event], None]
    get_link: Callable[[NodeId], Link | None]
    on_engine_failed: Callable[[str], None]
    _replies: OpenTable[RequestId, NodeReply] = field(default_factory=OpenTable)
    _by_session: dict[SessionId, NodeReply] = field(default_factory=dict)
    _engine_of: dict[SessionId, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many are open now."""
        return len(self._replies)

    async def wait_none(self) -> None:
        """Wait until no request is open."""
        await self._replies.wait_empty()

    def open(self, request_id: RequestId, request: UserRequest) -> NodeReply:
        """Make room for a request. Raises `RequestFailed` when there is none."""
        if len(self._replies) >= REQUESTS_OPEN_MAX:
            raise _describe_full()
        try:
            self.bodies.put(request_id, request.body)
        except BodyStoreFull as error:
            raise _describe_full() from error
        reply = NodeReply(self, request_id, request)
        self._replies.add(request_id, reply)
        return reply

    def start_local(self, effect: StartLocal) -> None:
        """Run a request on an engine of this node."""
        reply = self._get(effect.request)
        request, model = reply.request, effect.model
        transcript = open_reply_transcript(request, model.offer.model)
        run = self._start_engine(model, self.bodies.get(effect.request), request.endpoint)
        self._engine_of[effect.session] = model.engine
        self._begin(reply, _Attempt(effect.session, run, transcript, None))

    def _start_engine(self, model: ServedModel, body: bytes, endpoint: Endpoint) -> EngineRun:
        """A run of the engine; for a body it cannot be given, one that fails its reader.

        The checks at the gateway do not promise that a body can be read again here: how deep one
        may be nested depends on how deep the calls around its decoder are.
        """
        try:
            prepared = prepare_body(body, model.engine_model, endpoint)
        except EngineFailure as failed:
            return FailedSource(failed)
        return self.engines[model.engine].start(EngineRequest(endpoint, prepared))

    def start_remote(self, effect: StartRemote) -> None:
        """Offer a request to another node."""
        reply = self._get(effect.request)
        source = RemoteSource(
            lambda: self.get_link(effect.peer),
            effect.offer,
            self.bodies.get(effect.request),
            effect.accept_wait_us,
        )
        transcript = open_reply_transcript(reply.request, effect.offer.model)
        self._begin(reply, _Attempt(effect.session, source, transcript, effect.peer))

    def _get(self, request_id: RequestId) -> NodeReply:
        reply = self._replies.get(request_id)
        assert reply is not None, "a request has executions only while it is open"
        return reply

    def _begin(self, reply: NodeReply, attempt: _Attempt) -> None:
        self._by_session[attempt.session] = reply
        reply.sessions.append(attempt.session)
        reply.start(attempt)

    def stop(self, session: SessionId) -> None:
        """Give up one execution."""
        self._engine_of.pop(session, None)
        if (reply := self._by_session.pop(session, None)) is not None:
            reply.stop(session)

    def end(self, effect: EndRequest) -> None:
        """A request is over."""
        reply = self._replies.remove(effect.request)
        self.bodies.remove(effect.request)
        for session in reply.sessions:
            self._by_session.pop(session, None)
            self._engine_of.pop(session, None)
        reply.end(effect.error)

    def on_local_failure(self, session: SessionId) -> None:
        """An own engine failed: its state wants reading now."""
        if (engine := self._engine_of.get(session)) is not None:
            self.on_engine_failed(engine)

    def stop_source(self, source: EngineRun) -> None:
        """Free an execution in the background: its reader must not wait for that."""
        self.tasks.create_task(source.stop())


def _describe_full() -> RequestFailed:
    return RequestFailed(
        RequestErrorCode.QUEUE_FULL,
        "this node holds as many requests as it may",
        RETRY_WHEN_FULL_US,
    )
