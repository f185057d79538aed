"""What a link costs beside bare TLS: `wwwserve bench link`.

Two processes on loopback. Each measure is taken on a real link and, in the same repeat, on the TLS
of the event loop with the same certificates and no protocol above it, one connection where a link
has a stream: the plainest thing that could do the job. Both sides' processor time counts. See
`bench.link_peer` for the words spoken.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from statistics import quantiles
from time import perf_counter
from typing import Protocol, cast

import uvloop

from wwwserve.adapters.transports import TcpTransport
from wwwserve.bench.link_peer import (
    BURST,
    ECHO,
    MESSAGE,
    PACED,
    QUESTION,
    make_plain_contexts,
    make_transport,
    read_usage,
)
from wwwserve.bench.processes import Child
from wwwserve.bench.results import BenchResult, compute_result
from wwwserve.ports.transport import CloseReason, Link, Stream

PAYLOAD = b"p" * 1024
CONNECTIONS = 40
ECHOES = 1_500
REQUESTS = 8_000
REQUESTS_AT_ONCE = 64
STREAMS = 32
BURST_MESSAGES = 1_000
PACED_MESSAGES = 100
IDLE_LINKS = 100
_MS_PER_S = 1_000
_US_PER_S = 1_000_000
_MIB = 1024 * 1024
_PER_LARGE = 100_000


class Conversation(Protocol):
    """One peer to ask; a link or a bare connection."""

    async def echo(self, payload: bytes) -> None:
        """Send bytes and get them back."""
        ...

    async def stream(self, verb: int, count: int) -> None:
        """Ask for so many messages and take them all."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Way(Protocol):
    """How conversations are begun."""

    async def open(self) -> Conversation:
        """A new connection to the peer."""
        ...

    async def open_lanes(self, count: int) -> Sequence[Conversation]:
        """What is needed for `count` questions at once."""
        ...


class _LinkWay:
    """Conversations over links: many questions share one."""

    def __init__(self, transport: TcpTransport, address: str) -> None:
        self._transport = transport
        self._address = address

    async def open(self) -> "_LinkConversation":
        conversation = _LinkConversation()
        conversation.link = await self._transport.dial(self._address, None, conversation.on_link)
        return conversation

    async def open_lanes(self, count: int) -> Sequence[Conversation]:
        return [await self.open()] * count


class _LinkConversation:
    """A link, owned by itself."""

    link: Link

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()

    async def echo(self, payload: bytes) -> None:
        stream = self.link.open_stream()
        await stream.send(QUESTION.pack(ECHO, 0, len(payload)) + payload)
        stream.finish()
        assert await stream.receive() == payload
        assert await stream.receive() is None

    async def stream(self, verb: int, count: int) -> None:
        stream = self.link.open_stream()
        await stream.send(QUESTION.pack(verb, count, 0))
        stream.finish()
        received = 0
        while (stream.try_receive() or await stream.receive()) is not None:
            received += 1
        assert received == count

    def close(self) -> None:
        self.link.close(CloseReason.LEAVING)

    async def ask_usage(self) -> dict[str, float]:
        """What the other process has used so far."""
        self.link.send_message(b"usage")
        usage: dict[str, float] = json.loads(await self.messages.get())
        return usage

    def on_link(self, link: Link) -> "_LinkConversation":
        del link
        return self

    def on_link_message(self, link: Link, payload: bytes) -> None:
        del link
        self.messages.put_nowait(payload)

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        raise AssertionError("the peer of a bench opens no streams")

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        pass


class _PlainWay:
    """Conversations over bare TLS: each question at once needs a connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._context = make_plain_contexts()[0]

    async def open(self) -> "_PlainConversation":
        loop = asyncio.get_running_loop()
        _, conversation = await loop.create_connection(
            _PlainConversation, "127.0.0.1", self._port, ssl=self._context, server_hostname=""
        )
        return conversation

    async def open_lanes(self, count: int) -> Sequence[Conversation]:
        return [await self.open() for _ in range(count)]


class _PlainConversation(asyncio.Protocol):
    """One connection of asyncio's own TLS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._missing_bytes = 0
        self._arrived: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        self._missing_bytes -= len(data)
        if self._missing_bytes <= 0 and self._arrived is not None:
            self._arrived.set_result(None)
            self._arrived = None

    async def echo(self, payload: bytes) -> None:
        await self._ask(QUESTION.pack(ECHO, 0, len(payload)) + payload, len(payload))

    async def stream(self, verb: int, count: int) -> None:
        await self._ask(QUESTION.pack(verb, count, 0), count * len(MESSAGE))

    def close(self) -> None:
        self._transport.close()

    async def _ask(self, question: bytes, answer_bytes: int) -> None:
        self._missing_bytes = answer_bytes
        self._arrived = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        await self._arrived


Figures = dict[str, float]
"""One repeat's figures by name; the units are in `_UNITS`."""

_UNITS = {
    "connect and first echo": "ms",
    "round trip p50": "us",
    "round trip p99": "us",
    "requests": "1/s",
    "processor per 100k requests": "s",
    "burst messages": "1/s",
    "processor per 100k burst messages": "s",
    "processor per 100k paced messages": "s",
    "memory per 100 idle connections": "MiB",
}


def measure_link(repeats: int) -> list[BenchResult]:
    """Set-up, round trip, requests, streamed messages and memory, each beside bare TLS."""
    return uvloop.run(_measure(repeats))


async def _measure(repeats: int) -> list[BenchResult]:
    ours: defaultdict[str, list[float]] = defaultdict(list)
    plain: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        # New processes each time: memory once touched is not given back, and would look free.
        for way_name, figures in (("link", ours), ("plain", plain)):
            async with Child(["-m", "wwwserve.bench.link_peer"]) as child:
                for name, value in (await _measure_way(child, way_name)).items():
                    figures[name].append(value)
    return [compute_result(name, unit, ours[name], plain[name]) for name, unit in _UNITS.items()]


async def _measure_way(child: Child, way_name: str) -> Figures:
    transport = make_transport()
    address = str(child.ready["link"])
    link_way = _LinkWay(transport, address)
    way: Way = link_way
    if way_name == "plain":
        way = _PlainWay(cast("int", child.ready["plain_port"]))
    meter = _Meter(await link_way.open())
    figures = await _measure_memory(way, meter)
    figures |= await _measure_connecting(way)
    figures |= await _measure_round_trips(way)
    figures |= await _measure_requests(way, meter)
    figures |= await _measure_streams(way, meter)
    await transport.close()
    return figures


class _Meter:
    """Reads what both processes use; asks over a link of its own, whichever way is measured."""

    def __init__(self, control: _LinkConversation) -> None:
        self._control = control

    async def read(self) -> tuple[float, float]:
        """Processor seconds and bytes of memory of both processes together."""
        here, there = read_usage(), await self._control.ask_usage()
        return (
            here["processor_s"] + there["processor_s"],
            here["memory_bytes"] + there["memory_bytes"],
        )

    async def time(self, work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
        """Seconds and processor seconds that `work` takes."""
        processor_before, _ = await self.read()
        began = perf_counter()
        await work()
        took_s = perf_counter() - began
        processor_after, _ = await self.read()
        return took_s, processor_after - processor_before


async def _measure_memory(way: Way, meter: _Meter) -> Figures:
    first = await way.open()
    await first.echo(PAYLOAD)
    _, before = await meter.read()
    idle = [await way.open() for _ in range(IDLE_LINKS)]
    for conversation in idle:
        await conversation.echo(PAYLOAD)
    _, after = await meter.read()
    for conversation in (first, *idle):
        conversation.close()
    return {"memory per 100 idle connections": (after - before) / _MIB}


async def _measure_connecting(way: Way) -> Figures:
    times_s: list[float] = []
    for _ in range(CONNECTIONS):
        began = perf_counter()
        conversation = await way.open()
        await conversation.echo(PAYLOAD)
        times_s.append(perf_counter() - began)
        conversation.close()
    return {"connect and first echo": quantiles(times_s, n=2)[0] * _MS_PER_S}


async def _measure_round_trips(way: Way) -> Figures:
    conversation = await way.open()
    times_s: list[float] = []
    for _ in range(ECHOES):
        began = perf_counter()
        await conversation.echo(PAYLOAD)
        times_s.append(perf_counter() - began)
    conversation.close()
    cuts = quantiles(times_s, n=100)
    return {"round trip p50": cuts[49] * _US_PER_S, "round trip p99": cuts[98] * _US_PER_S}


async def _measure_requests(way: Way, meter: _Meter) -> Figures:
    lanes = await way.open_lanes(REQUESTS_AT_ONCE)

    async def ask(lane: Conversation) -> None:
        for _ in range(REQUESTS // REQUESTS_AT_ONCE):
            await lane.echo(PAYLOAD)

    async def ask_all() -> None:
        await asyncio.gather(*map(ask, lanes))

    took_s, processor_s = await meter.time(ask_all)
    _close_all(lanes)
    return {
        "requests": REQUESTS / took_s,
        "processor per 100k requests": processor_s / REQUESTS * _PER_LARGE,
    }


async def _measure_streams(way: Way, meter: _Meter) -> Figures:
    lanes = await way.open_lanes(STREAMS)

    async def burst() -> None:
        await asyncio.gather(*(lane.stream(BURST, BURST_MESSAGES) for lane in lanes))

    async def pace() -> None:
        await asyncio.gather(*(lane.stream(PACED, PACED_MESSAGES) for lane in lanes))

    burst_s, burst_processor_s = await meter.time(burst)
    _, paced_processor_s = await meter.time(pace)
    _close_all(lanes)
    burst_count, paced_count = STREAMS * BURST_MESSAGES, STREAMS * PACED_MESSAGES
    return {
        "burst messages": burst_count / burst_s,
        "processor per 100k burst messages": burst_processor_s / burst_count * _PER_LARGE,
        "processor per 100k paced messages": paced_processor_s / paced_count * _PER_LARGE,
    }


def _close_all(lanes: Sequence[Conversation]) -> None:
    for lane in dict.fromkeys(lanes):  # a link is one lane many times over
        lane.close()
