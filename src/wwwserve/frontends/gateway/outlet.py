"""The way out to one client, and an end to waiting for one that takes nothing."""

import asyncio

from aiohttp import web

WRITE_WAIT_S = 30.0
"""How long a client may take nothing of an answer while more is waiting; then it is cut off."""


class Outlet:
    """Writes one answer; a client that stops reading for good holds up only itself, for a while.

    One timer watches the whole answer, and only once something was written: a token costs two looks
    at the clock.
    """

    __slots__ = ("_loop", "_timer", "_transport", "_waits_from_s", "_write_wait_s", "writer")

    def __init__(self, request: web.BaseRequest, write_wait_s: float = WRITE_WAIT_S) -> None:
        self.writer = request.writer
        self._transport = request.transport
        self._write_wait_s = write_wait_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waits_from_s = 0.0
        """Since when a write has been waiting; 0 while none does."""

    async def write(self, data: bytes) -> None:
        """Send more, waiting while the client's connection is full. Raises `ConnectionError`."""
        self._waits_from_s = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._write_wait_s, self._look)
        await self.writer.write(data)
        self._waits_from_s = 0.0

    def close(self) -> None:
        """The answer is over: watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if not self._waits_from_s:
            return
        waited_s = self._loop.time() - self._waits_from_s
        if waited_s < self._write_wait_s:
            self._timer = self._loop.call_later(self._write_wait_s - waited_s, self._look)
        elif self._transport is not None:
            # The write fails, and with it everything that was done for this client ends.
            self._transport.abort()
