"""Own users' requests now open, and the carrying out of what the peer asks for them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wwwserve.core.effects import (
    EndRequest,
    ExtendPayment,
    RequestErrorCode,
    StartLocal,
    StartRemote,
)
from wwwserve.core.events import Event
from wwwserve.core.facts import AttemptStarted, Fact
from wwwserve.core.sessions import ServedModel, SessionId
from wwwserve.node.bodies import BodyStore, BodyStoreFull
from wwwserve.node.open_table import OpenTable
from wwwserve.node.streams.paying import Purse, Till, find_no_till
from wwwserve.node.streams.reply import Attempt, NodeReply
from wwwserve.node.streams.sources import FailedSource, RemoteSource
from wwwserve.node.streams.transcript import Transcript, open_reply_transcript, prepare_body
from wwwserve.ports.clock import Clock
from wwwserve.ports.engine import Engine, EngineFailure, EngineRequest, EngineRun
from wwwserve.ports.peer_handle import RequestFailed, UserRequest
from wwwserve.ports.transport import Link
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import REQUESTS_OPEN_MAX
from wwwserve.values.moments import SECOND
from wwwserve.wire import Endpoint

RETRY_WHEN_FULL_US = 5 * SECOND
"""What a user is told to wait when this node holds as many requests as it may."""


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
    find_till: Callable[[], Till | None] = find_no_till
    """Where requests are paid."""
    _replies: OpenTable[RequestId, NodeReply] = field(default_factory=OpenTable)
    _by_session: dict[SessionId, NodeReply] = field(default_factory=dict)
    _engine_of: dict[SessionId, str] = field(default_factory=dict)

    @property
    def is_paid(self) -> bool:
        """Whether other nodes are paid for answers."""
        return self.find_till() is not None

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

    def on_attempt(self, fact: Fact) -> None:
        """A start is reported before it is asked for: its reply can tell why it runs there."""
        if isinstance(fact, AttemptStarted) and (reply := self._replies.get(fact.request)):
            reply.info.reason = fact.reason
            reply.info.places = sum(one.finish_us is not None for one in fact.alternatives)

    def start_local(self, effect: StartLocal) -> None:
        """Run a request on an engine of this node."""
        reply = self._get(effect.request)
        request, model = reply.request, effect.model
        transcript = self._open_transcript(request, model.offer.model)
        run = self._start_engine(model, self.bodies.get(effect.request), request.endpoint)
        self._engine_of[effect.session] = model.engine
        self._begin(reply, Attempt(effect.session, run, transcript, None))

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
        """Offer a request to another node, unless it ended before its hold was written down."""
        purse = None
        if effect.payment is not None:
            till = self.find_till()
            assert till is not None, "who signs holds has a till"
            purse = Purse(effect.session, effect.payment, till)
        reply = self._replies.get(effect.request)
        if reply is None:
            assert purse is not None, "only what waits for the disk can come too late"
            self.deliver(purse.report(is_last=True))
            return
        source = RemoteSource(
            lambda: self.get_link(effect.peer),
            effect.offer,
            self.bodies.get(effect.request),
            effect.accept_wait_us,
            purse,
        )
        transcript = self._open_transcript(reply.request, effect.offer.model)
        self._begin(reply, Attempt(effect.session, source, transcript, effect.peer, purse))

    def extend(self, effect: ExtendPayment) -> None:
        """Pay an execution with another hold from now on."""
        if (reply := self._by_session.get(effect.session)) is not None:
            reply.extend(effect)

    def _open_transcript(self, request: UserRequest, model: str) -> Transcript:
        return open_reply_transcript(request, model, shows_cost=self.is_paid)

    def _get(self, request_id: RequestId) -> NodeReply:
        reply = self._replies.get(request_id)
        assert reply is not None, "a request has executions only while it is open"
        return reply

    def _begin(self, reply: NodeReply, attempt: Attempt) -> None:
        self._by_session[attempt.session] = reply
        reply.sessions.append(attempt.session)
        reply.start(attempt)

    def stop(self, session: SessionId) -> None:
        """Give up one execution."""
        self._engine_of.pop(session, None)
        if (reply := self._by_session.pop(session, None)) is not None:
            reply.stop(session)

    def recall(self, session: SessionId) -> None:
        """Give up one execution, unless its user holds a part of its answer."""
        if (reply := self._by_session.get(session)) is not None:
            reply.recall(session)

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
