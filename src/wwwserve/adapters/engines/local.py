"""The local engine: a real model on this machine, for people who have no LLM server of their own.

A child process runs llama.cpp's server in front of one GGUF file (`local_server`); this side keeps
it alive and talks to it as to any llama-server.
"""

import sys
from dataclasses import replace

from wwwserve.adapters.engines.kinds import open_http_engine
from wwwserve.adapters.engines.local_command import build_arguments, resolve_local
from wwwserve.adapters.engines.openai_http import HttpEngine
from wwwserve.adapters.engines.settings import EngineSettings, LocalSettings
from wwwserve.adapters.engines.supervised import ServerState, SupervisedServer
from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.ports.engine import EngineFailure, EngineRequest, EngineRun
from wwwserve.values.refusals import FailureKind

_SERVER_MODULE = "wwwserve.adapters.engines.local_server"
# What the child was started with but does not tell by itself.
_EXTRA_CAPABILITIES = ("embeddings",)


class LocalEngine:
    """An engine whose process this node starts, restarts and ends.

    Made in a running event loop; the child starts at once and loads its model meanwhile. Raises
    `BadInput` when the model file or the `local` extra is missing.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = resolve_local(settings)
        command = (sys.executable, "-m", _SERVER_MODULE, *build_arguments(self._settings))
        self._server = SupervisedServer(command, settings.restart)
        self._server.start()
        self._http: HttpEngine | None = None
        self._http_url: str | None = None
        self._stale: list[HttpEngine] = []

    @property
    def name(self) -> str:
        """The engine's name in the configuration."""
        return self._settings.name

    @property
    def server(self) -> SupervisedServer:
        """The child process, to wait for."""
        return self._server

    async def read_state(self) -> EngineReading:
        """Read health, load and models now; the port's promise."""
        http = self._get_http()
        await self._close_stale()
        if http is None:
            return self._explain_absence()
        reading = await http.read_state()
        if reading.health is not EngineHealth.READY:
            return reading
        capabilities = (*reading.capabilities, *_EXTRA_CAPABILITIES)
        return replace(reading, capabilities=capabilities, software="local llama.cpp")

    def start(self, request: EngineRequest) -> EngineRun:
        """Begin a request; the port's promise."""
        http = self._get_http()
        if http is None:
            return _FailedRun(self._explain_absence().detail)
        return http.start(request)

    async def close(self) -> None:
        """Free all connections and end the child process."""
        if self._http is not None:
            self._stale.append(self._http)
            self._http = None
        await self._close_stale()
        await self._server.close()

    def _get_http(self) -> HttpEngine | None:
        """The client of the running child; each child has an address of its own."""
        url = self._server.url
        if url != self._http_url:
            if self._http is not None:
                self._stale.append(self._http)
            self._http_url = url
            self._http = None
            if url is not None:
                settings = EngineSettings(name=self.name, url=url, kind="llama-server")
                self._http = open_http_engine(settings)
        return self._http

    async def _close_stale(self) -> None:
        """Free the connections to children that are gone."""
        while self._stale:
            await self._stale.pop().close()

    def _explain_absence(self) -> EngineReading:
        if self._server.state is ServerState.FAILING:
            detail = f"the local engine keeps dying; its last words:\n{self._server.detail}"
            return EngineReading(EngineHealth.UNAVAILABLE, detail)
        return EngineReading(EngineHealth.LOADING, "the local engine is loading its model")


class _FailedRun:
    """A request for which there was no engine when it began."""

    def __init__(self, detail: str) -> None:
        self._detail = detail

    async def read(self) -> bytes | None:
        """Raise what happened."""
        raise EngineFailure(FailureKind.UNAVAILABLE, self._detail)

    async def stop(self) -> None:
        """Nothing runs."""
