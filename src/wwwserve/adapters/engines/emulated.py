"""An emulated engine: an OpenAI-compatible server that takes the time a GPU would.

It answers with words that mean nothing, at the instants the model of a GPU says
(`wwwserve.enginemodel`), and shows the pages vLLM shows. `open_emulated` serves one in this
process; `emulated_server` is the process of its own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from wwwserve.adapters.engines.emulated_orders import Order, OrderDesk, WrongRequest
from wwwserve.adapters.engines.emulated_pace import PacedEngine, PacedRun
from wwwserve.adapters.engines.emulated_pages import encode_metrics, encode_models, encode_version
from wwwserve.adapters.engines.emulated_settings import (
    CONTEXT_TOKENS_MAX,
    EmulatedSettings,
    Fault,
    FaultKind,
)
from wwwserve.adapters.engines.mock_answers import (
    Answer,
    encode_embeddings,
    encode_error,
    encode_stream_head,
    encode_stream_tail,
    encode_stream_words,
    encode_whole,
)
from wwwserve.core.entropy import Entropy
from wwwserve.values.limits import BODY_BYTES_MAX
from wwwserve.values.refusals import BadInput, Refusal
from wwwserve.wire import Endpoint

BACKLOG = 4_096
"""Connections waiting to be accepted; with fewer, a burst of clients waits a second to retry."""
DRIP_S = 1.0
"""Between two tokens of an answer that drips."""
EMBEDDING_DIMENSIONS = 64

_ENDPOINTS = {
    "/v1/chat/completions": Endpoint.CHAT,
    "/v1/completions": Endpoint.COMPLETIONS,
    "/v1/embeddings": Endpoint.EMBEDDINGS,
}
_JSON = "application/json"
_METRICS = "text/plain"
_NS_PER_US = 1_000
_HALTING = (FaultKind.CRASH, FaultKind.HANG)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def open_emulated(
    settings: EmulatedSettings, crash: Callable[[], None]
) -> AsyncIterator[str]:
    """An emulated engine that listens while the block runs; gives its URL, without `/v1`.

    `crash` is called where a fault says that the engine is gone. Raises `BadInput` when its port
    is taken.
    """
    engine = _EmulatedEngine(settings, crash)
    app = web.Application(client_max_size=2 * BODY_BYTES_MAX)
    for path in _ENDPOINTS:
        app.router.add_post(path, engine.on_request)
    for path, page in engine.get_pages().items():
        app.router.add_get(path, page)
    # A client that leaves must end its request's work, as in a real engine.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    try:
        await runner.setup()
        await _listen(runner, settings)
        host, port = runner.addresses[0][:2]
        async with asyncio.TaskGroup() as tasks:
            driving = tasks.create_task(engine.pace.drive())
            yield f"http://{host}:{port}"
            driving.cancel()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: EmulatedSettings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG).start()
    except OSError as error:
        raise BadInput(
            field="port",
            found=f"{settings.port}: {error.strerror}",
            expected="a free port of this machine",
            fix="another port, or 0 for any free one",
        ) from error


class _EmulatedEngine:
    """What its handlers share."""

    def __init__(self, settings: EmulatedSettings, crash: Callable[[], None]) -> None:
        profile = settings.get_profile()
        self.pace = PacedEngine(profile, settings.speedup)
        self._desk = OrderDesk(
            profile.model, min(CONTEXT_TOKENS_MAX, self.pace.context_tokens_max), settings.seed
        )
        self._faults = settings.faults
        self._chance = Entropy(f"faults {settings.seed}".encode())
        self._crash = crash
        self._started_ns = time.monotonic_ns()
        self._finished = {"stop": 0, "length": 0}

    # -- pages -------------------------------------------------------------------------------------

    def get_pages(self) -> dict[str, _Handler]:
        """What it tells of itself, by path."""
        models = encode_models(self._desk.model, self._desk.context_tokens)
        return {
            "/health": _serve_page(lambda: b"", _METRICS),
            "/version": _serve_page(encode_version, _JSON),
            "/v1/models": _serve_page(lambda: models, _JSON),
            "/metrics": _serve_page(self._encode_metrics, _METRICS),
        }

    def _encode_metrics(self) -> bytes:
        load = self.pace.read_load()
        return encode_metrics(self._desk.model, load, self.pace.counts, self._finished)

    # -- requests ----------------------------------------------------------------------------------

    async def on_request(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or refuse it as vLLM would."""
        body = await request.read()
        fault = self._draw_fault()
        if fault is FaultKind.ERROR:
            return _error(500, "EngineError", "a fault this engine was told to have")
        try:
            order = self._desk.read(_ENDPOINTS[request.path], body)
            run = self.pace.start(order.demands)
        except WrongRequest as wrong:
            return _error(wrong.status, wrong.kind, wrong.message)
        except Refusal as refusal:
            return _error(503, "ServiceUnavailableError", str(refusal))
        try:
            return await self._answer(request, order, self._follow(run, fault))
        finally:
            self.pace.stop(run)

    async def _answer(
        self, request: web.Request, order: Order, progress: AsyncIterator[int]
    ) -> web.StreamResponse:
        answer = order.answer
        if answer is not None and order.is_stream:
            response = await _stream(request, answer, progress)
            self._finished["length" if answer.is_cut else "stop"] += 1
            return response
        async for _ in progress:
            pass
        if answer is None:
            body = encode_embeddings(order.fields, dimensions=EMBEDDING_DIMENSIONS)
        else:
            body = encode_whole(answer)
        self._finished["length" if answer and answer.is_cut else "stop"] += 1
        return web.Response(body=body, content_type=_JSON)

    async def _follow(self, run: PacedRun, fault: FaultKind | None) -> AsyncIterator[int]:
        """How many tokens may be shown, each time it is more."""
        shown, last = 0, run.total // 2 if fault in _HALTING else run.total
        while shown < last:
            made = min(await run.wait_beyond(shown), last)
            if fault is FaultKind.DRIP:
                await asyncio.sleep(DRIP_S)
                made = shown + 1
            shown = made
            yield shown
        if fault is FaultKind.CRASH:
            self._crash()
        if fault in _HALTING:
            await asyncio.Event().wait()

    def _draw_fault(self) -> FaultKind | None:
        spent_us = (time.monotonic_ns() - self._started_ns) // _NS_PER_US
        return next((f.kind for f in self._faults if self._befalls(f, spent_us)), None)

    def _befalls(self, fault: Fault, spent_us: int) -> bool:
        return spent_us >= fault.after_us and self._chance.chance(fault.share_permille)


async def _stream(
    request: web.Request, answer: Answer, progress: AsyncIterator[int]
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    # As vLLM, which sends its status line when it takes a request on.
    await response.prepare(request)
    words = encode_stream_words(answer)
    shown = 0
    async for made in progress:
        head = b"" if shown else encode_stream_head(answer)
        if data := head + b"".join(words[shown:made]):
            await response.write(data)
        shown = made
    await response.write(encode_stream_tail(answer))
    return response


def _serve_page(build: Callable[[], bytes], content_type: str) -> _Handler:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=build(), content_type=content_type)

    return serve


def _error(status: int, kind: str, message: str) -> web.Response:
    body = encode_error(message, status, kind)
    return web.Response(status=status, body=body, content_type=_JSON)
