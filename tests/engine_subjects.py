"""Engines for a suite to examine: a mock as each kind of engine, an emulated one, a real one."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
import pytest

from tests.fakes.engines.dresses import DRESSES, Dress
from wwwserve.adapters.engines import (
    EmulatedSettings,
    EngineSettings,
    LocalEngine,
    LocalSettings,
    MockEngineServer,
    MockSettings,
    ServerState,
    get_default_model_path,
    open_http_engine,
)
from wwwserve.adapters.engines.emulated import open_emulated
from wwwserve.enginemodel import find_profile
from wwwserve.ports.engine import Engine, EngineFailure, EngineRequest, EngineRun
from wwwserve.values.limits import STALL_US
from wwwserve.wire import Endpoint

WAIT_SECONDS = 30
MESSAGES = [{"role": "user", "content": "Count from one to one hundred."}]


@dataclass
class Subject:
    """An engine under test, and how to see what it is really doing."""

    engine: Engine
    get_running: Callable[[], Awaitable[int]]


@dataclass
class MockSubject(Subject):
    """An engine whose other side is ours."""

    server: MockEngineServer


async def open_mock(
    settings: MockSettings, kind: str, stall_us: int = STALL_US, dress: Dress | None = None
) -> MockSubject:
    pages = dress.build_live() if dress else None
    server = await MockEngineServer(settings, pages).__aenter__()

    async def get_running() -> int:
        return server.counts.running

    engine = open_http_engine(EngineSettings("mock", server.url, kind, stall_us=stall_us))
    return MockSubject(engine, get_running, server)


@dataclass
class EmulatedSubject(Subject):
    """An engine that takes the time a GPU would."""

    server: AsyncExitStack
    """Closing it ends the engine."""


async def open_gpu() -> EmulatedSubject:
    profile = msgspec.structs.replace(find_profile("H100-80GB-SXM:Qwen3-8B"), model="any")
    server = AsyncExitStack()
    url = await server.enter_async_context(open_emulated(EmulatedSettings(profile), _never_crash))
    engine = open_http_engine(EngineSettings("emulated", url))
    return EmulatedSubject(engine, lambda: _read_running(engine), server)


def _never_crash() -> None:
    raise AssertionError("no fault was asked for")


async def _read_running(engine: Engine) -> int:
    running = (await engine.read_state()).running
    assert running is not None
    return running


async def open_local() -> Subject:
    if not get_default_model_path().is_file():
        assert not os.environ.get("CI"), "run `wwwserve engine fetch` first"
        pytest.skip("no model here: run `wwwserve engine fetch`")
    engine = LocalEngine(LocalSettings(slots=2, context_tokens=1_024))
    await engine.server.wait_for(ServerState.READY)
    return Subject(engine, lambda: _read_running(engine))


MOCKS = {
    "openai": MockSettings(slots=2),
    "llama-server": MockSettings(slots=2, is_llama_server=True),
}
DRESSED = {dress.engine: dress for dress in DRESSES if dress.engine not in MOCKS}
"""The newest version of each other kind."""
KINDS = [*MOCKS, *DRESSED]


async def open_kind(kind: str) -> MockSubject:
    """The mock as one kind of engine, behind that kind's adapter."""
    settings = MOCKS.get(kind, MockSettings(slots=2))
    return await open_mock(settings, kind, dress=DRESSED.get(kind))


def ask(endpoint: Endpoint = Endpoint.CHAT, **fields: object) -> EngineRequest:
    body: dict[str, object] = {"model": "any", "stream": True, "messages": MESSAGES}
    return EngineRequest(endpoint, msgspec.json.encode(body | fields))


async def read_all(run: EngineRun) -> bytes:
    pieces = []
    try:
        while (piece := await run.read()) is not None:
            assert piece
            pieces.append(piece)
    finally:
        await run.stop()
    return b"".join(pieces)


async def read_failure(run: EngineRun) -> EngineFailure:
    with pytest.raises(EngineFailure) as caught:
        await read_all(run)
    return caught.value


async def wait_for(get_number: Callable[[], Awaitable[int]], number: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await get_number() != number:  # noqa: ASYNC110 - the engine cannot tell us
            await asyncio.sleep(0.01)


async def wait_for_running(subject: Subject, count: int) -> None:
    await wait_for(subject.get_running, count)
