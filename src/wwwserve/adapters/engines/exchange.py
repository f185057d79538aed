"""One POST over one connection of aiohttp's pool, without aiohttp's session around it.

Pool, TLS and parser are aiohttp's, put together as its `ClientSession` does it. What is left out is
what the session does anew for every request and an engine never needs: URLs, cookies, redirects,
credentials, proxies, retries and timers. That is two thirds of a request's cost (on one machine 24
microseconds of processor time instead of 75).
"""

from collections.abc import Mapping
from weakref import WeakSet

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

UsedConnections = WeakSet[ResponseHandler]
"""Those over which an answer has begun before, as far as they still exist."""

_INFORMATION = range(100, 200)
"""Statuses that come before the real one (RFC 9110, 15.2)."""
_SWITCHING = 101


class RequestForm:
    """What all requests to one engine have in common: where they go, and their headers."""

    __slots__ = ("_path", "_rest", "target")

    def __init__(self, root: str, headers: Mapping[str, str]) -> None:
        """Needs a running loop. Raises `ValueError` for headers that are none."""
        url = URL(root)
        # Never sent: it tells the pool where to connect, and knows the `Host` to say there.
        self.target = aiohttp.ClientRequest("GET", url, headers=headers)
        lines = [f"{name}: {value}" for name, value in self.target.headers.items()]
        if any(not line.isprintable() for line in lines):
            raise ValueError("a header with what cannot be printed")
        self._path = url.raw_path.rstrip("/")
        self._rest = "\r\n".join(["", *lines, f"{hdrs.CONTENT_LENGTH}: "]).encode()

    def encode(self, path: str, body: bytes) -> bytes:
        """A whole POST to a path below the engine's root."""
        line = f"POST {self._path}{path} HTTP/1.1".encode()
        return b"%b%b%d\r\n\r\n%b" % (line, self._rest, len(body), body)


class Exchange:
    """A connection out of the pool, for one request and its answer."""

    __slots__ = ("_connection", "_protocol", "_used", "content", "status")

    def __init__(self, connection: Connection, used: UsedConnections) -> None:
        """`used` is shared by all exchanges with one engine."""
        assert connection.protocol is not None
        self._connection = connection
        self._protocol = connection.protocol
        self._used = used
        self.status = 0
        self.content: aiohttp.StreamReader = aiohttp.EMPTY_PAYLOAD

    @property
    def is_first(self) -> bool:
        """Whether nothing was ever answered over this connection."""
        return self._protocol not in self._used

    async def post(self, request: bytes) -> None:
        """Send a request and wait for its answer's head: `status` and `content`.

        At the end of `content` the connection is back in the pool. Raises `aiohttp.ClientError`,
        `OSError`, or `ValueError` for what is not HTTP; then, too, call `close`.
        """
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ServerDisconnectedError
        self._protocol.set_response_params(read_until_eof=True)
        transport.write(request)
        try:
            message, content = await self._protocol.read()
            while message.code in _INFORMATION and message.code != _SWITCHING:
                message, content = await self._protocol.read()
        except HttpProcessingError as error:
            raise ValueError(f"the answer is not HTTP: {error.message}") from error
        self._used.add(self._protocol)
        self.status, self.content = message.code, content
        content.on_eof(self._connection.release)

    def close(self) -> None:
        """Close the connection, unless its answer has ended. Idempotent."""
        self._connection.close()
