"""Child processes of a bench: each prints one JSON line when ready, and ends with its stdin."""

import asyncio
import json
import sys
from collections.abc import Sequence
from types import TracebackType

START_WAIT_S = 60
STOP_WAIT_S = 20


class ChildFailed(Exception):
    """A process of the bench did not start, or not as it must."""


class Child:
    """One process, from its ready line to the closing of its standard input."""

    def __init__(self, arguments: Sequence[str], *, is_quiet: bool = False) -> None:
        """`arguments` follow the Python interpreter's name; a quiet one's own words are dropped."""
        self._arguments = tuple(arguments)
        self._said = asyncio.subprocess.DEVNULL if is_quiet else None
        self._process: asyncio.subprocess.Process | None = None
        self.ready: dict[str, object] = {}
        """What its first line said."""

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None, "use it as a context"
        return self._process.pid

    async def __aenter__(self) -> "Child":
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stdin=pipe, stdout=pipe, stderr=self._said
        )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_WAIT_S):
                line = await self._process.stdout.readline()
            self.ready = json.loads(line)
        except (TimeoutError, ValueError) as error:
            await self._end()
            raise ChildFailed(f"{' '.join(self._arguments)}: no ready line") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_WAIT_S):
                await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
