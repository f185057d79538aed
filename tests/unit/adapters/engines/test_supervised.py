"""A supervised server comes back when it dies, says why when it keeps dying, and ends with us.

The children are small scripts that speak the readiness protocol.
"""

import asyncio
import os
import signal
import sys

import pytest

from wwwserve.adapters.engines import RestartPlan, ServerState, SupervisedServer
from wwwserve.adapters.engines.readiness import READY_LINE_BYTES_MAX, parse_ready_line

pytestmark = pytest.mark.slow  # A process takes its time to start.

QUICK = RestartPlan(first_wait_us=1_000, wait_us_max=10_000, deaths_max=2)
READY = 'print(\'{"ready": true, "url": "http://127.0.0.1:1"}\', flush=True)'
STAY = f"import sys; {READY}; sys.stdin.read()"
DIE = "import sys; sys.exit('no room for the model')"


def make_server(script: str, plan: RestartPlan = QUICK) -> SupervisedServer:
    server = SupervisedServer((sys.executable, "-c", script), plan)
    server.start()
    return server


async def test_it_is_starting_then_ready_and_gone_when_closed() -> None:
    server = make_server(STAY)
    assert (server.state, server.url) == (ServerState.STARTING, None)
    await server.wait_for(ServerState.READY)
    assert server.url == "http://127.0.0.1:1"
    child = server.pid
    assert child is not None
    await server.close()
    await server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert server.url is None


async def test_a_killed_child_is_replaced() -> None:
    server = make_server(STAY)
    await server.wait_for(ServerState.READY)
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await server.wait_for(ServerState.STARTING)
    await server.wait_for(ServerState.READY)
    assert server.pid != first
    await server.close()


async def test_one_that_keeps_dying_is_failing_and_its_last_words_are_kept() -> None:
    server = make_server(DIE)
    await server.wait_for(ServerState.FAILING)
    assert "no room for the model" in server.detail
    await server.close()


async def test_a_program_that_is_not_there_is_failing() -> None:
    server = SupervisedServer(("/no/such/program",), QUICK)
    server.start()
    await server.wait_for(ServerState.FAILING)
    assert "/no/such/program" in server.detail
    await server.close()


@pytest.mark.parametrize("before", ["", "os.close(1); "])
async def test_one_that_is_never_ready_is_ended_and_counted(before: str) -> None:
    plan = RestartPlan(first_wait_us=1_000, deaths_max=1, start_us_max=300_000)
    server = make_server(f"import os, sys; {before}sys.stdin.read()", plan)
    await server.wait_for(ServerState.FAILING)
    assert "not ready in time" in server.detail
    await server.close()


async def test_a_child_that_was_steady_has_earned_a_new_row() -> None:
    plan = RestartPlan(first_wait_us=1_000, deaths_max=2, steady_us=0)
    server = make_server(STAY, plan)
    for _ in range(3):
        await server.wait_for(ServerState.READY)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_for(ServerState.STARTING, ServerState.FAILING)
        assert server.state is ServerState.STARTING
    await server.close()


async def test_closing_while_it_starts_leaves_nothing_behind() -> None:
    server = make_server("import sys; sys.stdin.read()")
    async with asyncio.timeout(10):
        while server.pid is None:  # noqa: ASYNC110 - it has no event for being born
            await asyncio.sleep(0.01)
    child = server.pid
    await server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(
    ("line", "url"),
    [
        (b'{"ready": true, "url": "http://h:1"}', "http://h:1"),
        (b'{"ready": false, "url": "http://h:1"}', None),
        (b'{"url": "http://h:1"}', None),
        (b"loading model ...", None),
        (b"\xff", None),
        (b'{"ready": true, "url": "\xe0"}', None),
        (b'{"ready": true, "url": "' + b"h" * READY_LINE_BYTES_MAX + b'"}', None),
    ],
)
def test_only_a_ready_line_is_one(line: bytes, url: str | None) -> None:
    assert parse_ready_line(line) == url
