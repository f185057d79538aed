"""The pages of real engines, as `tests/data/engines` has them: a dress for each engine and version.

`serve_dress` is a server that has these pages and no other; a test may change any of them.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiohttp import web

from wwwserve.adapters.engines.mock import MockCounts, PageBuilder

DATA = Path(__file__).parents[2] / "data/engines"
CONTENT_TYPES = {".json": "application/json", ".txt": "text/plain"}

LOAD_METRICS = {
    "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    "sglang": ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    "tgi": ("tgi_batch_current_size", "tgi_queue_size"),
}
"""What each engine calls its running and waiting requests."""


@dataclass(frozen=True)
class Page:
    """One answer of a dressed server."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True)
class Dress:
    """What one version of one engine shows."""

    engine: str
    version: str
    pages: Mapping[str, Page]
    answers: Mapping[str, Mapping[str, object]]
    """Of each question's path, by the model asked for."""

    def __str__(self) -> str:
        return f"{self.engine}-{self.version}"

    def build_live(self) -> Mapping[str, PageBuilder]:
        """Its pages for a mock engine, with that engine's real load on the metrics page."""
        live = {path: _show(page.body) for path, page in self.pages.items()}
        if names := LOAD_METRICS.get(self.engine):
            live["/metrics"] = _show_load(self.pages["/metrics"].body.decode(), names)
        return live


@dataclass
class DressedServer:
    """A running server; its pages are for the test to change."""

    url: str
    pages: dict[str, Page]
    answers: Mapping[str, Mapping[str, object]]
    is_talkative: bool
    """Whether unknown paths are answered as LM Studio does: with 200 and an error."""
    key: str = ""
    """Asked of every client on these paths: `/v1`, `/api` and the pages about the server."""
    asked: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[f"{request.method} {request.path}"] += 1
        page = await self._find(request)
        return web.Response(body=page.body, status=page.status, content_type=page.content_type)

    async def _find(self, request: web.Request) -> Page:
        is_open = request.path in ("/health", "/metrics", "/version", "/")
        if self.key and not is_open and request.headers.get("Authorization") != self.key:
            return Page(b'{"error": "Unauthorized"}', 401)
        if request.method == "POST":
            question = msgspec.json.decode(await request.read())
            found = self.answers.get(request.path, {}).get(question["model"])
            return Page(msgspec.json.encode(found)) if found else Page(status=404)
        if page := self.pages.get(request.path):
            return page
        if self.is_talkative:
            return Page(msgspec.json.encode({"error": f"Unexpected endpoint ({request.path})"}))
        return Page(b'{"detail": "Not Found"}', 404)


@asynccontextmanager
async def serve_dress(dress: Dress) -> AsyncIterator[DressedServer]:
    """Serve a dress until the block ends."""
    server = DressedServer("", dict(dress.pages), dress.answers, dress.engine == "lm-studio")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def load_dress(engine: str, version: str) -> Dress:
    """One dress from its files."""
    root = DATA / engine / version
    pages, answers = {}, {}
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        path = "/" + file.relative_to(root).as_posix().removesuffix(file.suffix)
        body = file.read_bytes()
        if path.endswith(".by-model"):
            answers[path.removesuffix(".by-model")] = msgspec.json.decode(body)
        else:
            pages[path.removesuffix("index")] = Page(body, 200, CONTENT_TYPES[file.suffix])
    return Dress(engine, version, pages, answers)


def _show(body: bytes) -> PageBuilder:
    return lambda _counts: body


def _show_load(text: str, names: tuple[str, str]) -> PageBuilder:
    def build(counts: MockCounts) -> bytes:
        page = text
        for name, value in zip(names, (counts.running, counts.waiting), strict=True):
            page = _set_sample(page, name, value)
        return page.encode()

    return build


def _set_sample(text: str, name: str, value: int) -> str:
    """The first sample of a name gets the value, the others none of it."""
    values = iter([value])
    pattern = re.compile(rf"^({re.escape(name)}(?:{{.*}})?) \S+$", re.MULTILINE)
    return pattern.sub(lambda sample: f"{sample[1]} {next(values, 0)}", text)


def _get_age(folder: Path) -> tuple[str, list[int]]:
    return folder.parent.name, [int(number) for number in re.findall(r"\d+", folder.name)]


DRESSES = tuple(
    load_dress(folder.parent.name, folder.name)
    for folder in sorted(DATA.glob("*/*"), key=_get_age)
    if folder.is_dir()
)
"""All of them, the versions of an engine from old to new."""
