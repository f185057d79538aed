"""The local engine with its real model: it answers, comes back when killed, and dies with its node.

Needs the model file (`wwwserve engine fetch`); under CI=true its absence is a failure.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest

from wwwserve.adapters.engines import (
    FETCHED_MODEL,
    EngineSettings,
    LocalEngine,
    LocalSettings,
    RestartPlan,
    ServerState,
    get_default_model_path,
    open_http_engine,
)
from wwwserve.adapters.engines.readiness import parse_ready_line
from wwwserve.core.engines import EngineHealth
from wwwserve.ports.engine import Engine, EngineFailure, EngineRequest
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Endpoint

END_SECONDS = 10
BEGIN_SECONDS = 30
LONG_TOKENS = 400
QUICK = RestartPlan(first_wait_us=1_000, wait_us_max=10_000, deaths_max=2)
SERVER = "wwwserve.adapters.engines.local_server"


@pytest.fixture(scope="module", autouse=True)
def model_file() -> None:
    if not get_default_model_path().is_file():
        assert not os.environ.get("CI"), "run `wwwserve engine fetch` first"
        pytest.skip("no model here: run `wwwserve engine fetch`")


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(LocalSettings(slots=2, context_tokens=512, restart=QUICK))
    yield engine
    await engine.close()


async def ask(engine: Engine, question: str, tokens: int = 24) -> str:
    body = {
        "model": FETCHED_MODEL.model_name,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "ignore_eos": tokens == LONG_TOKENS,
        "temperature": 0,
        "stream": True,
    }
    run = engine.start(EngineRequest(Endpoint.CHAT, msgspec.json.encode(body)))
    answer = b""
    try:
        while (piece := await run.read()) is not None:
            answer += piece
    finally:
        await run.stop()
    events = [msgspec.json.decode(event[6:]) for event in answer.split(b"\n\n") if b"{" in event]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


async def wait_until_it_answers(engine: Engine) -> None:
    async with asyncio.timeout(BEGIN_SECONDS):
        while (await engine.read_state()).running != 1:  # noqa: ASYNC110 - it cannot tell us
            await asyncio.sleep(0.01)


async def test_it_loads_then_answers_a_question_with_sense(engine: LocalEngine) -> None:
    assert (await engine.read_state()).health is EngineHealth.LOADING
    with pytest.raises(EngineFailure) as caught:
        await ask(engine, "Are you there yet?")
    assert caught.value.kind is FailureKind.UNAVAILABLE
    await engine.server.wait_for(ServerState.READY)
    reading = await engine.read_state()
    assert [(model.name, model.context_tokens) for model in reading.models] == [
        (FETCHED_MODEL.model_name, 512)
    ]
    assert (reading.slots, reading.running, reading.waiting) == (2, 0, 0)
    assert "embeddings" in reading.capabilities
    assert "Paris" in await ask(engine, "Complete: the capital of France is the city of")


async def test_killed_it_comes_back_and_serves(engine: LocalEngine) -> None:
    await engine.server.wait_for(ServerState.READY)
    first = engine.server.pid
    assert first is not None
    assert await ask(engine, "Say hello.")
    os.kill(first, signal.SIGKILL)
    await engine.server.wait_for(ServerState.STARTING)
    assert (await engine.read_state()).health is EngineHealth.LOADING
    await engine.server.wait_for(ServerState.READY)
    assert (await engine.read_state()).health is EngineHealth.READY
    assert await ask(engine, "Say hello.")


async def test_a_file_that_is_no_model_is_unavailable_with_the_engines_words(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("models") / "no model.gguf"
    path.write_bytes(b"GGUF, but nothing else of one")
    engine = LocalEngine(LocalSettings(model_path=path, restart=QUICK))
    await engine.server.wait_for(ServerState.FAILING)
    reading = await engine.read_state()
    assert reading.health is EngineHealth.UNAVAILABLE
    assert "no model.gguf" in reading.detail
    await engine.close()


async def test_closing_in_the_middle_of_an_answer_leaves_no_process(engine: LocalEngine) -> None:
    await engine.server.wait_for(ServerState.READY)
    child = engine.server.pid
    assert child is not None
    asking = asyncio.create_task(ask(engine, "Write a long story.", LONG_TOKENS))
    await wait_until_it_answers(engine)
    await engine.close()
    with pytest.raises(EngineFailure):
        await asking
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_it_ends_when_its_node_is_killed_even_in_the_middle_of_an_answer() -> None:
    # The pipe to its standard input is all that ties it to us; closing it is what a kill does.
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    url = parse_ready_line(await child.stdout.readline())
    assert url is not None
    engine = open_http_engine(EngineSettings("orphan", url))
    asking = asyncio.create_task(ask(engine, "Write a long story.", LONG_TOKENS))
    await wait_until_it_answers(engine)
    child.stdin.close()
    async with asyncio.timeout(END_SECONDS):
        await child.wait()
    await asyncio.wait([asking])
    asking.exception()
    await engine.close()


async def test_in_the_foreground_it_ends_well_at_the_first_signal() -> None:
    code = (
        "from wwwserve.adapters.engines import LocalSettings, serve_local\n"
        "serve_local(LocalSettings(slots=1), lambda url: print(url, flush=True))"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    url = (await child.stdout.readline()).decode().strip()
    engine = open_http_engine(EngineSettings("alone", url))
    assert (await engine.read_state()).health is EngineHealth.READY
    await engine.close()
    child.send_signal(signal.SIGINT)
    async with asyncio.timeout(END_SECONDS):
        assert await child.wait() == 0
