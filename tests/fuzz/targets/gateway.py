"""Bytes on a gateway's socket: each request is answered or refused clearly, and none hangs.

The gateway is whole but for the socket and the peer behind it. The first byte of an input says
where the bytes are cut in two; between the pieces, and after them, the gateway gets its turns.
"""

import asyncio
import http.client
import io
import logging
from typing import cast

import msgspec
from aiohttp import web

from tests.fakes.peer_handle import MODEL, FakePeerHandle
from wwwserve.frontends.gateway.connections import GatewayServer
from wwwserve.frontends.gateway.reading import CONTINUE, BodyReader
from wwwserve.frontends.gateway.service import GatewayService
from wwwserve.ports.keys import KeyRules
from wwwserve.ports.spending import NoSpending

TURNS = 40
"""Turns of the loop after each piece; a request needs fewer than ten."""
WAIT_S = 3_600.0
"""Longer than any run: what ends, ends without waiting for a clock."""
WORDS = (
    b"POST /v1/chat/completions HTTP/1.1\r\n", b"GET /v1/models HTTP/1.1\r\n", b"\r\n\r\n",
    b"Host: localhost\r\n", b"Content-Type: application/json\r\n", b"Content-Length: ",
    b"Authorization: Bearer good\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
    b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"Upgrade: websocket\r\n",
    b"x-wwwserve-route: local\r\n",
)  # fmt: skip
"""What a mutation may put in."""
_SUCCESSES = (200, 204)
_CLIENT_ERRORS = range(400, 500)
_LOOP = asyncio.new_event_loop()
_HEAD = b"Host: localhost\r\nAuthorization: Bearer good\r\nContent-Type: application/json\r\n"


def make_seeds() -> list[bytes]:
    """Good requests of every kind, and some that are half-sent or pipelined."""
    body = msgspec.json.encode({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]})
    stream = body.replace(b'"messages"', b'"stream":true,"messages"')
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    posts = [b"%bContent-Length: %d\r\n\r\n%b" % (_HEAD, len(one), one) for one in (body, stream)]
    post = b"POST /v1/chat/completions HTTP/1.1\r\n"
    gets = b"GET /v1/models HTTP/1.1\r\n" + _HEAD + b"\r\nHEAD /health HTTP/1.1\r\nHost: a\r\n\r\n"
    conversations = [
        post + posts[0],
        post + posts[1],
        post + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n",
        post + posts[0] + gets,
        gets + b"OPTIONS /v1/completions HTTP/1.1\r\nHost: a\r\n\r\n",
        post + _HEAD + b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n{",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/models/%00%ff?a=b#c HTTP/1.0\r\n\r\n",
    ]
    return [bytes([30 * number]) + one for number, one in enumerate(conversations)]


def consume(data: bytes) -> None:
    """Hold the conversation, and read what came back as a client would."""
    cut, sent = int.from_bytes(data[:1], "big"), data[1:]
    logging.getLogger("wwwserve.gateway").disabled = True
    talk = _Talk()
    _LOOP.run_until_complete(talk.hold([sent[:cut], sent[cut:]]))
    assert talk.faults == []
    _check_answers(bytes(talk.transport.written), talk.methods)


class OneKey:
    """A key ring with one key."""

    def find(self, key: str) -> KeyRules | None:
        """Whose key it is."""
        return KeyRules(name="good") if key == "good" else None

    def is_open(self) -> bool:
        """A key is needed."""
        return False


class _Transport(asyncio.Transport):
    """The gateway's side of a connection whose client reads everything."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.is_over = False

    def write(self, data: object) -> None:
        if not self.is_over:
            self.written += cast("bytes", data)

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True

    def abort(self) -> None:
        self.is_over = True

    def pause_reading(self) -> None:
        """All of it is there at once."""

    def resume_reading(self) -> None:
        """All of it is there at once."""


class _Talk:
    """One client's whole conversation with a gateway."""

    def __init__(self) -> None:
        self.transport = _Transport()
        self.methods: list[str] = []
        """Of the requests that were understood, in order."""
        self.faults: list[str] = []
        """What the loop was told of: exceptions nobody took."""

    async def hold(self, pieces: list[bytes]) -> None:
        """Send the pieces, then leave, and wait until nothing is left of it."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.faults.append(str(context)))
        service = GatewayService(
            FakePeerHandle(),
            OneKey(),
            BodyReader(WAIT_S),
            write_wait_s=WAIT_S,
            spending=NoSpending(),
        )

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            self.methods.append(request.method)
            return await service.answer(request)

        connection = GatewayServer(answer, head_wait_s=WAIT_S)()
        connection.connection_made(self.transport)
        for piece in pieces:
            if not self.transport.is_over:
                connection.data_received(piece)
            await _take_turns()
        connection.connection_lost(None)
        await _take_turns()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "the client has gone, and something still waits for it"


async def _take_turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class _Answers(io.BytesIO):
    """What came back, to be read answer by answer."""

    def makefile(self, _mode: str) -> "_Answers":
        """As a socket does for `http.client`."""
        return self

    def close(self) -> None:
        """One answer is over; the next one follows."""


def _check_answers(written: bytes, methods: list[str]) -> None:
    written = written.replace(CONTINUE, b"")
    answers = _Answers(written)
    for method in [*methods, "GET"]:
        if answers.tell() == len(written):
            return
        answer = http.client.HTTPResponse(cast("object", answers), method=method)  # type: ignore[arg-type]
        answer.begin()
        body = answer.read()
        if answer.status in _SUCCESSES:
            continue
        assert answer.status in _CLIENT_ERRORS, answer.status
        assert answer.getheader("content-type") == "application/json"
        if method != "HEAD":
            _check_error(body)
    assert answers.tell() == len(written), "an answer nobody asked for"


def _check_error(body: bytes) -> None:
    error = cast("dict[str, object]", msgspec.json.decode(body)["error"])
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"]
