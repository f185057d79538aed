"""The mock engine in a process of its own: ready by one line, gone when nobody holds its input."""

import asyncio
import sys

import msgspec

from wwwserve.adapters.engines import (
    EngineSettings,
    RestartPlan,
    ServerState,
    SupervisedServer,
    open_http_engine,
)
from wwwserve.core.engines import EngineHealth
from wwwserve.ports.engine import EngineRequest
from wwwserve.wire import Endpoint

COMMAND = (sys.executable, "-m", "wwwserve.adapters.engines.mock_server")
END_SECONDS = 10


async def test_it_serves_what_its_command_line_says() -> None:
    flags = ("--model", "org/a", "--model", "org/b", "--tokens", "3", "--slots", "2")
    server = SupervisedServer((*COMMAND, *flags, "--llama-server"), RestartPlan(deaths_max=1))
    server.start()
    await server.wait_for(ServerState.READY, ServerState.FAILING)
    assert server.url is not None, server.detail
    engine = open_http_engine(EngineSettings("mock", server.url))
    reading = await engine.read_state()
    assert reading.health is EngineHealth.READY
    assert [model.name for model in reading.models] == ["org/a", "org/b"]
    assert reading.slots == 2
    run = engine.start(EngineRequest(Endpoint.CHAT, b'{"model": "org/a", "messages": []}'))
    body = await run.read()
    assert body is not None
    assert msgspec.json.decode(body)["usage"]["completion_tokens"] == 3
    await run.stop()
    await engine.close()
    await server.close()


async def test_it_ends_when_its_input_closes() -> None:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe, stderr=pipe)
    assert child.stdin is not None
    assert child.stdout is not None
    assert b'"ready":true' in await child.stdout.readline()
    child.stdin.close()
    async with asyncio.timeout(END_SECONDS):
        _, errors = await child.communicate()
    assert (child.returncode, errors) == (0, b"")
