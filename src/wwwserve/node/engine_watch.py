"""Reading the engines' state, over and over, so that the peer knows who can take work."""

import asyncio
from collections.abc import Callable, Mapping

from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.core.events import EngineRead, Event, SetModels
from wwwserve.core.sessions import ServedModel
from wwwserve.ports.engine import Engine
from wwwserve.values.limits import ENGINE_POLL_US
from wwwserve.values.moments import SECOND


class EngineWatch:
    """Reads each engine about once a second, and at once when asked (after a failure)."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        describe: Callable[[EngineReading], tuple[ServedModel, ...]],
        deliver: Callable[[Event], None],
    ) -> None:
        """`describe` says what is served, given what the engine says it has."""
        self._engines = engines
        self._describe = describe
        self._deliver = deliver
        self._models: dict[str, tuple[ServedModel, ...]] = {}
        self._wake = {name: asyncio.Event() for name in engines}
        self._known = {name: asyncio.Event() for name in engines}

    def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Begin reading; the tasks run until they are cancelled."""
        return [tasks.create_task(self._watch(name)) for name in self._engines]

    def read_now(self, name: str) -> None:
        """Do not wait for the period's end to look at this engine."""
        self._wake[name].set()

    async def wait_known(self) -> None:
        """Wait until every engine has been seen ready, or seen to be away."""
        for known in self._known.values():
            await known.wait()

    async def _watch(self, name: str) -> None:
        engine, wake = self._engines[name], self._wake[name]
        while True:
            wake.clear()
            self._report(name, await engine.read_state())
            try:
                async with asyncio.timeout(ENGINE_POLL_US / SECOND):
                    await wake.wait()
            except TimeoutError:
                continue

    def _report(self, name: str, reading: EngineReading) -> None:
        if reading.health is EngineHealth.READY:
            models = self._describe(reading)
            # An engine that is away for a while still serves what it served: only a reading
            # that names models can change them.
            if models and models != self._models.get(name):
                self._models[name] = models
                served = [model for group in self._models.values() for model in group]
                self._deliver(SetModels(tuple(served)))
        self._deliver(EngineRead(name, reading))
        if reading.health is not EngineHealth.LOADING:
            self._known[name].set()
