"""An engine behind an OpenAI-compatible URL: requests go as they are, bytes come as they come.

Rules of a run:

- The request's body reaches the engine untouched. The only credential sent is the node's own key.
- Only a 200 yields bytes. Before the first byte a failure is UNAVAILABLE (another engine may do it)
  or REJECTED (the request is wrong, nobody else will do it either); after it, BROKEN or TIMEOUT.
- A 404 is the engine's fault: path and model are what this node knows of it, not the user's words.
- A kept connection that the engine closed just as the request was sent is not the engine's failure:
  the request is sent once more, on a new connection, if not a byte of an answer had come.
- `stop` closes the connection: engines stop a *streamed* request when its reader has left.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp

from wwwserve.adapters.engines.connections import Connections
from wwwserve.adapters.engines.exchange import Exchange
from wwwserve.adapters.engines.pages import (
    Glance,
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
_REQUEST_IS_WRONG = frozenset({400, 413, 422})
_NOT_FOUND = 404
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
        self._runs = _OpenRuns(settings.stall_us / SECOND, settings.starved_us / SECOND)

    @property
    def name(self) -> str:
        """The engine's name in the configuration."""
        return self._settings.name

    @property
    def kind(self) -> str:
        """Which kind of engine it is taken for; empty while that is unknown."""
        return self._dialect.name if self._dialect else ""

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
        return HttpRun(self._connections, request, self._runs)

    async def close(self) -> None:
        """Close every connection; runs that are not over fail."""
        # The client library would let their readers wait for ever.
        self._runs.close()
        await self._connections.close()

    async def _recognise(self) -> Dialect:
        *special, generic = self._dialects
        glance = Glance(self._connections, self._settings.state_page_us)
        if (await glance.get("/v1/models")).status == 0:
            # Nobody answers: looking for each kind's own pages would only cost their time.
            return generic
        for dialect in special:
            if await dialect.is_spoken(glance):
                return dialect
        return generic


class HttpRun:
    """One request on its way through an engine."""

    def __init__(
        self, connections: Connections, request: EngineRequest, register: "_OpenRuns"
    ) -> None:
        self.patience_ends_s = math.inf
        """The loop's time from which on the engine has been silent for too long."""
        self._connections = connections
        self._request = request
        self._register = register
        self._exchange: Exchange | None = None
        self._content: aiohttp.StreamReader | None = None
        """The body of a 200."""
        self._reader: asyncio.Task[object] | None = None
        """Who waits in `read` now."""
        self._has_begun = False
        self._is_stopped = False
        self._is_abandoned = False
        self._is_silent = False

    async def read(self) -> bytes | None:
        """The next piece of the answer, or None at its end; the port's promise."""
        if self._is_stopped:
            raise _stopped()
        self._reader = reader = asyncio.current_task()
        try:
            content = self._content or await self._open()
            self.patience_ends_s = self._register.get_patience_end_s()
            if self._has_begun:
                # Output came a moment ago, from an engine that others wait for as well.
                self._register.engine_patience_ends_s = self.patience_ends_s
            data = await content.readany()
        except asyncio.CancelledError:
            # As `asyncio.timeout` does it: only the cancel `abandon` asked for is taken back.
            if not self._is_abandoned or reader is None or reader.uncancel():
                raise
            silence = aiohttp.SocketTimeoutError if self._is_silent else None
            raise self._explain((silence or aiohttp.ClientConnectionError)()) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._explain(error) from error
        finally:
            self._reader = None
        self._has_begun = True
        return data or None

    async def stop(self) -> None:
        """Leave the connection, so that the engine stops working. Idempotent."""
        self._is_stopped = True
        self._register.remove(self)
        self.abandon()

    def abandon(self, *, is_silent: bool = False) -> None:
        """Leave the connection; whoever reads hears of a dropped one, or of silence. Idempotent."""
        if self._is_abandoned:
            return
        self._is_abandoned, self._is_silent = True, is_silent
        if self._reader is not None:
            self._reader.cancel()
        if self._exchange is not None:
            self._exchange.close()

    @property
    def has_begun(self) -> bool:
        """Whether the engine has said anything yet."""
        return self._has_begun

    def is_waiting(self) -> bool:
        """Whether somebody waits for the engine; a reader who is busy elsewhere does not."""
        return self._reader is not None

    async def _open(self) -> aiohttp.StreamReader:
        """Wait for the status line; only a 200 is returned."""
        self._register.add(self)
        exchange = await self._post()
        if exchange.status != _OK:
            # Its words have a time of their own.
            self.patience_ends_s = math.inf
            raise await _explain_status(exchange)
        self._content = exchange.content
        return exchange.content

    async def _post(self) -> Exchange:
        path = _PATHS[self._request.endpoint]
        request = self._connections.encode(path, self._request.body)
        exchange = await self._connections.take()
        try:
            return await self._send(exchange, request)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if exchange.is_first or _has_answer_begun(error):
                raise
        self.patience_ends_s = math.inf
        return await self._send(await self._connections.take_fresh(), request)

    async def _send(self, exchange: Exchange, request: bytes) -> Exchange:
        # Connecting had a limit of its own; from here on the engine must not be silent for long.
        self._exchange = exchange
        self.patience_ends_s = self._register.get_patience_end_s()
        try:
            await exchange.post(request)
        except BaseException:
            exchange.close()
            raise
        return exchange

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


class _OpenRuns:
    """The runs of one engine that are under way, and the one timer that ends silent ones.

    One timer for all, moved on lazily: a token costs a look at the clock, where the client
    library's `sock_read` cancels and makes a timer for each (1.6 microseconds on one machine).
    """

    def __init__(self, stall_s: float, starved_s: float) -> None:
        self._stall_s = stall_s
        self._starved_s = max(starved_s, stall_s)
        self.engine_patience_ends_s = 0.0
        """The same as a run's, of all of them: until when the engine is not silent altogether."""
        self._runs: dict[HttpRun, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, run: HttpRun) -> None:
        """Watch a run until it is removed."""
        self._runs[run] = None
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = self._loop.call_later(self._stall_s, self._look)

    def remove(self, run: HttpRun) -> None:
        """Forget a run."""
        self._runs.pop(run, None)

    def get_patience_end_s(self) -> float:
        """Until when somebody who begins to wait now will wait."""
        assert self._loop is not None
        return self._loop.time() + self._stall_s

    def close(self) -> None:
        """Abandon all runs."""
        if self._timer is not None:
            self._timer.cancel()
        for run in tuple(self._runs):
            run.abandon()

    def _look(self) -> None:
        assert self._loop is not None
        self._timer = None
        now = self._loop.time()
        next_look = now + self._stall_s
        for run in tuple(self._runs):
            if not run.is_waiting():
                continue
            patience_ends_s = self._compute_patience_end_s(run)
            if patience_ends_s <= now:
                run.abandon(is_silent=True)
            else:
                next_look = min(next_look, patience_ends_s)
        if self._runs:
            self._timer = self._loop.call_at(next_look, self._look)

    def _compute_patience_end_s(self, run: HttpRun) -> float:
        """An answer that lost its place in a full cache is silent until it has one again."""
        if not run.has_begun:
            return run.patience_ends_s
        longest_s = run.patience_ends_s - self._stall_s + self._starved_s
        return max(run.patience_ends_s, min(self.engine_patience_ends_s, longest_s))


def _has_answer_begun(error: Exception) -> bool:
    # aiohttp puts the parsed head of a half-sent answer where its message would be.
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _stopped() -> EngineFailure:
    return EngineFailure(FailureKind.CANCELLED, "the run was stopped")


async def _explain_status(answer: Exchange) -> EngineFailure:
    """The failure an answer other than 200 means; takes the answer's body and leaves."""
    status = answer.status
    body = await _read_error_body(answer.content)
    answer.close()
    if status in _REQUEST_IS_WRONG:
        detail = f"the engine refused the request with {status}"
        return EngineFailure(FailureKind.REJECTED, detail, status, body)
    if status in _KEY_IS_WRONG:
        detail = describe_wrong_key(status)
    elif status == _NOT_FOUND:
        detail = "the engine answered 404: it does not have this model any more, or never had"
    elif is_loading_answer(status, body):
        detail = "the engine is loading its model"
    else:
        detail = f"the engine answered {status}"
    return EngineFailure(FailureKind.UNAVAILABLE, detail, status)


async def _read_error_body(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            while len(body) < ERROR_BODY_BYTES_MAX and (data := await content.readany()):
                body += data
    except (aiohttp.ClientError, OSError):
        pass  # An error's words are a courtesy: what has come of them will do.
    return bytes(body[:ERROR_BODY_BYTES_MAX])
