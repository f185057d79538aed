"""What the client does at the edge of HTTP, against a server that speaks raw bytes.

The conformance suite covers the port; here are answers no well-behaved server gives: half a status
line on a kept connection, an error longer than is kept, a state page that is not one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from wwwserve.adapters.engines import EngineSettings, HttpEngine, open_http_engine
from wwwserve.adapters.engines.openai_http import ERROR_BODY_BYTES_MAX
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading
from wwwserve.ports.engine import EngineFailure, EngineRequest
from wwwserve.values.limits import STALL_US, STARVED_US
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Endpoint

REQUEST = EngineRequest(Endpoint.CHAT, b"{}")


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class RawServer:
    """Answers the n-th request with the n-th script, and closes where the script is empty."""

    def __init__(self, *scripts: bytes) -> None:
        self.scripts = list(scripts)
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.scripts:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"Content-Length: 2" in head:
                    head += await reader.readexactly(2)
                self.requests.append(head)
                script = self.scripts.pop(0)
                writer.write(script)
                await writer.drain()
                if not script.startswith(b"HTTP/1.1") or script.endswith(b"\r"):
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def open_engine(
    server: RawServer, path: str = "", api_key: str = "", stall_us: int = STALL_US
) -> AsyncIterator[HttpEngine]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}{path}"
    engine = open_http_engine(EngineSettings("raw", url, "openai", api_key, stall_us=stall_us))
    yield engine
    await engine.close()
    listener.close()
    await listener.wait_closed()


async def read_all(engine: HttpEngine) -> bytes:
    run = engine.start(REQUEST)
    body = b""
    try:
        while (piece := await run.read()) is not None:
            body += piece
    finally:
        await run.stop()
    return body


async def read_state_of(page: bytes) -> EngineReading:
    async with open_engine(RawServer(page)) as engine:
        return await engine.read_state()


async def test_a_request_dropped_on_a_kept_connection_is_sent_again_as_it_was() -> None:
    server = RawServer(answer(b"one"), b"", answer(b"two"))
    async with open_engine(server) as engine:
        assert await read_all(engine) == b"one"
        assert await read_all(engine) == b"two"
    assert server.requests[1].endswith(b"\r\n\r\n{}")
    assert server.requests[2].endswith(b"\r\n\r\n{}")


async def test_half_an_answer_on_a_kept_connection_is_not_asked_for_again() -> None:
    server = RawServer(answer(b"one"), b"HTTP/1.1 200 OK\r\nContent-Type: te\r", answer(b"two"))
    async with open_engine(server) as engine:
        assert await read_all(engine) == b"one"
        with pytest.raises(EngineFailure) as caught:
            await read_all(engine)
    assert caught.value.kind is FailureKind.UNAVAILABLE
    assert len(server.requests) == 2


async def test_a_new_connection_that_drops_is_not_tried_again() -> None:
    server = RawServer(b"", answer(b"two"))
    async with open_engine(server) as engine:
        with pytest.raises(EngineFailure) as caught:
            await read_all(engine)
    assert caught.value.kind is FailureKind.UNAVAILABLE
    assert len(server.requests) == 1


async def test_requests_share_one_connection_and_say_where_they_go() -> None:
    server = RawServer(answer(b"one"), answer(b"two"))
    async with open_engine(server, path="/below") as engine:
        assert [await read_all(engine), await read_all(engine)] == [b"one", b"two"]
    assert server.connections == 1
    line, *headers = server.requests[1].decode().splitlines()
    assert line == "POST /below/v1/chat/completions HTTP/1.1"
    assert headers[0].startswith("Host: 127.0.0.1:")
    assert "Content-Type: application/json" in headers
    assert "Accept-Encoding: identity" in headers


async def test_an_early_hint_is_not_the_answer() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with open_engine(RawServer(hint + answer(b"one"))) as engine:
        assert await read_all(engine) == b"one"


async def test_a_key_of_two_lines_is_no_second_header() -> None:
    server = RawServer(answer(b"one"))
    async with open_engine(server, api_key="key\r\nX-More: 1") as engine:
        with pytest.raises(EngineFailure) as caught:
            await read_all(engine)
    assert caught.value.kind is FailureKind.UNAVAILABLE
    assert not server.requests


async def test_a_reader_who_takes_long_is_not_the_engines_silence() -> None:
    stall_us = 50_000
    async with open_engine(RawServer(answer(b"one")), stall_us=stall_us) as engine:
        run = engine.start(REQUEST)
        assert await run.read() == b"one"
        await asyncio.sleep(3 * stall_us / SECOND)
        assert await run.read() is None
        await run.stop()


async def test_a_silent_answer_is_waited_for_while_its_engine_goes_on_with_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    read_clock, passed_s = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: read_clock() + passed_s)
    engine_side: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfirst")
        await engine_side.put(writer)

    async def fail(reading: asyncio.Task[bytes | None]) -> FailureKind:
        with pytest.raises(EngineFailure) as caught:
            await reading
        return caught.value.kind

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    engine = open_http_engine(EngineSettings("raw", url, "openai"))
    starved, other = engine.start(REQUEST), engine.start(REQUEST)
    assert (await starved.read(), await other.read()) == (b"first", b"first")
    silent = asyncio.ensure_future(starved.read())
    writers = [await engine_side.get(), await engine_side.get()]
    for _ in range(STARVED_US // STALL_US):
        spoken = asyncio.ensure_future(other.read())
        await asyncio.sleep(0)
        assert not silent.done()
        writers[1].write(b"more")
        assert await spoken == b"more"
        passed_s += 0.9 * STALL_US / SECOND
    spoken = asyncio.ensure_future(other.read())
    await asyncio.sleep(0)
    passed_s += 2 * STALL_US / SECOND
    assert await fail(silent) is await fail(spoken) is FailureKind.TIMEOUT
    for writer in writers:
        writer.close()
    await engine.close()
    listener.close()


async def test_what_is_not_http_is_unavailable() -> None:
    async with open_engine(RawServer(b"220 mail.example ESMTP\r\n")) as engine:
        with pytest.raises(EngineFailure) as caught:
            await read_all(engine)
    assert caught.value.kind is FailureKind.UNAVAILABLE


async def test_an_error_is_kept_up_to_its_bound() -> None:
    page = answer(b"e" * (ERROR_BODY_BYTES_MAX + 5), "400 Bad Request")
    async with open_engine(RawServer(page)) as engine:
        with pytest.raises(EngineFailure) as caught:
            await read_all(engine)
    assert caught.value.body == b"e" * ERROR_BODY_BYTES_MAX


@pytest.mark.parametrize(
    ("entry", "context"),
    [
        ('{"id": "m", "max_model_len": 4096}', 4096),
        ('{"id": "m", "context_length": 8192}', 8192),
        ('{"id": "m", "meta": {"n_ctx": 1024, "n_ctx_train": 8192}}', 1024),
        ('{"id": "m", "meta": {"n_ctx_train": 8192}}', None),
        ('{"id": "m", "max_context_length": 131072}', None),
        ('{"id": "m", "max_model_len": "many"}', None),
        ('{"id": "m", "max_model_len": 0}', None),
    ],
)
async def test_the_serving_context_is_read_and_never_guessed(
    entry: str, context: int | None
) -> None:
    reading = await read_state_of(answer(f'{{"data": [{entry}]}}'.encode()))
    assert reading.models == (EngineModel("m", context),)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (answer(b"<html>"), "base URL"),
        (answer(b"[]"), "base URL"),
        (answer(b"[" * 100_000), "base URL"),
        (answer(b"no", "404 Not Found"), "base URL"),
        (answer(b"no", "401 Unauthorized"), "api_key"),
        (answer(b"no", "502 Bad Gateway"), "502"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
    ],
)
async def test_an_odd_page_is_an_unavailable_engine_and_says_what_to_try(
    page: bytes, words: str
) -> None:
    reading = await read_state_of(page)
    assert reading.health is EngineHealth.UNAVAILABLE
    assert words in reading.detail
