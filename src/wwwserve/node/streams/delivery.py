"""The way of an answer onto its origin's stream: at once, or as it is paid for.

Output that is paid leaves in pieces of at most a unit, each when those before it are paid as was
agreed. What may not leave yet is held, within a bound; at the bound whoever gives more waits.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wwwserve.core.requests import cut_by_tokens
from wwwserve.node.streams.paying import Earnings, UnitOverdue
from wwwserve.ports.engine import EngineFailure
from wwwserve.ports.transport import Stream, StreamEnded
from wwwserve.values.limits import ALIVE_PERIOD_US, STALL_US, UNRELEASED_BYTES_MAX
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import (
    OUTPUT_BYTES_MAX,
    Accept,
    Decline,
    Ended,
    ExecutorFrame,
    Failed,
    Output,
    Progress,
    encode_frame,
)

_WORDS_FOR_OTHERS = {
    FailureKind.UNAVAILABLE: "the engine is not available",
    FailureKind.REJECTED: "the engine rejects the request",
    FailureKind.BROKEN: "the engine broke off",
    FailureKind.TIMEOUT: "the engine fell silent",
    FailureKind.UNPAID: "it was not paid in time",
}
"""What another node is told: an engine's address is its provider's business alone."""


class Delivery:
    """One work's side of its stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.earnings: Earnings | None = None
        """For what it is paid; None where nothing is."""
        self.has_answered = False
        """Output has left for the origin: what failed cannot begin anew unseen."""
        self._held: deque[tuple[bytes, int]] = deque()
        """Pieces of output, each with the tokens before it."""
        self._held_bytes = 0
        self._is_flushing = False
        self._teller: asyncio.TimerHandle | None = None

    async def accept(self, frame: Accept, wait_us: int) -> None:
        """Tell the origin yes."""
        await self._send(frame, wait_us=wait_us)

    def tell_progress(self, completion_tokens: int) -> None:
        """Tell the origin that all goes on, if there is room for it."""
        self._stream.try_send(encode_frame(Progress(completion_tokens)))

    @contextmanager
    def telling(self, count_tokens: Callable[[], int]) -> Iterator[None]:
        """Tell the origin every `ALIVE_PERIOD_US` that all goes on, while the block runs.

        The engine may make nothing of this answer for long, and the origin cannot see why.
        """
        self._tell_later(count_tokens)
        try:
            yield
        finally:
            if self._teller is not None:
                self._teller.cancel()

    def _tell_later(self, count_tokens: Callable[[], int]) -> None:
        def tell() -> None:
            try:
                self.tell_progress(count_tokens())
            except StreamEnded:
                # Whoever sends the next output finds out, and knows what to do about it.
                return
            self._tell_later(count_tokens)

        loop = asyncio.get_running_loop()
        self._teller = loop.call_later(ALIVE_PERIOD_US / SECOND, tell)

    async def give(self, output: bytes, before: int, after: int) -> None:
        """Send output on, which brings the tokens from one count to another.

        Where it is paid, as far as it may leave now. Raises `EngineFailure` when a unit is overdue.
        """
        earnings = self.earnings
        if earnings is None:
            self.has_answered = True
            if not self._try_send(output):
                await self._send_output(output)
            return
        self._held.extend(cut_by_tokens(output, before, after, earnings.unit_tokens))
        self._held_bytes += len(output)
        if earnings.is_released or self._held_bytes > UNRELEASED_BYTES_MAX:
            await self.flush()

    async def flush(self) -> None:
        """Send all that is held, each piece once it may leave; raises `EngineFailure` as `give`."""
        earnings = self.earnings
        if earnings is None:
            return
        self._is_flushing = True
        try:
            while self._held:
                piece, before = self._held[0]
                await earnings.wait_released()
                await earnings.wait_paid(before)
                self._take_piece()
                if not self._try_send(piece):
                    await self._send_output(piece)
        except UnitOverdue as overdue:
            raise EngineFailure(FailureKind.UNPAID, "a unit is overdue") from overdue
        finally:
            self._is_flushing = False

    def release(self) -> None:
        """Output may leave: what is held does so now, and what finds no room a moment later."""
        earnings = self.earnings
        assert earnings is not None, "only what is paid is held"
        earnings.release()
        while self._held and not self._is_flushing:
            piece, before = self._held[0]
            if not earnings.meter.may_deliver(before):
                return
            try:
                if not self._try_send(piece):
                    return
            except StreamEnded:
                return
            self._take_piece()

    def drop(self) -> None:
        """Forget what is held: its engine failed, and another may begin anew."""
        self._held.clear()
        self._held_bytes = 0

    async def end(self, frame: Decline | Ended | Failed) -> None:
        """Say the last word."""
        await self._send(frame)
        self._stream.finish()

    def _take_piece(self) -> None:
        piece, _ = self._held.popleft()
        self._held_bytes -= len(piece)
        self.has_answered = True

    def _try_send(self, output: bytes) -> bool:
        """Send a piece of output if it fits one frame and there is room, as mostly."""
        fits = len(output) <= OUTPUT_BYTES_MAX
        return fits and self._stream.try_send(encode_frame(Output(output)))

    async def _send_output(self, data: bytes) -> None:
        for start in range(0, len(data), OUTPUT_BYTES_MAX):
            await self._send(Output(data[start : start + OUTPUT_BYTES_MAX]))

    async def _send(self, frame: ExecutorFrame, *, wait_us: int = STALL_US) -> None:
        """Send a frame; `TimeoutError` when the origin makes no room for it in time.

        Without a bound, whoever takes nothing would hold a slot of the engine for ever.
        """
        data = encode_frame(frame)
        if not self._stream.try_send(data):
            async with asyncio.timeout(wait_us / SECOND):
                await self._stream.send(data)


def describe_failure(failed: EngineFailure) -> Failed:
    """An engine's failure in words for another node."""
    is_rejection = failed.kind is FailureKind.REJECTED
    return Failed(
        kind=failed.kind,
        status=failed.status,
        body=failed.body if is_rejection else b"",
        detail=_WORDS_FOR_OTHERS.get(failed.kind, ""),
    )
