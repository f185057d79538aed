"""An engine behind an OpenAI-compatible URL: requests go as they are, bytes come as they come.

Rules of a run:

- The request's body reaches the engine untouched. The only credential sent is the node's own key.
- Only a 200 yields bytes. Before the first byte a failure is UNAVAILABLE (another node may do it)
  or REJECTED (the request is wrong, nobody else will do it either); after it, BROKEN or TIMEOUT.
- A kept connection that the engine closed just as the request was sent is not the engine's failure:
  the request is sent once more, on a new connection, if not a byte of an answer had come.
- `stop` closes the connection: engines stop a *streamed* request when its reader has left.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp

from wwwserve.adapters.engines.connections import Connections, begin_story
from wwwserve.adapters.engines.pages import (
    Pages,
    describe_failure,
    describe_wrong_key,
    is_loading_answer,
)
from wwwserve.adapters.engines.settings import AUTO_KIND, EngineSettings
from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.ports.engine import EngineFailure, EngineRequest
from wwwserve.values.limits import KIB
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Endpoint

ERROR_BODY_BYTES_MAX = 16 * KIB
"""How much of an engine's error is kept for the user; the rest is cut off."""
ERROR_BODY_SECONDS = 5
"""How long an error's body may take; then what has come is kept."""

_PATHS = {
    Endpoint.CHAT: "/v1/chat/completions",
    Endpoint.COMPLETIONS: "/v1/completions",
    Endpoint.EMBEDDINGS: "/v1/embeddings",
}
_OK = 200
_REQUEST_IS_WRONG = frozenset({400, 404, 413, 422})
_KEY_IS_WRONG = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of engine: how it is recognised and how its state is read."""

    name: str
    is_spoken: Callable[[Pages], Awaitable[bool]]
    read_state: Callable[[Pages], Awaitable[EngineReading]]


class HttpEngine:
    """An engine behind a URL, in one of the known dialects."""

    def __init__(self, settings: EngineSettings, dialects: Sequence[Dialect]) -> None:
        self._settings = settings
        self._dialects = dialects
        self._dialect = dialects[0] if len(dialects) == 1 else None
        self._connections = Connections(settings)
        self._pages = Pages(self._connections, settings.state_page_us)
        self._runs: dict[HttpRun, None] = {}

    @property
    def name(self) -> str:
        """The engine's name in the configuration."""
        return self._settings.name

    async def read_state(self) -> EngineReading:
        """Read health, load and models now; the port's promise."""
        dialect = self._dialect or await self._recognise()
        reading = await dialect.read_state(self._pages)
        if self._settings.kind == AUTO_KIND:
            # Whoever answers after an outage may be another kind of engine.
            self._dialect = dialect if reading.health is EngineHealth.READY else None
        return reading

    def start(self, request: EngineRequest) -> "HttpRun":
        """Begin a request; it is sent with the first `read`."""
        return HttpRun(self._connections, request, self._settings, self._runs)

    async def close(self) -> None:
        """Close every connection; runs that are not over fail."""
        # The client library would let their readers wait for ever.
        for run in tuple(self._runs):
            run.abandon()
        await self._connections.close()

    async def _recognise(self) -> Dialect:
        *special, generic = self._dialects
        for dialect in special:
            if await dialect.is_spoken(self._pages):
                return dialect
        return generic


class HttpRun:
    """One request on its way through an engine."""

    def __init__(
        self,
        connections: Connections,
        request: EngineRequest,
        settings: EngineSettings,
        register: "dict[HttpRun, None]",
    ) -> None:
        self._connections = connections
        self._request = request
        self._settings = settings
        self._register = register
        self._response: aiohttp.ClientResponse | None = None
        self._reader: asyncio.Task[object] | None = None
        """Who waits in `read` now."""
        self._has_begun = False
        self._is_stopped = False
        self._is_abandoned = False

    async def read(self) -> bytes | None:
        """The next piece of the answer, or None at its end; the port's promise."""
        if self._is_stopped:
            raise _stopped()
        self._reader = reader = asyncio.current_task()
        try:
            response = self._response or await self._open()
            data = await response.content.readany()
        except asyncio.CancelledError:
            # As `asyncio.timeout` does it: only the cancel `abandon` asked for is taken back.
            if not self._is_abandoned or reader is None or reader.uncancel():
                raise
            raise self._explain(aiohttp.ClientConnectionError()) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._explain(error) from error
        finally:
            self._reader = None
        self._has_begun = True
        return data or None

    async def stop(self) -> None:
        """Leave the connection, so that the engine stops working. Idempotent."""
        self._is_stopped = True
        self._register.pop(self, None)
        self.abandon()

    def abandon(self) -> None:
        """Leave the connection; whoever reads hears of a dropped connection. Idempotent."""
        if self._reader is not None and not self._is_abandoned:
            self._reader.cancel()
        self._is_abandoned = True
        if self._response is not None:
            self._response.close()

    async def _open(self) -> aiohttp.ClientResponse:
        """Wait for the status line; only a 200 is returned."""
        self._register[self] = None
        response = await self._send()
        if response.status != _OK:
            raise await _explain_status(response)
        self._response = response
        return response

    async def _send(self) -> aiohttp.ClientResponse:
        story = begin_story()
        try:
            return await self._post(self._connections.get_requests())
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if story.is_new or _has_answer_begun(error):
                raise
        return await self._post(self._connections.get_fresh())

    async def _post(self, session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        # The socket's own timer starts when the body is sent; this one also covers sending it.
        async with asyncio.timeout((self._settings.connect_us + self._settings.stall_us) / SECOND):
            return await session.post(
                self._connections.root + _PATHS[self._request.endpoint],
                data=self._request.body,
                allow_redirects=False,
            )

    def _explain(self, error: Exception) -> EngineFailure:
        if self._is_stopped:
            return _stopped()
        # Others may read this: it must not tell where the engine is.
        detail = describe_failure(error, "the engine")
        if not self._has_begun:
            return EngineFailure(FailureKind.UNAVAILABLE, detail)
        if isinstance(error, TimeoutError):
            return EngineFailure(FailureKind.TIMEOUT, detail)
        return EngineFailure(FailureKind.BROKEN, detail)


def _has_answer_begun(error: Exception) -> bool:
    # aiohttp puts the parsed head of a half-sent answer where its message would be.
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _stopped() -> EngineFailure:
    return EngineFailure(FailureKind.CANCELLED, "the run was stopped")


async def _explain_status(response: aiohttp.ClientResponse) -> EngineFailure:
    """The failure an answer other than 200 means; takes the answer's body and leaves."""
    status = response.status
    body = await _read_error_body(response)
    response.close()
    if status in _REQUEST_IS_WRONG:
        detail = f"the engine refused the request with {status}"
        return EngineFailure(FailureKind.REJECTED, detail, status, body)
    if status in _KEY_IS_WRONG:
        detail = describe_wrong_key(status)
    elif is_loading_answer(status, body):
        detail = "the engine is loading its model"
    else:
        detail = f"the engine answered {status}"
    return EngineFailure(FailureKind.UNAVAILABLE, detail, status)


async def _read_error_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            while len(body) < ERROR_BODY_BYTES_MAX and (data := await response.content.readany()):
                body += data
    except (aiohttp.ClientError, OSError):
        pass  # An error's words are a courtesy: what has come of them will do.
    return bytes(body[:ERROR_BODY_BYTES_MAX])
