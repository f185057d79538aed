"""Keep a server running in a child process: start it, learn its address, bring it back.

The child speaks the protocol of `readiness`. Its standard input is ours, so it ends with this
process however this process ends.

States: STARTING -> READY -> (the child dies) -> STARTING -> ... After `deaths_max` deaths in a row
it is FAILING between and during further starts, until one is ready again.
"""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

from wwwserve.adapters.engines.readiness import READY_LINE_BYTES_MAX, parse_ready_line
from wwwserve.adapters.engines.settings import RestartPlan
from wwwserve.values.moments import SECOND

ERROR_LINES_KEPT = 12
"""Last lines of a child's standard error that are shown when it keeps dying."""
ERROR_LINE_LENGTH_MAX = 300
END_SECONDS = 3
"""Time a child has to end by itself, and again after SIGTERM; then it is killed."""

_READ_BYTES = 65_536


class ServerState(Enum):
    """Whether a supervised server can be asked."""

    STARTING = "starting"
    READY = "ready"
    FAILING = "failing"
    """It keeps dying; it is still started again, ever more slowly."""


class SupervisedServer:
    """A child process that serves HTTP, alive until `close`."""

    def __init__(self, command: Sequence[str], plan: RestartPlan) -> None:
        self._command = tuple(command)
        self._plan = plan
        self._url: str | None = None
        self._deaths = 0
        self._error_lines: deque[str] = deque(maxlen=ERROR_LINES_KEPT)
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def url(self) -> str | None:
        """Where the running child listens, None while there is none. Each child has its own."""
        return self._url

    @property
    def state(self) -> ServerState:
        """Whether it can be asked now."""
        if self._url is not None:
            return ServerState.READY
        is_failing = self._deaths >= self._plan.deaths_max
        return ServerState.FAILING if is_failing else ServerState.STARTING

    @property
    def detail(self) -> str:
        """The last words of the child, for a person."""
        return "\n".join(self._error_lines)

    @property
    def pid(self) -> int | None:
        """The running child's process number."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begin; returns at once. Needs a running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name="supervised-server")

    async def wait_for(self, *states: ServerState) -> None:
        """Wait until it is in one of `states`."""
        while self.state not in states:
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """End the child and stop bringing it back. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _supervise(self) -> None:
        while True:
            await self._run_once()
            wait_us = self._plan.first_wait_us << min(self._deaths - 1, 30)
            await asyncio.sleep(min(wait_us, self._plan.wait_us_max) / SECOND)

    async def _run_once(self) -> None:
        """One child from birth to death, which is counted."""
        loop = asyncio.get_running_loop()
        ready_at: float | None = None
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                # Ctrl-C is for us: running requests are finished before the engine is ended.
                start_new_session=True,
            )
        except OSError as error:
            self._error_lines.append(f"cannot start {self._command[0]}: {error}")
            self._count_death(lived_us=0)
            return
        listening = asyncio.create_task(self._keep_error_lines(process))
        try:
            async with asyncio.timeout(self._plan.start_us_max / SECOND) as limit:
                self._url = await _read_url(process)
                if self._url is not None:
                    limit.reschedule(None)
                    ready_at = loop.time()
                    self._changed.set()
                await process.wait()
        except TimeoutError:
            self._error_lines.append("it was not ready in time and was ended")
        finally:
            self._url = None
            await _end_process(process)
            await _finish(listening)
            self._process = None
        self._error_lines.append(f"it ended with code {process.returncode}")
        lived = loop.time() - ready_at if ready_at is not None else 0.0
        self._count_death(lived_us=round(lived * SECOND))

    def _count_death(self, *, lived_us: int) -> None:
        self._deaths = 1 if lived_us >= self._plan.steady_us else self._deaths + 1
        self._changed.set()

    async def _keep_error_lines(self, process: Process) -> None:
        assert process.stderr is not None
        rest = b""
        while data := await process.stderr.read(_READ_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-_READ_BYTES:]
            for line in lines[-ERROR_LINES_KEPT:]:
                self._error_lines.append(_clean(line))
        if rest:
            self._error_lines.append(_clean(rest))


async def _read_url(process: Process) -> str | None:
    """The URL of the child's ready line, or None when it ended without one."""
    assert process.stdout is not None
    rest = b""
    while data := await process.stdout.read(READY_LINE_BYTES_MAX):
        *lines, rest = (rest + data).split(b"\n")
        rest = rest[-READY_LINE_BYTES_MAX:]
        for line in lines:
            if (url := parse_ready_line(line)) is not None:
                return url
    return None


async def _end_process(process: Process) -> None:
    """End a child: ask by closing its input, then by SIGTERM, then not at all."""
    assert process.stdin is not None
    process.stdin.close()
    for demand in (process.terminate, process.kill):
        if process.returncode is not None:
            return
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
                return
        except TimeoutError:
            with suppress(ProcessLookupError):
                demand()
    await process.wait()


async def _finish(listening: asyncio.Task[None]) -> None:
    """Let the reader of the last words come to the end, unless a grandchild holds the pipe."""
    await asyncio.wait([listening], timeout=END_SECONDS)
    listening.cancel()


def _clean(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()[:ERROR_LINE_LENGTH_MAX]
