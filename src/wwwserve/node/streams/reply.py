"""The answer to one own user's request, whichever executions it comes from.

The frontend's own task pulls: `read` takes bytes straight from the engine or the link, so a local
token crosses no queue and no second task. When an execution fails before anything was delivered,
the peer starts another and the reader never notices. Another node's execution is paid for as its
output is read, and only for what was read.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from wwwserve.core.effects import ExtendPayment, RequestError
from wwwserve.core.events import (
    CancelRequest,
    Event,
    FirstOutput,
    HoldRunsOut,
    RecallAnswered,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamProgressed,
)
from wwwserve.core.payments import count_completion
from wwwserve.core.sessions import SessionId
from wwwserve.node.streams.paying import Purse
from wwwserve.node.streams.sources import RemoteSource, SourceFailed
from wwwserve.node.streams.transcript import Transcript
from wwwserve.ports.clock import Clock
from wwwserve.ports.engine import EngineFailure, EngineRun
from wwwserve.ports.peer_handle import ReplyInfo, RequestFailed, UserRequest
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import PROGRESS_PERIOD_US
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Usage

READER_WAIT_US = 15 * SECOND
"""A user who takes nothing of what is there for so long (or up to twice that) counts as gone: a
slot, and a share of the link to the executor, would be held up for all others."""


class _Interrupted(Exception):
    """What the reader waited for no longer matters: look at the reply's state again."""


@dataclass(slots=True)
class Attempt:
    """One execution of a request."""

    session: SessionId
    source: EngineRun
    transcript: Transcript
    executor: NodeId | None
    """None: here."""
    purse: Purse | None = None
    """With what it is paid; None where nothing is."""
    has_output: bool = False
    progress_at: int = 0


class ReplyOwner(Protocol):
    """What a reply needs of the table it stands in."""

    @property
    def own(self) -> NodeId:
        """This node."""
        ...

    @property
    def clock(self) -> Clock:
        """Its clock."""
        ...

    @property
    def deliver(self) -> Callable[[Event], None]:
        """Tells the peer what happened."""
        ...

    @property
    def is_paid(self) -> bool:
        """Whether other nodes are paid for answers."""
        ...

    def on_local_failure(self, session: SessionId) -> None:
        """An own engine failed an execution."""
        ...

    def stop_source(self, source: EngineRun) -> None:
        """Free an execution in the background."""
        ...


class NodeReply:
    """The answer to one request; see `ports.peer_handle.Reply`."""

    def __init__(self, owner: ReplyOwner, request_id: RequestId, request: UserRequest) -> None:
        self.info = ReplyInfo(request_id, cost=0 if owner.is_paid else None)
        self.request = request
        self._owner = owner
        self._began_us = owner.clock.now()
        self._attempt: Attempt | None = None
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

    async def _wait_piece(self, attempt: Attempt | None) -> bytes | None:
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

    def _take(self, attempt: Attempt, piece: bytes) -> bytes:
        """Count and rewrite a piece of output, and tell the peer how far it has come."""
        transcript, owner = attempt.transcript, self._owner
        if not piece:
            # Accepted, and nothing said yet. Where output is the first news, it says that too.
            owner.deliver(StreamOpened(attempt.session))
            if attempt.purse is not None:
                self._pay(attempt, attempt.purse)
            return b""
        data = transcript.feed(piece)
        if attempt.purse is not None:
            self._pay(attempt, attempt.purse)
        if not attempt.has_output and transcript.has_content:
            attempt.has_output = True
            attempt.progress_at = owner.clock.now() + PROGRESS_PERIOD_US
            owner.deliver(FirstOutput(attempt.session))
        elif attempt.has_output and owner.clock.now() >= attempt.progress_at:
            attempt.progress_at = owner.clock.now() + PROGRESS_PERIOD_US
            owner.deliver(StreamProgressed(attempt.session, transcript.completion_tokens))
        return data

    def _pay(self, attempt: Attempt, purse: Purse) -> None:
        """Pay for what has come so far."""
        tokens = attempt.transcript.completion_tokens
        purse.pay(tokens, has_output=tokens > 0)
        if purse.note_low():
            self._owner.deliver(HoldRunsOut(attempt.session, tokens))

    def _close_purse(self, attempt: Attempt) -> None:
        """Nothing more is paid for this execution: count what it cost."""
        purse = attempt.purse
        if purse is not None and not purse.is_closed:
            purse.is_closed = True
            self.info.cost = (self.info.cost or 0) + purse.cost
            self._owner.deliver(purse.report(is_last=True))

    async def _end(self, attempt: Attempt) -> None:
        """The execution is complete: keep its last bytes, then say so."""
        transcript = attempt.transcript
        tail = transcript.finish()
        if not attempt.has_output:
            attempt.has_output = True
            self._owner.deliver(FirstOutput(attempt.session))
        self.info.usage = self._settle_usage(attempt)
        if attempt.purse is not None:
            attempt.purse.settle(self.info.usage.completion_tokens)
        self._close_purse(attempt)
        self._tail = tail if self.info.cost is None else transcript.show_cost(tail, self.info.cost)
        usage, digest, text_bytes = self.info.usage, transcript.digest, transcript.text_bytes
        self._owner.deliver(StreamEnded(attempt.session, usage, digest, text_bytes))
        await attempt.source.stop()

    def _settle_usage(self, attempt: Attempt) -> Usage:
        """What the execution used, as it says; of another node's word only what it can prove.

        No token is less than a byte of text. Whoever could claim more at will would be paid for it,
        use up a user's budget, and teach this node that the answers of a model are endless.
        """
        transcript, source = attempt.transcript, attempt.source
        counted = transcript.get_usage(self.request.prompt_tokens)
        if not isinstance(source, RemoteSource):
            return counted
        stated = counted if source.usage is None or transcript.has_usage else source.usage
        tokens = count_completion(stated.completion_tokens, transcript.text_bytes)
        return msgspec.structs.replace(stated, completion_tokens=tokens)

    def _fail(self, attempt: Attempt, failed: EngineFailure) -> None:
        """The execution came to nothing; the peer starts another or ends the request."""
        self._attempt = None
        self._changed.clear()
        self._close_purse(attempt)
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

    def start(self, attempt: Attempt) -> None:
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
            self._close_purse(attempt)
            self._owner.stop_source(attempt.source)
            self._interrupt()

    def recall(self, session: SessionId) -> None:
        """The peer would have this execution run elsewhere: stop it, if nobody would notice.

        Of one that is over the peer was told, and does not ask any more.
        """
        attempt = self._attempt
        if attempt is None or attempt.session != session:
            return
        is_stopped = not (attempt.has_output or self._is_delivered)
        if is_stopped:
            self.stop(session)
        self._owner.deliver(RecallAnswered(session, is_stopped))

    def extend(self, effect: ExtendPayment) -> None:
        """The execution is paid with another hold from now on."""
        attempt = self._attempt
        purse = attempt.purse if attempt is not None and attempt.session == effect.session else None
        if purse is not None and not purse.is_closed:
            self._owner.deliver(purse.report(is_last=False))
            purse.extend(effect.frame, effect.payment)

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
