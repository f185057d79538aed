"""The emulated engine over HTTP: in time like its model, in shape like vLLM, and broken on demand.

Behaviour is asked of engines in this process, sped up so that waiting is short; what takes how long
is never asserted there. The three measured runs are replayed against processes of their own, whole,
at a speedup at which one core keeps up; the engine's own account of how late it was is checked.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import msgspec
import pytest

from wwwserve.adapters.engines import (
    EmulatedSettings,
    EngineSettings,
    RestartPlan,
    ServerState,
    SupervisedServer,
    open_http_engine,
    parse_fault,
)
from wwwserve.adapters.engines.emulated import open_emulated
from wwwserve.adapters.engines.emulated_server import CRASH_STATUS
from wwwserve.core.engines import EngineHealth
from wwwserve.enginemodel import find_profile

COMMAND = (sys.executable, "-m", "wwwserve.adapters.engines.emulated_server")
PROFILE = find_profile("H100-80GB-SXM:Qwen3-8B")
WAIT_SECONDS = 20
QUIET_SECONDS = 0.3
"""Long after the tokens of a fast engine would have come."""
BODY = {
    "model": "Qwen3-8B",
    "messages": [{"role": "user", "content": "how wide is the sea"}],
    "max_tokens": 10,
    "ignore_eos": True,
}


@dataclass
class Emulated:
    """An engine in this process, and a client of it."""

    url: str
    session: aiohttp.ClientSession
    crashes: list[None] = field(default_factory=list)

    async def post(self, path: str = "/v1/chat/completions", **fields: object) -> tuple[int, bytes]:
        async with self.session.post(self.url + path, json=BODY | fields) as response:
            return response.status, await response.read()

    async def get(self, path: str) -> str:
        async with self.session.get(self.url + path) as response:
            assert response.status == 200
            return await response.text()

    async def read_metric(self, name: str) -> float:
        lines = (await self.get("/metrics")).splitlines()
        return float(next(line for line in lines if line.startswith(f"{name}{{")).split()[-1])

    async def wait_for_metric(self, name: str, value: float) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.read_metric(name) != value:  # noqa: ASYNC110 - a page has no event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def open_engine(
    *faults: str, speedup: float = 100.0, slots: int = 0
) -> AsyncIterator[Emulated]:
    settings = EmulatedSettings(
        PROFILE, speedup=speedup, slots=slots, faults=tuple(parse_fault(text) for text in faults)
    )
    crashes: list[None] = []
    async with (
        open_emulated(settings, lambda: crashes.append(None)) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Emulated(url, session, crashes)


async def test_an_answer_is_as_long_as_asked_and_counted() -> None:
    async with open_engine() as engine:
        status, body = await engine.post()
        answer = msgspec.json.decode(body)
        assert status == 200
        assert answer["usage"] == {"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 15}
        assert len(answer["choices"][0]["message"]["content"].split()) == 10
        assert answer["choices"][0]["finish_reason"] == "length"
        assert await engine.read_metric("vllm:generation_tokens_total") == 10


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"n": 2}),
        ("/v1/completions", {"prompt": "how wide is the sea"}),
    ],
)
async def test_a_stream_says_what_the_whole_answer_says(
    path: str, fields: dict[str, object]
) -> None:
    async with open_engine() as engine:
        _, whole = await engine.post(path, **fields)
        options = {"include_usage": True}
        _, stream = await engine.post(path, stream=True, stream_options=options, **fields)
    events = [line.removeprefix(b"data: ") for line in stream.split(b"\n\n") if line]
    assert events[-1] == b"[DONE]"
    chunks = [msgspec.json.decode(event) for event in events[:-1]]
    answer = msgspec.json.decode(whole)
    assert chunks[-1]["usage"] == answer["usage"]
    for choice in answer["choices"]:
        parts = [
            part
            for chunk in chunks
            for part in chunk["choices"]
            if part["index"] == choice["index"]
        ]
        said = "".join(
            part.get("text") or part.get("delta", {}).get("content") or "" for part in parts
        )
        assert said == (choice.get("text") or choice["message"]["content"])
        assert parts[-1]["finish_reason"] == choice["finish_reason"]


async def test_it_embeds() -> None:
    async with open_engine() as engine:
        status, body = await engine.post("/v1/embeddings", input=["a", "b", "a"])
    vectors = [item["embedding"] for item in msgspec.json.decode(body)["data"]]
    assert status == 200
    assert vectors[0] == vectors[2] != vectors[1]


async def test_a_wrong_request_is_an_openai_error() -> None:
    async with open_engine() as engine:
        status, body = await engine.post(model="gpt-4")
    assert status == 404
    assert "this is `Qwen3-8B`" in msgspec.json.decode(body)["error"]["message"]


async def test_a_node_takes_it_for_vllm() -> None:
    async with open_engine(speedup=1.0, slots=1) as engine:
        adapter = open_http_engine(EngineSettings("emulated", engine.url))
        posts = [asyncio.create_task(engine.post(max_tokens=20_000)) for _ in range(3)]
        await engine.wait_for_metric("vllm:num_requests_waiting", 2)
        reading = await adapter.read_state()
        assert reading.health is EngineHealth.READY
        assert reading.software.startswith("vLLM")
        assert (reading.running, reading.waiting) == (1, 2)
        assert reading.kv_used_permille is not None
        assert [(model.name, model.context_tokens) for model in reading.models] == [
            ("Qwen3-8B", 32_768)
        ]
        await adapter.close()
        # Its clients leave, and it stops working for them.
        for post in posts:
            post.cancel()
        await engine.wait_for_metric("vllm:num_requests_waiting", 0)
        await engine.wait_for_metric("vllm:num_requests_running", 0)
        assert await engine.read_metric("vllm:kv_cache_usage_perc") == 0


async def test_pages_are_those_of_vllm() -> None:
    async with open_engine() as engine:
        assert await engine.get("/health") == ""
        assert msgspec.json.decode(await engine.get("/version"))["version"]
        assert await engine.read_metric("vllm:num_preemptions_total") == 0


async def test_fault_5xx() -> None:
    async with open_engine("5xx") as engine:
        status, body = await engine.post()
        assert status == 500
        assert msgspec.json.decode(body)["error"]["type"] == "EngineError"


async def test_a_share_of_requests_is_drawn_from_the_seed() -> None:
    rows = []
    for _ in range(2):
        async with open_engine("5xx:30%") as engine:
            rows.append([(await engine.post(max_tokens=1))[0] for _ in range(40)])
    assert rows[0] == rows[1]
    assert 4 <= rows[0].count(500) <= 20


async def test_a_fault_that_is_not_due_yet_does_nothing() -> None:
    async with open_engine("5xx@3600") as engine:
        assert (await engine.post())[0] == 200


async def check_silence_after(engine: Emulated, words: int) -> None:
    """A stream of ten words gives so many, and then nothing, not even its end."""
    fields = {"prompt": "sea", "max_tokens": 10, "ignore_eos": True, "stream": True}
    async with engine.session.post(engine.url + "/v1/completions", json=fields) as response:
        for _ in range(words):
            async with asyncio.timeout(WAIT_SECONDS):
                assert b'"text"' in await response.content.readuntil(b"\n\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS):
                await response.content.read(1)


@pytest.mark.parametrize("kind", ["hang", "crash"])
async def test_half_an_answer_and_then_nothing(kind: str) -> None:
    async with open_engine(kind) as engine:
        await check_silence_after(engine, 5)
        assert len(engine.crashes) == (kind == "crash")


async def test_a_drip_is_slow_however_fast_the_engine() -> None:
    async with open_engine("drip") as engine:
        await check_silence_after(engine, 0)


async def test_a_crashed_process_is_gone() -> None:
    pipe = asyncio.subprocess.PIPE
    flags = ("--profile", PROFILE.name, "--speedup", "100", "--fault", "crash")
    child = await asyncio.create_subprocess_exec(*COMMAND, *flags, stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    url = msgspec.json.decode(await child.stdout.readline())["url"]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await Emulated(url, session).post()
    async with asyncio.timeout(WAIT_SECONDS):
        assert await child.wait() == CRASH_STATUS


async def run_command(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "wwwserve.cli", "engine", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)


async def test_the_command_serves_until_it_is_told_to_end() -> None:
    child = await run_command("emulate", "--profile", PROFILE.name, "--json")
    assert child.stdout is not None
    ready = msgspec.json.decode(await child.stdout.readline())
    async with aiohttp.ClientSession() as session:
        assert await Emulated(ready["url"], session).get("/health") == ""
    child.terminate()
    async with asyncio.timeout(WAIT_SECONDS):
        assert await child.communicate() == (b"", b"")
    assert child.returncode == 0


async def test_a_mistyped_profile_is_told_the_names_near_it() -> None:
    child = await run_command("emulate", "--profile", "h100:qwen3-8b")
    _, errors = await child.communicate()
    assert child.returncode
    assert PROFILE.name.encode() in errors
    assert b"wwwserve engine profiles" in errors
    child = await run_command("profiles", "--json")
    output, _ = await child.communicate()
    assert len(msgspec.json.decode(output)) == 51


async def test_a_taken_port_is_one_clear_message() -> None:
    async with open_engine() as engine:
        port = engine.url.rpartition(":")[2]
        child = await run_command("emulate", "--profile", PROFILE.name, "--port", port)
        _, errors = await child.communicate()
    assert child.returncode
    assert b"another port" in errors
    assert b"Traceback" not in errors


async def test_a_process_is_supervised_by_its_ready_line() -> None:
    flags = ("--profile", "l40s:qwen3-8b", "--seed", "3")
    server = SupervisedServer((*COMMAND, *flags), RestartPlan(deaths_max=1))
    server.start()
    await server.wait_for(ServerState.READY, ServerState.FAILING)
    assert server.url is not None, server.detail
    async with aiohttp.ClientSession() as session:
        assert '"Qwen3-8B"' in await Emulated(server.url, session).get("/v1/models")
    await server.close()
