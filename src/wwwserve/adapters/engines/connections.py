"""The HTTP connections to one engine: where it is, how long to wait, whose key is sent.

Three pools, because they must not take each other's places: one keeps connections alive for
requests, one always opens a new connection (for the second try of a request whose kept connection
had died), and a small one reads the engine's state while all others are busy.
"""

from collections.abc import Mapping

import aiohttp
from yarl import URL

from wwwserve import __version__
from wwwserve.adapters.engines.exchange import Exchange, RequestForm, UsedConnections
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
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=settings.connect_us / SECOND,
            sock_read=settings.stall_us / SECOND,
        )
        self._kept: aiohttp.TCPConnector | None = None
        self._fresh: aiohttp.TCPConnector | None = None
        self._state: aiohttp.ClientSession | None = None
        self._form: RequestForm | None = None
        self._used = UsedConnections()
        self._is_closed = False

    def encode(self, path: str, body: bytes) -> bytes:
        """A whole request with a body. Raises `ValueError` when the key is no header's value."""
        return self._get_form().encode(path, body)

    async def take(self) -> Exchange:
        """A connection, kept from an earlier request if there is one. Raises as aiohttp does."""
        if self._kept is None:
            self._refuse_closed()
            self._kept = aiohttp.TCPConnector(
                limit=self._settings.connections_max, keepalive_timeout=KEEP_ALIVE_SECONDS
            )
        return await self._connect(self._kept)

    async def take_fresh(self) -> Exchange:
        """A connection that nobody used before."""
        if self._fresh is None:
            self._refuse_closed()
            self._fresh = aiohttp.TCPConnector(
                limit=self._settings.connections_max, force_close=True
            )
        return await self._connect(self._fresh)

    def get_state(self) -> aiohttp.ClientSession:
        """The session for health and load."""
        if self._state is None:
            self._refuse_closed()
            self._state = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=STATE_CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_SECONDS
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_build_headers(self._settings),
                timeout=self._timeout,
            )
        return self._state

    async def close(self) -> None:
        """Close every connection; running requests on them fail, and later ones at once."""
        self._is_closed = True
        pools = (self._kept, self._fresh, self._state)
        self._kept = self._fresh = self._state = None
        for pool in pools:
            if pool is not None:
                await pool.close()

    async def _connect(self, pool: aiohttp.TCPConnector) -> Exchange:
        target = self._get_form().target
        return Exchange(await pool.connect(target, [], self._timeout), self._used)

    def _get_form(self) -> RequestForm:
        if self._form is None:
            self._form = RequestForm(self.root, _build_headers(self._settings))
        return self._form

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise aiohttp.ClientConnectionError("the engine was closed")


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
