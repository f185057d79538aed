"""Reading a request's body under bounds of size, time and memory, before an engine hears of it."""

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from wwwserve.frontends.gateway.errors import RETRY_AFTER_US, SERVER, Refused, format_seconds
from wwwserve.values.limits import BODY_BYTES_MAX, MIB

BODY_WAIT_S = 30.0
"""Time for a whole body to arrive; then 408. Half-sent bodies block some engines for all."""
BODIES_BYTES_MAX = 256 * MIB
"""All bodies being read at once; above it newcomers are refused with 503."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyReader:
    """Reads the bodies of one gateway's requests, and knows how much memory they hold."""

    __slots__ = ("_held_bytes", "_wait_s")

    def __init__(self, wait_s: float = BODY_WAIT_S) -> None:
        self._held_bytes = 0
        self._wait_s = wait_s

    async def read(self, request: web.BaseRequest) -> bytes:
        """The whole body. Raises `Refused`: 400, 408, 413 or 503."""
        _validate_headers(request)
        content = request.content
        if content.is_eof():
            # The usual case: a small body that came with its headers.
            body = content.read_nowait()
            _validate_size(len(body))
            return body
        _validate_size(request.content_length or 0)
        if request.headers.get("expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(CONTINUE)
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._read_pieces(request)
        except TimeoutError as error:
            message = f"the body did not arrive within {self._wait_s:g} s"
            raise Refused(408, message, "request_timeout") from error
        except (web.RequestPayloadError, HttpProcessingError) as error:
            raise Refused(400, f"the body's transfer encoding is broken: {error}") from error

    async def _read_pieces(self, request: web.BaseRequest) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await request.content.readany():
                size += len(piece)
                self._held_bytes += len(piece)
                _validate_size(size)
                self._validate_held()
                pieces.append(piece)
        finally:
            self._held_bytes -= size
        return b"".join(pieces)

    def _validate_held(self) -> None:
        if self._held_bytes > BODIES_BYTES_MAX:
            headers = {"retry-after": format_seconds(RETRY_AFTER_US)}
            message = "too many large bodies are being sent to this node at once"
            raise Refused(503, message, "busy", type=SERVER, headers=headers)


def _validate_headers(request: web.BaseRequest) -> None:
    """Refuse by its headers what need not be read at all."""
    kind = request.headers.get("content-type", "")
    if kind != "application/json":
        kind = kind.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        # Besides being wrong, the types that a web page may send anywhere without asking first.
        message = f"content-type is {kind[:80] or 'missing'}. Try: content-type: application/json"
        raise Refused(400, message, param="content-type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        message = "content-encoding is not supported. Try: send the JSON uncompressed"
        raise Refused(400, message, param="content-encoding")


def _validate_size(size: int) -> None:
    if size > BODY_BYTES_MAX:
        message = f"the body is over {BODY_BYTES_MAX // MIB} MiB. Try: a shorter conversation"
        raise Refused(413, message, "request_too_large")
