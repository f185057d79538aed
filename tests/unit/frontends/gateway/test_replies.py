"""An answer's bytes are HTTP that every client reads: of version 1.0, kept open, closed or broken.

A gateway on a free port in front of a pretend peer, spoken to over a plain socket.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.fakes.peer_handle import ALIAS, FakePeerHandle, stream
from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.facts import StartReason
from wwwserve.frontends.gateway import GatewayWaits, start_gateway
from wwwserve.ports.keys import KeyRules
from wwwserve.ports.peer_handle import RequestFailed

WAIT_S = 10
CLOSE, KEEP = "connection: close", "connection: keep-alive"
END = b"0\r\n\r\n"


class NoKeys:
    """A key ring for a gateway that needs none."""

    def find(self, key: str) -> KeyRules | None:
        return None

    def is_open(self) -> bool:
        return True


class Line:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def ask(self, *headers: str, version: str = "1.1", is_streamed: bool = False) -> None:
        """Send a request with some more headers."""
        fields = {"model": ALIAS, "messages": [{"role": "user", "content": "Hi"}]}
        body = msgspec.json.encode(fields | {"stream": is_streamed})
        lines = [f"POST /v1/chat/completions HTTP/{version}", "host: localhost", *headers]
        lines += ["content-type: application/json", f"content-length: {len(body)}", "", ""]
        self.writer.write("\r\n".join(lines).encode() + body)

    async def read_head(self) -> dict[str, str]:
        """The headers of a 200."""
        status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        assert status == "HTTP/1.1 200 OK"
        names = [line.partition(": ")[0] for line in lines if line]
        assert len(names) == len(set(names))
        return dict(line.split(": ", 1) for line in lines if line)

    async def read_whole(self) -> dict[str, str]:
        """The headers of an answer in one piece, whose body must be JSON."""
        head = await self.read_head()
        assert msgspec.json.decode(await self.reader.readexactly(int(head["content-length"])))
        return head


@pytest.fixture
def handle() -> FakePeerHandle:
    return FakePeerHandle()


@pytest.fixture
async def line(handle: FakePeerHandle) -> AsyncIterator[Line]:
    gateway = await start_gateway(handle, NoKeys())
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(WAIT_S):
        yield Line(reader, writer)
    writer.close()
    await gateway.close()


async def test_a_kept_connection_has_answer_after_answer(line: Line) -> None:
    line.ask()
    await line.read_whole()
    line.ask()
    head = await line.read_whole()
    assert head["content-type"] == "application/json"
    assert head["server"] == "wwwserve"
    assert head["x-wwwserve-request-id"].endswith("2")
    assert abs(parsedate_to_datetime(head["date"]).timestamp() - time.time()) < WAIT_S
    line.ask(CLOSE)
    assert (await line.read_whole())["connection"] == "close"
    assert await line.reader.read() == b""


async def test_a_stream_is_chunked_and_the_connection_stays(line: Line) -> None:
    line.ask(is_streamed=True)
    head = await line.read_head()
    assert (head["transfer-encoding"], head["connection"]) == ("chunked", "keep-alive")
    assert head["content-type"] == "text/event-stream"
    assert head["x-accel-buffering"] == "no"
    assert b"data: [DONE]\n\n" in await line.reader.readuntil(END)
    line.ask()
    await line.read_whole()


async def test_an_old_client_reads_a_stream_up_to_the_connections_end(
    line: Line, handle: FakePeerHandle
) -> None:
    line.ask(KEEP, version="1.0", is_streamed=True)
    head = await line.read_head()
    assert "transfer-encoding" not in head
    assert head["connection"] == "close"
    (request,) = handle.requests
    assert await line.reader.read() == b"".join(stream(request))


async def test_an_old_client_may_keep_its_connection(line: Line) -> None:
    line.ask(KEEP, version="1.0")
    assert (await line.read_whole())["connection"] == "keep-alive"
    line.ask(version="1.0")
    assert (await line.read_whole())["connection"] == "close"
    assert await line.reader.read() == b""


async def test_a_stream_that_breaks_says_so_and_closes(line: Line, handle: FakePeerHandle) -> None:
    broken = RequestFailed(RequestErrorCode.FAILED, "the engine died")
    handle.script = lambda request: [stream(request)[0], broken]
    line.ask(is_streamed=True)
    await line.read_head()
    rest = await line.reader.read()
    assert b"the engine died" in rest
    assert b"[DONE]" not in rest
    assert rest.endswith(END)


async def test_a_client_that_takes_nothing_is_cut_off(handle: FakePeerHandle) -> None:
    handle.script = lambda _: [b"data: " + b"x" * 60_000 + b"\n\n"] * 2_000
    gateway = await start_gateway(handle, NoKeys(), waits=GatewayWaits(write_s=0.2))
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    Line(reader, writer).ask(is_streamed=True)
    async with asyncio.timeout(WAIT_S):
        await handle.asked.wait()
        await handle.replies[0].cancelled.wait()
    writer.close()
    await gateway.close()


async def test_an_answer_says_why_it_ran_where_it_ran(line: Line, handle: FakePeerHandle) -> None:
    line.ask()
    assert "x-wwwserve-reason" not in await line.read_whole()
    handle.reason, handle.places = StartReason.LEAST_WEIGHT, 3
    line.ask()
    assert (await line.read_whole())["x-wwwserve-reason"] == "least-weight;of=3"
    handle.reason, handle.places = StartReason.HERE_AT_ONCE, 0
    line.ask()
    assert (await line.read_whole())["x-wwwserve-reason"] == "here-at-once"
