"""Reading the engines' state, over and over, so that the peer knows who can take work."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.core.events import EngineRead, Event, SetModels
from wwwserve.core.sessions import ServedModel
from wwwserve.node.config import Config, EngineConfig
from wwwserve.node.serving import Service, describe_service, explain_absent
from wwwserve.ports.engine import Engine
from wwwserve.values.limits import ENGINE_POLL_US
from wwwserve.values.moments import SECOND

_REMOVED = EngineReading(EngineHealth.UNAVAILABLE, "it is not in the configuration any more")


class EngineWatch:
    """Reads each engine about once a second, and at once when asked (after a failure)."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        config: Config,
        tasks: asyncio.TaskGroup,
        deliver: Callable[[Event], None],
    ) -> None:
        """`engines` has an engine for each that `config` names, also after it changes."""
        self._engines = engines
        self._config = config
        self._tasks = tasks
        self._deliver = deliver
        self._watched: dict[str, _Watched] = {}
        self._served: tuple[ServedModel, ...] = ()

    def start(self) -> None:
        """Begin reading, until `end`."""
        for engine in self._config.engines:
            self._watch(engine.name)

    def end(self) -> None:
        """Read nothing any more."""
        for watched in self._watched.values():
            watched.stop()

    def read_now(self, name: str) -> None:
        """Do not wait for the period's end to look at this engine; one that is gone is not read."""
        if (watched := self._watched.get(name)) is not None:
            watched.wake.set()

    async def wait_known(self) -> None:
        """Wait until every engine has been seen ready, or seen to be away."""
        for watched in tuple(self._watched.values()):
            await watched.known.wait()

    def set_config(self, config: Config) -> None:
        """From now on this is what the operator wants; engines that came and went are noticed.

        What an engine said before, it still says: models change at once, without reading it anew.
        """
        self._config = config
        named = {engine.name for engine in config.engines}
        removed = [name for name in self._watched if name not in named]
        for name in removed:
            self._watched.pop(name).stop()
        for engine in config.engines:
            if engine.name not in self._watched:
                self._watch(engine.name)
            else:
                self._describe(engine, self._watched[engine.name])
                self.read_now(engine.name)
        self._tell_models()
        for name in removed:
            self._deliver(EngineRead(name, _REMOVED))

    def _watch(self, name: str) -> None:
        watched = self._watched[name] = _Watched()
        watched.task = self._tasks.create_task(self._read_always(name, watched))

    async def _read_always(self, name: str, watched: "_Watched") -> None:
        while True:
            watched.wake.clear()
            engine = self._engines[name]
            reading = await engine.read_state()
            if self._engines[name] is not engine:
                continue  # Another one has its place: what the old one says is no news of it.
            self._report(name, watched, reading)
            try:
                async with asyncio.timeout(ENGINE_POLL_US / SECOND):
                    await watched.wake.wait()
            except TimeoutError:
                continue

    def _report(self, name: str, watched: "_Watched", reading: EngineReading) -> None:
        watched.reading = reading
        self._describe(self._get_config(name), watched)
        self._tell_models()
        self._deliver(EngineRead(name, replace(reading, detail=self._explain(name, watched))))
        if reading.health is not EngineHealth.LOADING:
            watched.known.set()

    def _describe(self, engine: EngineConfig, watched: "_Watched") -> None:
        """What the engine serves, by its last words; an engine that is away serves what it did."""
        reading = watched.reading
        if reading is None or reading.health is not EngineHealth.READY:
            return
        service = describe_service(self._config, engine, reading)
        if service.models or reading.models:
            watched.service = service

    def _tell_models(self) -> None:
        served = self._list_models()
        if served != self._served:
            self._served = served
            self._deliver(SetModels(served))

    def _explain(self, name: str, watched: "_Watched") -> str:
        """What is wrong with an engine, by its own word and by the configuration's."""
        assert watched.reading is not None
        details = [watched.reading.detail]
        if watched.reading.health is EngineHealth.READY and watched.service is not None:
            details.append(watched.service.detail)
            services = self._list_services()
            is_first = name == self._config.engines[0].name
            if is_first and len(services) == len(self._config.engines):
                # It is no engine's fault; said once, where an operator looks first.
                details.append(explain_absent(services))
        return "; ".join(detail for detail in details if detail)

    def _list_models(self) -> tuple[ServedModel, ...]:
        return tuple(model for service in self._list_services() for model in service.models)

    def _list_services(self) -> list[Service]:
        """Of those engines that were ready once, in the configuration's order."""
        watched = (self._watched.get(engine.name) for engine in self._config.engines)
        return [one.service for one in watched if one is not None and one.service is not None]

    def _get_config(self, name: str) -> EngineConfig:
        return next(engine for engine in self._config.engines if engine.name == name)


@dataclass(slots=True)
class _Watched:
    """One engine that is read, and what it last said."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    known: asyncio.Event = field(default_factory=asyncio.Event)
    """It has been seen ready, or seen to be away."""
    task: asyncio.Task[None] | None = None
    reading: EngineReading | None = None
    service: Service | None = None
    """What it served when it last was ready and named its models."""

    def stop(self) -> None:
        """Read it no more; nobody waits to know it, either."""
        self.known.set()
        if self.task is not None:
            self.task.cancel()
