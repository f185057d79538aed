"""An execution on another node, as a source of bytes.

It looks like a run of an own engine to the pump that reads it: `read` until None, and a failure
says how it went wrong in the peer's own words.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from wwwserve.node.streams.paying import Purse
from wwwserve.ports.engine import EngineFailure
from wwwserve.ports.transport import Link, LinkEnded, ResetCode, Stream, StreamEnded
from wwwserve.values.limits import PROGRESS_PERIOD_US, STALL_US, STARVED_US
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import DeclineReason, FailureKind, Refusal
from wwwserve.wire import (
    OUTPUT_BYTES_MAX,
    Accept,
    BodyPart,
    Decline,
    Ended,
    ExecutorFrame,
    Extension,
    Failed,
    Offer,
    Output,
    Progress,
    Unit,
    Usage,
    decode_frame,
    encode_frame,
)

COALESCED_BYTES_MAX = 64 * 1024
"""Output frames that have already arrived are handed on together, up to about this many bytes."""
PROGRESS_BURST_MAX = 64
"""Progress frames that may come at once, after a hold-up; of more than twice the rate that is
allowed, one more breaks the attempt."""


@dataclass(eq=False)
class SourceFailed(EngineFailure):
    """As an engine's failure, with what only another node can say: that it declined, and why."""

    decline: DeclineReason | None = None
    retry_after_us: int = 0

    def __str__(self) -> str:
        return f"{self.kind.name.lower()}: {self.detail}"


class RemoteSource:
    """A `ports.engine.EngineRun` of another node, over one stream of the link to it."""

    def __init__(
        self,
        get_link: Callable[[], Link | None],
        offer: Offer,
        body: bytes,
        accept_wait_us: int,
        purse: Purse | None = None,
    ) -> None:
        """The link is looked for when the stream is opened: one may replace another until then."""
        self.purse = purse
        """With what it is paid; None where nothing is."""
        self._get_link = get_link
        self._offer = offer
        self._body = body
        self._accept_wait_us = accept_wait_us
        self._stream: Stream | None = None
        self._digest = hashlib.sha256()
        self._unread: ExecutorFrame | None = None
        self._usage: Usage | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._heard_s = 0.0
        self._spoke_s = 0.0
        """When it last gave output, or accepted."""
        self._accepted_s = 0.0
        self._progress_count = 0
        self._is_silent = False
        self._is_told_all = False
        """The executor's last frame has come."""

    @property
    def usage(self) -> Usage | None:
        """What the executor's last frame said."""
        return self._usage

    async def read(self) -> bytes | None:
        """See `EngineRun`."""
        try:
            if self._stream is None:
                await self._open()
                return b""
            return await self._read_output(self._stream)
        except StreamEnded as ended:
            if self._is_silent:
                raise SourceFailed(FailureKind.TIMEOUT, "the executor fell silent") from ended
            raise SourceFailed(
                _kind_of_reset(ended.code), f"stream {ended.code.name.lower()}"
            ) from ended
        except LinkEnded as ended:
            raise SourceFailed(FailureKind.LINK_LOST, str(ended)) from ended
        except Refusal as refusal:
            raise SourceFailed(FailureKind.BROKEN, str(refusal)) from refusal

    async def _open(self) -> None:
        """Send the offer and its body, and wait for accept or decline."""
        link = self._get_link()
        if link is None:
            raise SourceFailed(FailureKind.LINK_LOST, "no link to the executor")
        self._stream = stream = link.open_stream()
        if self.purse is not None:
            self.purse.attach(stream)
        try:
            async with asyncio.timeout(self._accept_wait_us / SECOND):
                await stream.send(encode_frame(self._offer))
                await _send_body(stream, self._body)
                first = await _receive_frame(stream)
        except TimeoutError as error:
            raise SourceFailed(FailureKind.TIMEOUT, "no answer to the offer in time") from error
        self._take_answer(first)

    def _take_answer(self, first: ExecutorFrame) -> None:
        """The executor answered the offer. Raises `SourceFailed`, or `Refusal`."""
        match first:
            case Accept():
                self._watch_silence()
                if self.purse is not None:
                    self.purse.check_accept(first.payment)
            case Decline():
                self._is_told_all = True
                raise SourceFailed(
                    FailureKind.DECLINED,
                    first.detail or first.reason.name.lower(),
                    decline=first.reason,
                    retry_after_us=first.retry_after_us,
                )
            case Failed():
                self._is_told_all = True
                raise _failure_of(first)
            case Output() | Progress() | Ended():
                raise Refusal("stream-order", "output before the offer was accepted")
            case _:
                assert_never(first)

    async def _read_output(self, stream: Stream) -> bytes | None:
        frame = self._unread or await _receive_frame(stream)
        self._unread = None
        self._heard_s = asyncio.get_running_loop().time()
        match frame:
            case Output():
                self._spoke_s = self._heard_s
                return self._take_output(stream, frame)
            case Progress():
                self._count_progress()
                return b""
            case Ended():
                self._is_told_all = True
                if frame.digest != self._digest.digest():
                    raise Refusal("stream-digest", "what arrived is not what the executor sent")
                self._usage = frame.usage
                if self.purse is not None:
                    self.purse.check_final(frame.payment, frame.digest)
                return None
            case Failed():
                self._is_told_all = True
                raise _failure_of(frame)
            case Accept() | Decline():
                raise Refusal("stream-order", "a second answer to the offer")
            case _:
                assert_never(frame)

    def _take_output(self, stream: Stream, first: Output) -> bytes:
        """The frame's bytes, with those of further output frames that are already here."""
        pieces = [first.data]
        size = len(first.data)
        while size < COALESCED_BYTES_MAX:
            data = stream.try_receive()
            if data is None:
                break
            frame = _as_executor_frame(decode_frame(data))
            if not isinstance(frame, Output):
                self._unread = frame
                break
            pieces.append(frame.data)
            size += len(frame.data)
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not joined:
            raise Refusal("stream-order", "output without a byte")
        self._digest.update(joined)
        return joined

    def _count_progress(self) -> None:
        """The executor lives, and that is all it says. Raises `Refusal` when said too often."""
        self._progress_count += 1
        elapsed_us = (asyncio.get_running_loop().time() - self._accepted_s) * SECOND
        if self._progress_count > PROGRESS_BURST_MAX + 2 * elapsed_us / PROGRESS_PERIOD_US:
            raise Refusal("progress-rate", "progress is told at most four times a second")

    def _watch_silence(self) -> None:
        """One timer for the whole stream, moved on lazily: nothing is paid for each token."""
        loop = asyncio.get_running_loop()
        self._heard_s = self._spoke_s = self._accepted_s = loop.time()

        def look() -> None:
            # Words that it goes on are believed as long as an engine may leave an answer waiting.
            heard_end_s = self._heard_s + STALL_US / SECOND
            end_s = min(heard_end_s, self._spoke_s + STARVED_US / SECOND)
            if loop.time() >= end_s and self._stream is not None:
                self._is_silent = True
                self._stream.reset(ResetCode.CANCELLED)
            else:
                self._watchdog = loop.call_at(end_s, look)

        self._watchdog = loop.call_later(STALL_US / SECOND, look)

    async def stop(self) -> None:
        """See `EngineRun`. The reset makes the executor stop its engine.

        After its last word there is nothing to stop: resets are rationed, and for those who cancel.
        """
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._stream is None:
            return
        if self._is_told_all:
            if self.purse is not None:
                await self.purse.flush()
            self._stream.finish()
        else:
            self._stream.reset(ResetCode.CANCELLED)


class FailedSource:
    """A `ports.engine.EngineRun` that failed before it began; its reader hears of it as of any."""

    def __init__(self, failed: EngineFailure) -> None:
        self._failed = failed

    async def read(self) -> bytes | None:
        """See `EngineRun`."""
        raise self._failed

    async def stop(self) -> None:
        """See `EngineRun`."""


async def _receive_frame(stream: Stream) -> ExecutorFrame:
    data = await stream.receive()
    if data is None:
        raise Refusal("stream-order", "the stream ended without a last frame")
    return _as_executor_frame(decode_frame(data))


def _as_executor_frame(frame: object) -> ExecutorFrame:
    if isinstance(frame, Offer | BodyPart | Unit | Extension):
        raise Refusal("stream-order", "an executor does not send an origin's frames")
    assert isinstance(frame, Accept | Decline | Output | Progress | Ended | Failed)
    return frame


async def _send_body(stream: Stream, body: bytes) -> None:
    for start in range(0, max(1, len(body)), OUTPUT_BYTES_MAX):
        end = start + OUTPUT_BYTES_MAX
        await stream.send(encode_frame(BodyPart(body[start:end], end >= len(body))))


def _failure_of(failed: Failed) -> SourceFailed:
    """What another node's failure means here: its fault inside is a broken attempt to us."""
    is_ours = failed.kind in (FailureKind.DECLINED, FailureKind.LINK_LOST, FailureKind.CANCELLED)
    kind = FailureKind.BROKEN if is_ours else failed.kind
    return SourceFailed(kind, failed.detail, status=failed.status, body=failed.body)


def _kind_of_reset(code: ResetCode) -> FailureKind:
    if code is ResetCode.LINK_LOST:
        return FailureKind.LINK_LOST
    return FailureKind.UNAVAILABLE if code is ResetCode.REFUSED else FailureKind.BROKEN
