"""HTTP under bounds: what aiohttp's own server leaves open, closed.

Its low-level server is used, without the application layer: the gateway has eight paths, and each
layer costs every request. A connection that sends no whole request head in time is closed, there
are only so many connections, and even what is not HTTP is answered in OpenAI's shape.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from wwwserve.frontends.gateway.errors import SERVER, Refused, encode_error, make_error_response

HEAD_WAIT_S = 15.0
"""Time for the first request's head to arrive on a new connection; then it is closed."""
KEEP_ALIVE_S = 75.0
"""An idle connection is closed after it (the default of common reverse proxies)."""
LINGER_S = 2.0
"""How long the rest of a refused body is read and thrown away, so that its sender hears why."""
HEADER_BYTES_MAX = 16 * 1024
"""One line of a request's head, names of many executors included; a longer one is 400."""
CONNECTIONS_MAX = 10_000
"""Connections at once; one more is told 503 and closed."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_LOG = logging.getLogger("wwwserve.gateway")
# Off unless its level is lowered to INFO; a line has method, path, status and size, never a body.
_ACCESS_LOG = logging.getLogger("wwwserve.gateway.access")
_FULL = encode_error(Refused(503, "too many connections to this node", "busy", type=SERVER))
_FULL_RESPONSE = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%b"
) % (len(_FULL), _FULL)


class GatewayServer(web.Server):
    """A server of one handler; a client that leaves cancels it wherever it waits."""

    def __init__(self, handler: Handler, *, head_wait_s: float = HEAD_WAIT_S) -> None:
        """`handler` answers every request, and maps its own expected errors."""
        super().__init__(handler, request_factory=_make_request, handler_cancellation=True)
        self._head_wait_s = head_wait_s
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> RequestHandler:
        """One connection's protocol."""
        return _Connection(self, loop=self._loop, head_wait_s=self._head_wait_s)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take on a connection, unless there are too many."""
        super().connection_made(handler, transport)
        if len(self._connections) > CONNECTIONS_MAX:
            transport.write(_FULL_RESPONSE)
            transport.close()


def _make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """One request. Its answer says HTTP/1.1, also to a line that claims another major version."""
    if message.version not in (HttpVersion10, HttpVersion11):
        message = message._replace(version=HttpVersion11, should_close=True)
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())


class _Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_head_timer", "_head_wait_s")

    def __init__(
        self, server: GatewayServer, *, loop: asyncio.AbstractEventLoop, head_wait_s: float
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=_ACCESS_LOG,
            auto_decompress=False,
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=LINGER_S,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        )
        self._head_wait_s = head_wait_s
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the client some time to say what it wants."""
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(self._head_wait_s, self._close_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or a fault of our own; then close."""
        if isinstance(exc, ConnectionError):
            # The client went away between two writes: nobody's fault, and nobody to tell.
            raise exc
        if status >= 500:  # noqa: PLR2004 - where HTTP puts server errors
            _LOG.error("a fault of the gateway", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the response is out already")
        if status >= 500:  # noqa: PLR2004
            refused = Refused(status, "a fault of this node; it is logged", "fault", type=SERVER)
        else:
            # The parser's message quotes what it was sent; a line of it is plenty.
            reason = (message or "malformed").strip().splitlines()[0][:200]
            refused = Refused(status, f"this is not an HTTP request we can read: {reason}")
        response = make_error_response(refused)
        response.force_close()
        return response

    def _close_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()
