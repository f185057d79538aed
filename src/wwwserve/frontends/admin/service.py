"""What the operator's API answers on each of its paths, and whom it lets in."""

import asyncio
import hmac
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, fields
from typing import TypeVar, cast

import msgspec
from aiohttp import web

from wwwserve.core.facts import Fact
from wwwserve.frontends.admin.decisions import DecisionMemory
from wwwserve.frontends.admin.explanations import make_explanation
from wwwserve.frontends.admin.json_forms import (
    make_fact,
    make_member,
    make_model,
    make_opening,
    make_status,
)
from wwwserve.frontends.admin.metrics import NodeMetrics
from wwwserve.frontends.admin.metrics_page import PAGE_TYPE, make_page
from wwwserve.frontends.admin.orders import read_order
from wwwserve.frontends.admin.process import read_process_use
from wwwserve.ports.opening import RestKind
from wwwserve.ports.peer_handle import PeerHandle
from wwwserve.ports.store import StoreFailed
from wwwserve.values.hosts import is_loopback_host
from wwwserve.values.ids import node_text
from wwwserve.values.limits import KIB
from wwwserve.values.refusals import BadInput

TOKEN_HEADER = "x-wwwserve-admin-token"  # noqa: S105 - the header's name
_OPERATOR_FIX = "use the wwwserve command, which reads it from run.json in the state folder"
_SCRAPER_FIX = "send the word in metrics.token of the state folder as `authorization: Bearer WORD`"
BODY_BYTES_MAX = 64 * KIB
"""The longest order is a ticket."""
METRICS_PATH = "/metrics"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = TypeVar("Body")


class _Join(msgspec.Struct):
    ticket: str
    """An invite ticket, `host:port` or `NODE@host:port`."""


class _Pause(msgspec.Struct):
    for_s: int | None = None
    """None: until told otherwise."""


@dataclass(frozen=True, slots=True)
class AdminTokens:
    """What a request must carry."""

    admin: str = field(repr=False)
    """Opens everything: whoever has it runs the node."""
    metrics: str = field(default="", repr=False)
    """Opens the metrics and nothing else; empty: they have no token of their own."""


class AdminService:
    """Answers an operator's requests by way of one peer."""

    __slots__ = ("_decisions", "_handle", "_metrics", "_started_at", "_tokens")

    def __init__(self, handle: PeerHandle, tokens: AdminTokens) -> None:
        self._handle = handle
        self._tokens = tokens
        self._metrics = NodeMetrics(handle.node_id)
        self._decisions = DecisionMemory(_read_monotonic_us)
        self._started_at = time.monotonic()

    def create_application(self) -> web.Application:
        """All paths, behind the guard."""
        app = web.Application(middlewares=[self._guard], client_max_size=BODY_BYTES_MAX)
        app.cleanup_ctx.append(self._take_facts)
        app.add_routes(
            [
                web.get("/status", self._tell_status),
                web.get("/peers", self._tell_peers),
                web.get("/models", self._tell_models),
                web.get("/facts", self._stream_facts),
                web.get("/process", self._tell_process),
                web.get("/requests/{request}/explanation", self._explain),
                web.get(METRICS_PATH, self._tell_metrics),
                web.post("/invite", self._invite),
                web.post("/join", self._join),
                web.post("/pause", self._pause),
                web.post("/drain", self._drain),
                web.post("/resume", self._resume),
                web.post("/wallet", self._sign),
                web.post("/reload", self._reload),
                web.post("/shutdown", self._shut_down),
            ]
        )
        return app

    async def _take_facts(self, _: web.Application) -> AsyncIterator[None]:
        """Count and remember as long as the application lives."""
        listeners = (self._metrics.on_fact, self._decisions.on_fact)
        ends = [self._handle.listen(listener) for listener in listeners]
        yield
        for end in ends:
            end()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who knows the token, and no web page that learned to reach this address."""
        if not is_loopback_host(request.headers.get("host", "")):
            return _refuse(
                403, BadInput("host", request.host[:80], "127.0.0.1", "http://127.0.0.1")
            )
        if not self._is_known(request):
            fix = _SCRAPER_FIX if request.path == METRICS_PATH else _OPERATOR_FIX
            return _refuse(401, BadInput(TOKEN_HEADER, "a wrong one or none", "the token", fix))
        try:
            return await handler(request)
        except BadInput as error:
            return _refuse(400, error)
        except StoreFailed as error:
            fix = "free or repair the disk; until then it holds only as long as the node runs"
            return _refuse(
                500, BadInput("state folder", str(error), "a disk that can be written", fix)
            )
        except web.HTTPException as error:
            fix = (
                "GET /status, /peers, /models, /facts, /process, /metrics, /requests/ID/explanation"
            )
            return _refuse(error.status, BadInput("request", error.reason, "another one", fix))

    def _is_known(self, request: web.Request) -> bool:
        """Whether it carries the operator's token, or for the metrics alone the scraper's."""
        _, _, bearer = request.headers.get("authorization", "").partition("Bearer ")
        token = (request.headers.get(TOKEN_HEADER) or bearer).encode("utf-8", "surrogateescape")
        if hmac.compare_digest(token, self._tokens.admin.encode()):
            return True
        is_scraper = hmac.compare_digest(token, self._tokens.metrics.encode())
        return is_scraper and bool(self._tokens.metrics) and request.path == METRICS_PATH

    async def _tell_status(self, _: web.Request) -> web.Response:
        snapshot, opening = self._handle.get_snapshot(), self._handle.get_opening()
        more = {"opening": make_opening(opening), "entry": self._handle.get_entry()}
        return _make_json(make_status(snapshot) | more)

    async def _tell_peers(self, _: web.Request) -> web.Response:
        members = self._handle.get_snapshot().members
        return _make_json({"peers": [make_member(member) for member in members]})

    async def _tell_models(self, _: web.Request) -> web.Response:
        models = self._handle.get_snapshot().models
        return _make_json({"models": [make_model(model) for model in models]})

    async def _tell_process(self, _: web.Request) -> web.Response:
        use = read_process_use()
        return _make_json(
            {
                "pid": os.getpid(),
                "cpu_s": use.cpu_s,
                "rss_bytes": use.rss_bytes,
                "uptime_s": time.monotonic() - self._started_at,
            }
        )

    async def _explain(self, request: web.Request) -> web.Response:
        stories = self._decisions.find(request.match_info["request"])
        own, compute_age_us = self._handle.node_id, self._decisions.compute_age_us
        told = [make_explanation(one, own=own, age_us=compute_age_us(one)) for one in stories]
        return _make_json({"node": node_text(own), "explanations": told})

    async def _tell_metrics(self, _: web.Request) -> web.Response:
        # In a thread: a page of many models would keep requests waiting.
        page = await asyncio.to_thread(
            make_page, self._metrics.registry, self._handle.get_snapshot(), read_process_use()
        )
        return web.Response(body=page, headers={"content-type": PAGE_TYPE})

    async def _stream_facts(self, request: web.Request) -> web.StreamResponse:
        """All facts from now on, one JSON object a line, until either side goes."""
        response = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
        await response.prepare(request)
        async with aclosing(cast("AsyncGenerator[Fact, None]", self._handle.watch())) as facts:
            step = asyncio.ensure_future(anext(facts, None))
            try:
                # One turn of the loop, and the watch is on; the empty line says so to the reader.
                await asyncio.sleep(0)
                await response.write(b"\n")
                while (fact := await step) is not None:
                    await response.write(msgspec.json.encode(make_fact(fact)) + b"\n")
                    step = asyncio.ensure_future(anext(facts, None))
            finally:
                await _end(step)
        return response

    async def _invite(self, _: web.Request) -> web.Response:
        return _make_json({"ticket": self._handle.create_invite()})

    async def _join(self, request: web.Request) -> web.Response:
        self._handle.join((await _read_body(request, _Join)).ticket)
        return _make_json({})

    async def _pause(self, request: web.Request) -> web.Response:
        await self._handle.rest(RestKind.PAUSE, (await _read_body(request, _Pause)).for_s)
        return self._tell_opening()

    async def _drain(self, _: web.Request) -> web.Response:
        await self._handle.rest(RestKind.DRAIN)
        return self._tell_opening()

    async def _resume(self, _: web.Request) -> web.Response:
        await self._handle.resume()
        return self._tell_opening()

    def _tell_opening(self) -> web.Response:
        works_open = self._handle.get_snapshot().works_open
        opening = make_opening(self._handle.get_opening())
        return _make_json({"opening": opening, "works_open": works_open})

    async def _sign(self, request: web.Request) -> web.Response:
        signed = await self._handle.sign((read_order(await request.read()),))
        return _make_json(
            {"feed": signed.feed_id.hex(), "seq": signed.seq, "is_final": signed.is_final}
        )

    async def _reload(self, _: web.Request) -> web.Response:
        return _make_json({"changes": await self._handle.reload()})

    async def _shut_down(self, _: web.Request) -> web.Response:
        self._handle.leave()
        return _make_json({})


async def _read_body(request: web.Request, form: type[Body]) -> Body:
    """Read an order; raises `BadInput` when it is not in its form."""
    try:
        return msgspec.json.decode(await request.read(), type=form)
    except (ValueError, RecursionError) as error:
        expected = "a JSON object with " + ", ".join(form.__annotations__)
        raise BadInput("body", str(error), expected, "see `wwwserve --help`") from error


async def _end(step: asyncio.Future[Fact | None]) -> None:
    """Have a step of a watch end, so that the watch itself can be closed."""
    step.cancel()
    with suppress(asyncio.CancelledError):
        await step


def _read_monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


def _make_json(value: object, status: int = 200) -> web.Response:
    content = msgspec.json.encode(value)
    return web.Response(body=content, status=status, content_type="application/json")


def _refuse(status: int, error: BadInput) -> web.Response:
    # A header quoted in it may hold bytes that are no text.
    texts = {each.name: str(getattr(error, each.name)) for each in fields(error)}
    shown = {name: text.encode(errors="replace").decode() for name, text in texts.items()}
    return _make_json({"error": shown}, status)
