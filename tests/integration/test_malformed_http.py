"""A thousand malformed HTTP requests are refused clearly, cost no memory, and disturb nobody.

Requests are written byte by byte to raw sockets: good ones mutated at random (with a fixed seed),
and the classics of bad ones. All the while one good stream runs, whose events must all arrive.
"""

import asyncio
import random
import re
import resource
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.fakes.peer_handle import MODEL, FakePeerHandle, Step, stream
from wwwserve.frontends.gateway import GatewayWaits, start_gateway
from wwwserve.ports.keys import KeyRules
from wwwserve.ports.peer_handle import UserRequest
from wwwserve.values.limits import BODY_BYTES_MAX, MIB

MUTATED_REQUESTS = 1_000
AT_ONCE = 50
MEMORY_GROWTH_MAX = 96 * MIB
ANSWER_WAIT_S = 20
BODY = msgspec.json.encode({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]})
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n"
    b"Content-Type: application/json\r\n"
)
GOOD = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class OneKey:
    """A key ring with one key."""

    def find(self, key: str) -> KeyRules | None:
        return KeyRules(name="good") if key == "good" else None

    def is_open(self) -> bool:
        return False


@dataclass(frozen=True)
class Door:
    """Where a gateway listens, and the peer behind it."""

    host: str
    port: int
    handle: FakePeerHandle


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    handle = FakePeerHandle()
    waits = GatewayWaits(head_s=0.3, body_s=0.3)
    gateway = await start_gateway(handle, OneKey(), waits=waits)
    address = urlsplit(gateway.url)
    yield Door(str(address.hostname), int(address.port or 0), handle)
    await gateway.close()


async def exchange(door: Door, request: bytes, *, is_ended: bool = True) -> bytes:
    """Send bytes, then (perhaps) the end, and read all that comes back until it is closed."""
    reader, writer = await asyncio.open_connection(door.host, door.port)
    try:
        async with asyncio.timeout(ANSWER_WAIT_S):
            writer.write(request)
            await writer.drain()
            if is_ended and writer.can_write_eof():
                return await read_answer(reader)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """The first response, or what came before the connection was closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


def get_status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def get_error(answer: bytes) -> dict[str, object]:
    body = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, object] = body["error"]
    return error


def is_clear(answer: bytes) -> bool:
    """Whether an answer is a success, a refusal in OpenAI's shape, or a closed door."""
    if not answer:
        return True
    status = get_status(answer)
    if status >= 400:
        return status < 500 and bool(get_error(answer)["message"])
    return status in (200, 204)


def mutate(chance: random.Random, request: bytes) -> bytes:
    """A good request with something wrong in it (or, rarely, still good)."""
    data = bytearray(request)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data))
        match chance.randrange(5):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 40)]
            case 2:
                data[at:at] = chance.randbytes(chance.randint(1, 20))
            case 3:
                data[at:at] = data[at : at + chance.randint(1, 60)] * chance.randint(1, 5)
            case _:
                data[at:at] = chance.choice([b"\r\n", b"\0", b'"', b"{[", b"\xff\xfe", b": "])
        data = data or bytearray(b"x")
    return bytes(data)


CLASSICS = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    b"\r\n\r\n\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 5_000 + b"\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 1e3\r\n\r\n",
    HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    CHUNKED + b"zz\r\nHello\r\n0\r\n\r\n",
    CHUNKED + b"ffffffffffffffffff\r\nHello\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nHelloHello\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 0\r\n\r\n",
    GOOD.replace(b"application/json", b"text/plain"),
    GOOD.replace(b"Content-Type: application/json\r\n", b""),
    GOOD.replace(b"POST /v1/chat/completions", b"POST /v1/unknown"),
    GOOD.replace(b"POST /v1/chat/completions", b"DELETE /v1/chat/completions"),
    GOOD.replace(b"POST /v1/chat/completions", b"POST /v1/../../etc/passwd"),
    GOOD.replace(b"POST /v1/chat/completions", b"POST /v1/models/%00%ff"),
    GOOD.replace(b"Bearer good", b"Bearer \xff\xff"),
    GOOD.replace(b"Bearer good", b"Basic good"),
    GOOD.replace(b"\r\nContent-Type", b"\r\nx-wwwserve-route: up\r\nContent-Type"),
]


@pytest.mark.parametrize("request_bytes", CLASSICS)
async def test_the_classics_are_refused_clearly(door: Door, request_bytes: bytes) -> None:
    answer = await exchange(door, request_bytes)
    assert is_clear(answer)
    assert not answer or 400 <= get_status(answer) < 500
    assert not door.handle.requests


async def test_a_thousand_mutations_disturb_nobody(door: Door) -> None:
    chance = random.Random(2603)  # noqa: S311 - a fixed sequence is the point
    release = asyncio.Event()
    words = [f"word-{number} " for number in range(200)]
    door.handle.script = lambda request: hold_half(request, words, release)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    watching = asyncio.create_task(exchange(door, make_stream_request(), is_ended=False))
    await door.handle.asked.wait()
    door.handle.script = lambda request: [b"{}"]
    unclear: list[bytes] = []
    for _ in range(MUTATED_REQUESTS // AT_ONCE):
        requests = [mutate(chance, GOOD) for _ in range(AT_ONCE)]
        answers = await asyncio.gather(*[exchange(door, request) for request in requests])
        unclear += [answer for answer in answers if not is_clear(answer)]
    release.set()
    told = await watching
    assert unclear == []
    assert all(word.strip().encode() in told for word in words)
    assert told.count(b"data: [DONE]") == 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < MEMORY_GROWTH_MAX


def hold_half(request: UserRequest, words: list[str], release: asyncio.Event) -> list[Step]:
    """A stream that gives its second half only once it may."""
    events = stream(request, words)
    return [*events[:100], release, *events[100:]]


def make_stream_request() -> bytes:
    body = BODY.replace(b'"messages"', b'"stream":true,"messages"')
    return HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_a_large_body_is_refused_before_it_is_sent(door: Door) -> None:
    answer = await exchange(door, HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1))
    assert get_status(answer) == 413
    assert get_error(answer)["code"] == "request_too_large"


async def test_a_body_that_grows_too_large_is_refused_on_the_way(door: Door) -> None:
    piece = b"100000\r\n" + b"x" * MIB + b"\r\n"
    answer = await exchange(door, CHUNKED + piece * (BODY_BYTES_MAX // MIB + 1))
    assert get_status(answer) == 413


@pytest.mark.parametrize("sent", [HEAD + b"Content-Length: 50\r\n\r\n{", CHUNKED + b"1\r\n{\r\n"])
async def test_a_half_sent_body_times_out(door: Door, sent: bytes) -> None:
    assert get_status(await exchange(door, sent)) == 408


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat", HEAD])
async def test_a_head_that_never_ends_is_cut_off(door: Door, sent: bytes) -> None:
    assert await exchange(door, sent, is_ended=False) == b""


async def test_whoever_waits_to_be_told_to_go_on_is_told(door: Door) -> None:
    reader, writer = await asyncio.open_connection(door.host, door.port)
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    writer.write(head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert get_status(await read_answer(reader)) == 200
    writer.close()


@pytest.mark.parametrize(
    ("request_line", "status", "allow"),
    [
        (b"OPTIONS /v1/chat/completions", 204, b"POST, OPTIONS"),
        (b"OPTIONS /v1/models/a/b", 204, b"GET, HEAD, OPTIONS"),
        (b"GET /v1/chat/completions", 405, b"POST, OPTIONS"),
        (b"HEAD /health", 200, b""),
        (b"GET /health", 200, b""),
        (b"HEAD /v1/models", 401, b""),
    ],
)
async def test_other_methods_are_sane(
    door: Door, request_line: bytes, status: int, allow: bytes
) -> None:
    answer = await exchange(
        door,
        request_line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        is_ended=False,
    )
    assert get_status(answer) == status
    assert (b"allow: " + allow if allow else b"") in answer.lower().replace(allow.lower(), allow)
    assert b"access-control" not in answer.lower()
