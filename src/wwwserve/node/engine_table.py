"""The open engines of a node, by name, while they may come and go.

An engine that is taken out, or replaced under its name, gets no new work; it is closed when the
last request it runs is over, so that a change of the configuration costs nobody an answer.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from wwwserve.core.engines import EngineReading
from wwwserve.ports.engine import Engine, EngineRequest, EngineRun

RETIRING_MAX = 64
"""Engines taken out that still run something; of more, the oldest is closed with what it runs."""


class EngineTable(Mapping[str, Engine]):
    """Looks engines up by name, and closes them when they are not needed any more."""

    def __init__(self) -> None:
        self._held: dict[str, _HeldEngine] = {}
        self._retiring: dict[_HeldEngine, None] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> Engine:
        """The engine that takes new work under this name."""
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in the order in which they came."""
        return iter(self._held)

    def __len__(self) -> int:
        """How many take new work."""
        return len(self._held)

    def put(self, engine: Engine) -> None:
        """From now on this engine has its name; one that had it before finishes and is closed."""
        self._retire(self._held.get(engine.name))
        self._held[engine.name] = _HeldEngine(engine, self._on_idle)

    def remove(self, name: str) -> None:
        """Give this engine no more work; it finishes what it runs and is closed."""
        self._retire(self._held.pop(name, None))

    async def close(self) -> None:
        """Close all of them, with what they run."""
        for held in (*self._held.values(), *self._retiring):
            self._close(held)
        self._held.clear()
        self._retiring.clear()
        await asyncio.gather(*self._closing)

    def _retire(self, held: "_HeldEngine | None") -> None:
        if held is None:
            return
        if held.runs == 0:
            self._close(held)
            return
        self._retiring[held] = None
        if len(self._retiring) > RETIRING_MAX:
            oldest = next(iter(self._retiring))
            del self._retiring[oldest]
            self._close(oldest)

    def _on_idle(self, held: "_HeldEngine") -> None:
        if held in self._retiring:
            del self._retiring[held]
            self._close(held)

    def _close(self, held: "_HeldEngine") -> None:
        """In the background: whoever read the last answer does not wait for it."""
        task = asyncio.get_running_loop().create_task(held.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _HeldEngine:
    """An engine that knows how many requests it runs."""

    __slots__ = ("_engine", "_on_idle", "runs")

    def __init__(self, engine: Engine, on_idle: "Callable[[_HeldEngine], None]") -> None:
        self._engine = engine
        self._on_idle = on_idle
        self.runs = 0

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self._engine.name

    async def read_state(self) -> EngineReading:
        """See `Engine`."""
        return await self._engine.read_state()

    def start(self, request: EngineRequest) -> EngineRun:
        """See `Engine`."""
        run = _CountedRun(self, self._engine.start(request))
        self.runs += 1
        return run

    async def close(self) -> None:
        """See `Engine`."""
        await self._engine.close()

    def end_run(self) -> None:
        """One request is over."""
        self.runs -= 1
        if self.runs == 0:
            self._on_idle(self)


class _CountedRun:
    """A run that tells when it is over. Its `read` is the engine's own: no token pays for this."""

    __slots__ = ("_held", "_run", "read")

    def __init__(self, held: _HeldEngine, run: EngineRun) -> None:
        self._held: _HeldEngine | None = held
        self._run = run
        self.read = run.read

    async def stop(self) -> None:
        """See `EngineRun`."""
        held, self._held = self._held, None
        try:
            await self._run.stop()
        finally:
            if held is not None:
                held.end_run()
