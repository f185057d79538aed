"""The pages an engine's state is read from: one short GET each, which never raises.

Engines answer their state in JSON of many shapes. The `get_...` functions here take what is there
and say None for what is missing or of another type.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

import aiohttp
import msgspec

from wwwserve.adapters.engines.connections import Connections
from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.values.moments import SECOND

ANSWERS_KEPT_MAX = 256
"""Answers to questions that are not asked again; the oldest is forgotten."""
PAGE_BYTES_MAX = 4 * 1024 * 1024
"""A longer page counts as malformed."""
TEXT_LENGTH_MAX = 1_024
"""Letters of a name or version, a file's path at most; a longer one is a mistake, and unknown. It
would be in each line of the log and of the terminal that names it."""
COUNT_MAX = 2**53
"""A larger count is a mistake of the engine, and unknown."""

_OK = 200
_UNAUTHORIZED = (401, 403)
_NOT_FOUND = (404, 405)
_SERVICE_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of an engine, or why there was none."""

    status: int
    """0 when the engine did not answer."""
    body: bytes = b""
    server: str = ""
    """Its `Server` header."""
    failure: str = ""
    """Why there was no answer, for a person."""

    @property
    def is_ok(self) -> bool:
        """Whether the engine has this page."""
        return self.status == _OK

    @property
    def is_loading(self) -> bool:
        """Whether the engine is up and its model is not yet."""
        return is_loading_answer(self.status, self.body)

    def get_json(self) -> object:
        """Its body decoded, or None when the page is absent or not JSON."""
        if not self.is_ok:
            return None
        try:
            return msgspec.json.decode(self.body)
        except (ValueError, RecursionError):
            # A `ValueError` is what all bad JSON is, and also text that is not UTF-8.
            return None

    def get_text(self) -> str:
        """Its body as text, empty when the page is absent."""
        return self.body.decode("utf-8", "replace") if self.is_ok else ""


class Pages:
    """Reads an engine's pages in connections of their own, so that requests cannot delay them."""

    def __init__(self, connections: Connections, page_us: int) -> None:
        self.root = connections.root
        self._connections = connections
        self._page_us = page_us
        self._answers: OrderedDict[tuple[str, bytes, str], Page] = OrderedDict()

    async def get(self, path: str) -> Page:
        """One page; never raises."""
        return await self._read("GET", path, None)

    async def ask_once(self, path: str, question: object, edition: str = "") -> Page:
        """The answer to a question (a POST, in JSON) that is the same for ever; never raises.

        It is asked again only if there was no 200, or once `edition` is another one.
        """
        body = msgspec.json.encode(question)
        key = (path, body, edition)
        page = self._answers.get(key)
        if page is None:
            page = await self._read("POST", path, body)
            if page.is_ok:
                self._answers[key] = page
                if len(self._answers) > ANSWERS_KEPT_MAX:
                    self._answers.popitem(last=False)
        return page

    async def _read(self, method: str, path: str, question: bytes | None) -> Page:
        try:
            async with asyncio.timeout(self._page_us / SECOND):
                return await self._send(method, path, question)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Page(0, failure=describe_failure(error, self.root))

    async def _send(self, method: str, path: str, question: bytes | None) -> Page:
        session = self._connections.get_state()
        async with session.request(
            method, self.root + path, data=question, allow_redirects=False
        ) as response:
            body = bytearray()
            while data := await response.content.readany():
                body += data
                if len(body) > PAGE_BYTES_MAX:
                    return Page(0, failure=f"{path} is longer than {PAGE_BYTES_MAX} bytes")
            return Page(response.status, bytes(body), response.headers.get("Server", ""))


class Glance(Pages):
    """An engine's pages at one moment: each is fetched once, however often it is asked for."""

    def __init__(self, connections: Connections, page_us: int) -> None:
        super().__init__(connections, page_us)
        self._seen: dict[str, Page] = {}

    async def get(self, path: str) -> Page:
        """One page as it was at the first look; never raises."""
        if path not in self._seen:
            self._seen[path] = await super().get(path)
        return self._seen[path]


def explain_absence(page: Page, root: str) -> EngineReading:
    """The reading of an engine whose main page is not a 200: loading, or unavailable and why."""
    if page.is_loading:
        return EngineReading(EngineHealth.LOADING, "the engine is loading its model")
    if page.status == 0:
        detail = page.failure
    elif page.status in _UNAUTHORIZED:
        detail = describe_wrong_key(page.status)
    elif page.status in _NOT_FOUND:
        detail = f"{root} answers {page.status}: is it the base URL of an OpenAI-compatible server?"
    else:
        detail = f"{root} answers {page.status}: look at the engine's own log"
    return EngineReading(EngineHealth.UNAVAILABLE, detail)


def describe_wrong_key(status: int) -> str:
    """Say that this node's key, not the user's, is wrong."""
    return f"the engine answers {status}: check the api_key this node is configured with for it"


def describe_failure(error: BaseException, engine: str) -> str:
    """Say for a person why `engine` could not be talked to, and what to try.

    `engine` is its URL for the operator, and no more than "the engine" where others may read it.
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            return f"no connection to {engine} in time: is it overloaded?"
        case TimeoutError():
            return f"{engine} stays silent: is it overloaded or hanging?"
        case aiohttp.ClientConnectorDNSError():
            return f"no such host: {engine}. Is the URL right?"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return f"no TLS with {engine}: is it https, and its certificate valid?"
        case aiohttp.ClientConnectorError():
            return f"nothing listens at {engine}: is the engine running there, its model loaded?"
        case aiohttp.ClientResponseError() | ValueError():
            return f"{engine} does not speak HTTP: is the URL right?"
        case _:
            return f"{engine} dropped the connection"


def is_loading_answer(status: int, body: bytes) -> bool:
    """Whether an answer is llama-server's (and others') 503 while the model loads."""
    return status == _SERVICE_UNAVAILABLE and b"loading" in body.lower()


def get_field(value: object, *path: str) -> object:
    """What is found in nested objects along `path`, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def get_count(value: object, *path: str) -> int | None:
    """A plausible count along `path`, or None."""
    found = get_field(value, *path)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= COUNT_MAX:
        return found
    return None


def get_text(value: object, *path: str) -> str:
    """A text along `path`, or the empty one: names and versions, which are not long."""
    found = get_field(value, *path)
    return found if isinstance(found, str) and len(found) <= TEXT_LENGTH_MAX else ""


def get_items(value: object, *path: str) -> list[object]:
    """A list along `path`, or the empty one."""
    found = get_field(value, *path)
    return found if isinstance(found, list) else []
