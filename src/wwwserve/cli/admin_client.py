"""Speaking to the operator's API of the node that runs on a state folder."""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from wwwserve.cli.terminal import CommandFailed
from wwwserve.node import RunInfo, StateFolder
from wwwserve.values.refusals import BadInput

TOKEN_HEADER = "x-wwwserve-admin-token"  # noqa: S105 - the header's name
ANSWER_WAIT_SECONDS = 10
"""The operator's API answers from memory; one that takes longer is stuck."""
FACT_BYTES_MAX = 1024 * 1024

Json = Mapping[str, object]


def find_running_node(home: StateFolder) -> RunInfo:
    """How to reach the node of a state folder; raises `CommandFailed` if none runs."""
    info = home.read_run_info()
    if info is None:
        has_node = home.node_key_file.exists()
        start = f"wwwserve up --home {home.path}"
        raise CommandFailed(
            f"no node runs on {home.path}",
            start if has_node else f"wwwserve init --home {home.path}, then {start}",
        )
    return info


class AdminClient:
    """One running node, from its operator's side. Use it as an asynchronous context."""

    def __init__(self, info: RunInfo, *, wait_s: float = ANSWER_WAIT_SECONDS) -> None:
        self._info = info
        self._wait_s = wait_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            base_url=self._info.admin,
            headers={TOKEN_HEADER: self._info.admin_token},
            timeout=aiohttp.ClientTimeout(total=self._wait_s),
            read_bufsize=FACT_BYTES_MAX,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str) -> Json:
        """Read something. Raises `CommandFailed`, or `BadInput` if the node refuses it."""
        return await self._call("GET", path, None)

    async def post(self, path: str, body: Json | None = None) -> Json:
        """Tell the node to do something. Raises as `get` does."""
        return await self._call("POST", path, body or {})

    async def watch_facts(self) -> AsyncIterator[Json]:
        """All facts from now on, until the node stops or the iterator is closed."""
        session = self._get_session()
        forever = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_WAIT_SECONDS)
        try:
            async with session.get("/facts", timeout=forever) as response:
                await _validate(response)
                async for line in response.content:
                    if text := line.strip():
                        yield msgspec.json.decode(text, type=dict[str, object])
        except (aiohttp.ClientError, OSError):
            return

    async def _call(self, method: str, path: str, body: Json | None) -> Json:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        session = self._get_session()
        try:
            async with session.request(method, path, data=content, headers=headers) as response:
                await _validate(response)
                return msgspec.json.decode(await response.read(), type=dict[str, object])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise CommandFailed(
                f"the node (process {self._info.pid}) does not answer at {self._info.admin}: "
                f"{str(error) or type(error).__name__}",
                "look at the terminal it runs in, or start it again",
            ) from error

    def _get_session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use it as a context"
        return self._session


class _Refused(msgspec.Struct):
    """What the operator's API says when it refuses."""

    field: str = "request"
    found: str = ""
    expected: str = "something the node accepts"
    fix: str = "see `wwwserve --help`"


class _Refusal(msgspec.Struct):
    error: _Refused = msgspec.field(default_factory=_Refused)


async def _validate(response: aiohttp.ClientResponse) -> None:
    """Turn a refusal of the operator's API into what the person who asked should read."""
    if response.status < 400:  # noqa: PLR2004 - where errors begin
        return
    text = await response.read()
    try:
        refused = msgspec.json.decode(text, type=_Refusal).error
    except ValueError:
        refused = _Refused(found=f"status {response.status}")
    raise BadInput(refused.field, refused.found, refused.expected, refused.fix)
