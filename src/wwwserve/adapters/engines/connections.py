"""The HTTP connections to one engine: where it is, how long to wait, whose key is sent.

Three pools, because they must not take each other's places: one keeps connections alive for
requests, one always opens a new connection (for the second try of a request whose kept connection
had died), and a small one reads the engine's state while all others are busy.
"""

from collections.abc import Mapping
from contextvars import ContextVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace
from yarl import URL

from wwwserve import __version__
from wwwserve.adapters.engines.settings import EngineSettings
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

KEEP_ALIVE_SECONDS = 4
"""Idle time of a kept connection; llama-server closes its own after 5."""
STATE_CONNECTIONS_MAX = 4
"""Connections that read state; pages beyond it wait for each other."""


class Connections:
    """The connection pools of one engine, opened at first use inside the running loop."""

    def __init__(self, settings: EngineSettings) -> None:
        self.root = parse_engine_url(settings.url)
        self._settings = settings
        self._requests: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._state: aiohttp.ClientSession | None = None
        self._is_closed = False

    def get_requests(self) -> aiohttp.ClientSession:
        """The pool that keeps connections alive between requests."""
        if self._requests is None:
            self._requests = self._open(self._settings.connections_max, is_kept=True)
        return self._requests

    def get_fresh(self) -> aiohttp.ClientSession:
        """The pool in which every request has a connection nobody used before."""
        if self._fresh is None:
            self._fresh = self._open(self._settings.connections_max, is_kept=False)
        return self._fresh

    def get_state(self) -> aiohttp.ClientSession:
        """The pool for health and load."""
        if self._state is None:
            self._state = self._open(STATE_CONNECTIONS_MAX, is_kept=True)
        return self._state

    async def close(self) -> None:
        """Close every connection; running requests on them fail, and later ones at once."""
        self._is_closed = True
        sessions = (self._requests, self._fresh, self._state)
        self._requests = self._fresh = self._state = None
        for session in sessions:
            if session is not None:
                await session.close()

    def _open(self, connections_max: int, *, is_kept: bool) -> aiohttp.ClientSession:
        if self._is_closed:
            raise aiohttp.ClientConnectionError("the engine was closed")
        if is_kept:
            connector: aiohttp.TCPConnector = _KeptConnector(
                limit=connections_max, keepalive_timeout=KEEP_ALIVE_SECONDS
            )
        else:
            connector = aiohttp.TCPConnector(limit=connections_max, force_close=True)
        settings = self._settings
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_build_headers(settings),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=settings.connect_us / SECOND,
                sock_read=settings.stall_us / SECOND,
            ),
        )


class ConnectionStory:
    """Learns, while one request is sent, whether its connection had been used before."""

    __slots__ = ("is_new",)

    def __init__(self) -> None:
        self.is_new = False


_STORY: ContextVar[ConnectionStory | None] = ContextVar("connection_story", default=None)


def begin_story() -> ConnectionStory:
    """The story of the request that this task sends next."""
    story = ConnectionStory()
    _STORY.set(story)
    return story


class _KeptConnector(aiohttp.TCPConnector):
    """Keeps connections, and says when a request had to have a new one made.

    aiohttp's tracing would tell too, at a tenth of the cost of a whole request.
    """

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as the library calls it
    ) -> ResponseHandler:
        story = _STORY.get()
        if story is not None:
            story.is_new = True
        return await super()._create_connection(req, traces, timeout)


def parse_engine_url(text: str) -> str:
    """The URL below which `/v1`, `/health` and the like are found; raises `BadInput`."""
    try:
        url = URL(text.strip())
        is_good = url.scheme in ("http", "https") and url.host and not url.query_string
    except ValueError:
        raise _bad_url(text) from None
    if not is_good or url.fragment:
        raise _bad_url(text)
    if url.user or url.password:
        raise BadInput(
            field="engine url",
            found="a user name or password in the URL",
            expected="a URL without credentials",
            fix="give the engine's key as api_key",
        )
    return str(url).rstrip("/").removesuffix("/v1").rstrip("/")


def _bad_url(text: str) -> BadInput:
    return BadInput(
        field="engine url",
        found=text[:200],
        expected="an http:// or https:// base URL without query",
        fix="for example http://127.0.0.1:8000/v1",
    )


def _build_headers(settings: EngineSettings) -> Mapping[str, str]:
    headers = {
        "Accept-Encoding": "identity",  # Compressed streams come in blocks instead of tokens.
        "Content-Type": "application/json",
        "User-Agent": f"wwwserve/{__version__}",
    }
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key}"
    return headers
