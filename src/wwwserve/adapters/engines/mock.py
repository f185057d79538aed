"""A pretend engine on aiohttp: for tests and benches, in this process or in one of its own.

What a request may wish for is told in `mock_course`.

`GET /mock/state` tells what the engine is doing and what has become of its clients.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from wwwserve.adapters.engines.mock_answers import (
    Answer,
    Fields,
    encode_embeddings,
    encode_error,
    encode_whole,
    plan_answer,
)
from wwwserve.adapters.engines.mock_course import Course, MockSettings, plan_writes, plot_course
from wwwserve.adapters.engines.mock_llama import encode_metrics, encode_props, encode_slots
from wwwserve.values.limits import BODY_BYTES_MAX
from wwwserve.values.moments import SECOND
from wwwserve.wire import Endpoint

WRITES_BEFORE_YIELD = 64
"""Unpaced writes after which other requests get their turn."""
BACKLOG = 4_096
"""Connections waiting to be accepted; with fewer, a burst of clients waits a second to retry."""
CONNECTIONS_REMEMBERED = 1_024
"""Connections remembered for `drops_reused`; the oldest are forgotten."""

_ENDPOINTS = {
    "/v1/chat/completions": Endpoint.CHAT,
    "/v1/completions": Endpoint.COMPLETIONS,
    "/v1/embeddings": Endpoint.EMBEDDINGS,
}
_JSON = "application/json"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class MockCounts:
    """What a mock engine is doing, and what has become of its requests."""

    running: int = 0
    waiting: int = 0
    started: int = 0
    finished: int = 0
    failed: int = 0
    """Failed as they were told to."""
    dropped: int = 0
    """Dropped without an answer because their connection had been used before."""
    cancelled: int = 0
    """Given up because their client had left."""
    last_cancelled_us: int = 0
    """When the last one was given up, on the monotonic clock."""
    authorization: str = ""
    """The `Authorization` header of the last request."""


PageBuilder = Callable[[MockCounts], bytes]
"""One page of an engine's state, from what the engine is doing."""


class MockEngineServer:
    """A mock engine that listens while its `async with` block runs."""

    def __init__(
        self,
        settings: MockSettings | None = None,
        pages: Mapping[str, PageBuilder] | None = None,
    ) -> None:
        """With `pages` it looks like the engine that has these; they go before its own."""
        self._extra_pages = pages or {}
        self.settings = settings or MockSettings()
        self.counts = MockCounts()
        self.is_loading = self.settings.is_loading
        self._turns = asyncio.Semaphore(self.settings.slots)
        self._used_peers: deque[object] = deque(maxlen=CONNECTIONS_REMEMBERED)
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Its base URL, without `/v1`."""
        return self._url

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        app = web.Application(client_max_size=2 * BODY_BYTES_MAX)
        for path in _ENDPOINTS:
            app.router.add_post(path, self._on_request)
        for path, build in {**self._get_pages(), **self._extra_pages}.items():
            app.router.add_get(path, self._serve_page(build))
        app.router.add_get("/mock/state", self._tell_state)
        # A client that leaves must end its request's work, as in a real engine.
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        address = (self.settings.host, self.settings.port)
        await web.TCPSite(self._runner, *address, backlog=BACKLOG).start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop listening and leave every connection."""
        assert self._runner is not None
        await self._runner.cleanup()

    # -- state -------------------------------------------------------------------------------------

    def _get_pages(self) -> dict[str, PageBuilder]:
        settings = self.settings
        pages: dict[str, PageBuilder] = {"/v1/models": self._encode_models}
        if settings.is_llama_server:
            slots, context = settings.slots, settings.context_tokens
            pages["/health"] = lambda _: b'{"status":"ok"}'
            pages["/props"] = lambda _: encode_props(slots=slots, context_tokens=context)
            pages["/slots"] = lambda counts: encode_slots(
                slots=slots, context_tokens=context, running=counts.running
            )
            pages["/metrics"] = lambda counts: encode_metrics(
                running=counts.running, waiting=counts.waiting
            )
        return pages

    def _serve_page(self, build: PageBuilder) -> _Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            body = build(self.counts)
            return self._refuse(request) or web.Response(body=body, content_type=_JSON)

        return serve

    def _encode_models(self, _counts: MockCounts) -> bytes:
        context = self.settings.context_tokens
        entries = [
            {"id": name, "object": "model", "owned_by": "mock", "max_model_len": context}
            for name in self.settings.models
        ]
        return msgspec.json.encode({"object": "list", "data": entries})

    async def _tell_state(self, _request: web.Request) -> web.Response:
        now_us = time.monotonic_ns() // 1_000
        state = asdict(self.counts) | {
            "since_cancelled_us": now_us - self.counts.last_cancelled_us,
            "cpu_us": time.process_time_ns() // 1_000,
        }
        return web.Response(body=msgspec.json.encode(state), content_type=_JSON)

    # -- requests ----------------------------------------------------------------------------------

    async def _on_request(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.counts.authorization = request.headers.get("Authorization", "")
        if self.settings.drops_reused and self._is_reused(request):
            self.counts.dropped += 1
            return _drop(request)
        if refusal := self._refuse(request):
            return refusal
        try:
            fields = msgspec.json.decode(body, type=dict[str, object])
            course = plot_course(fields, self.settings)
        except ValueError as error:
            return _error(400, str(error), "invalid_request_error")
        if (early := _fail_early(request, course)) is not None:
            self.counts.failed += 1
            return early
        self.counts.started += 1
        async with self._turn():
            return await self._execute(request, fields, course)

    def _refuse(self, request: web.Request) -> web.Response | None:
        if self.is_loading:
            return _error(503, "Loading model", "unavailable_error")
        key = self.settings.api_key
        if key and request.headers.get("Authorization") != f"Bearer {key}":
            return _error(401, "Invalid API key", "authentication_error")
        return None

    def _is_reused(self, request: web.Request) -> bool:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        is_reused = peer in self._used_peers
        self._used_peers.append(peer)
        return is_reused

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Hold one of the slots, and count what becomes of the request."""
        counts = self.counts
        is_running = False
        try:
            counts.waiting += 1
            try:
                await self._turns.acquire()
            finally:
                counts.waiting -= 1
            is_running = True
            counts.running += 1
            yield
        except (asyncio.CancelledError, ConnectionError):
            counts.cancelled += 1
            counts.last_cancelled_us = time.monotonic_ns() // 1_000
            raise
        finally:
            if is_running:
                counts.running -= 1
                self._turns.release()

    async def _execute(
        self, request: web.Request, fields: Fields, course: Course
    ) -> web.StreamResponse:
        endpoint = _ENDPOINTS[request.path]
        await asyncio.sleep(course.first_token_us / SECOND)
        if course.failure == "hang" and not course.argument:
            await _hang()
        if endpoint is Endpoint.EMBEDDINGS:
            self.counts.finished += 1
            dimensions = self.settings.embedding_dimensions
            body = encode_embeddings(fields, dimensions=dimensions)
            return web.Response(body=body, content_type=_JSON)
        answer = plan_answer(endpoint, fields, tokens=course.tokens)
        if fields.get("stream") is True:
            return await self._stream(request, answer, course)
        await asyncio.sleep(course.pace_us * len(answer.words) / SECOND)
        self.counts.finished += 1
        return web.Response(body=encode_whole(answer), content_type=_JSON)

    async def _stream(
        self, request: web.Request, answer: Answer, course: Course
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        writes = plan_writes(answer, course, chunks_per_write=self.settings.chunks_per_write)
        await _write_paced(response, writes, course.pace_us)
        if course.failure == "hang":
            await _hang()
        if course.failure:
            self.counts.failed += 1
        else:
            self.counts.finished += 1
        if course.failure in _DROPPING and request.transport is not None:
            request.transport.close()
        return response


_DROPPING = ("after", "drop")


def _fail_early(request: web.Request, course: Course) -> web.Response | None:
    match course.failure:
        case "before":
            return _drop(request)
        case "status":
            return _error(course.argument, "as the request wished")
        case "loading":
            return _error(503, "Loading model", "unavailable_error")
        case _:
            return None


async def _write_paced(response: web.StreamResponse, writes: list[bytes], pace_us: int) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for index, data in enumerate(writes):
        if pace_us:
            await asyncio.sleep(start + index * pace_us / SECOND - loop.time())
        elif index % WRITES_BEFORE_YIELD == WRITES_BEFORE_YIELD - 1:
            await asyncio.sleep(0)
        await response.write(data)


async def _hang() -> None:
    await asyncio.Event().wait()


def _drop(request: web.Request) -> web.Response:
    """Close the connection; the answer given back is never sent."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _error(status: int, message: str, kind: str = "server_error") -> web.Response:
    body = encode_error(message, status, kind)
    return web.Response(status=status, body=body, content_type=_JSON)
