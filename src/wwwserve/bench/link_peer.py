"""The other process of `wwwserve bench link`: answers over real links, and over bare TLS.

Both speak the same few words. A question is a verb, a number and a payload: `ECHO` sends the
payload back; `BURST` sends so many messages at once; `PACED` sends one every 20 ms, as tokens come.
On a link each question is a stream; on bare TLS, which has no streams, it is a connection's turn.
"""

import asyncio
import json
import os
import resource
import secrets
import ssl
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import cast

import uvloop

from wwwserve.adapters.host import NodeKey
from wwwserve.adapters.transports import TcpTransport, make_contexts
from wwwserve.ports.transport import CloseReason, Link, Stream, StreamEnded
from wwwserve.values.parameters import MAIN, compute_network_id

QUESTION = Struct(">BII")
"""Verb, count, and bytes of payload that follow."""
ECHO, BURST, PACED = 1, 2, 3
MESSAGE = b"t" * 80
"""About one token on its way to a user."""
PACE_S = 0.02
SEED_BYTES = 32
ANYWHERE = "127.0.0.1:0"
_STATISTICS = Path("/proc/self/statm")


def read_usage() -> dict[str, float]:
    """What this process has used so far: processor seconds, and bytes of memory now."""
    if _STATISTICS.exists():
        pages = int(_STATISTICS.read_text(encoding="ascii").split()[1])
        memory_bytes = pages * os.sysconf("SC_PAGE_SIZE")
    else:  # macOS tells the peak only, in bytes
        memory_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"processor_s": time.process_time(), "memory_bytes": float(memory_bytes)}


@dataclass(slots=True, eq=False)
class Answerer:
    """Owns the peer's links: answers streams, and tells its usage when messaged."""

    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def on_link(self, link: Link) -> "Answerer":
        """Own a link, whoever's it is."""
        del link
        return self

    def on_link_message(self, link: Link, payload: bytes) -> None:
        """Any message asks for the usage."""
        del payload
        link.send_message(json.dumps(read_usage()).encode())

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        """Answer one question."""
        del link
        task = asyncio.ensure_future(_answer(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        """The streams have ended by themselves."""


async def _answer(stream: Stream) -> None:
    try:
        question = await stream.receive()
        if question is None:
            return
        verb, count, _ = QUESTION.unpack_from(question)
        if verb == ECHO:
            await stream.send(question[QUESTION.size :])
        for _ in range(count):
            if not stream.try_send(MESSAGE):
                await stream.send(MESSAGE)
            if verb == PACED:
                await asyncio.sleep(PACE_S)
        stream.finish()
    except StreamEnded:
        return


class PlainAnswerer(asyncio.Protocol):
    """The same on a bare TLS connection, with no more than that needs."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each question that is complete."""
        self._buffer += data
        while len(self._buffer) >= QUESTION.size:
            verb, count, length = QUESTION.unpack_from(self._buffer)
            end = QUESTION.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[QUESTION.size : end])
            del self._buffer[:end]
            if verb == ECHO:
                self._transport.write(payload)
            else:
                self._start(self._stream(count, PACE_S if verb == PACED else 0))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stream(self, count: int, pace_s: float) -> None:
        for _ in range(count):
            self._transport.write(MESSAGE)
            if pace_s:
                await asyncio.sleep(pace_s)


def make_plain_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS exactly as links use it, with a key of its own."""
    return make_contexts(secrets.token_bytes(SEED_BYTES))


def make_transport() -> TcpTransport:
    """A transport with a new key, in the main network."""
    return TcpTransport(NodeKey(secrets.token_bytes(SEED_BYTES)), compute_network_id(MAIN))


async def _serve() -> None:
    transport = make_transport()
    link_address = await transport.listen(ANYWHERE, Answerer().on_link)
    loop = asyncio.get_running_loop()
    context = make_plain_contexts()[1]
    server = await loop.create_server(PlainAnswerer, "127.0.0.1", 0, ssl=context)
    ready = {"link": link_address, "plain_port": server.sockets[0].getsockname()[1]}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)  # until the bench closes it
    server.close()
    await transport.close()


if __name__ == "__main__":
    uvloop.run(_serve())
