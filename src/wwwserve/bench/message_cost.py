"""What one membership message weighs and costs, and what a link weighs: parts of `bench gossip`.

Messages are those of a crowd at rest, so they are as many and as large as in a quiet network. A
link is a real one on loopback, through a relay that counts every byte of TCP's content.
"""

import asyncio
from time import perf_counter_ns

from wwwserve.bench.link_peer import ANYWHERE, Answerer, make_transport
from wwwserve.bench.results import BenchResult
from wwwserve.core.effects import Effect
from wwwserve.core.events import EnvelopeReceived, Event
from wwwserve.core.snapshot import Snapshot
from wwwserve.ports.transport import CloseReason
from wwwserve.sim import AnyPeer, Crowd, measure_idle
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.wire import Message, encode_message, open_message

TIMED_US = 30 * SECOND
"""Virtual time in which the peers of a crowd are timed."""
SETTLE_S = 1.0
"""After a link is up, until its first heartbeat is answered."""
IDLE_S = 70.0
"""Two heartbeats of a link on which nothing else is said."""
_NS_PER_US = 1_000
_PERCENT = 100
_READ_BYTES = 64 * 1024


class _TimedPeer:
    """A peer whose calls are timed."""

    def __init__(self, peer: AnyPeer, stopwatch: "_Stopwatch") -> None:
        self._peer = peer
        self._stopwatch = stopwatch

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        began_ns = perf_counter_ns()
        effects = self._peer.handle(event, now)
        self._stopwatch.add(event, perf_counter_ns() - began_ns)
        return effects

    def next_deadline(self) -> Moment:
        return self._peer.next_deadline()

    def get_snapshot(self, now: Moment) -> Snapshot:
        return self._peer.get_snapshot(now)


class _Stopwatch:
    """Time all peers of a crowd took together, and the messages they were told."""

    def __init__(self) -> None:
        self.spent_ns = 0
        self.deciding_ns = 0
        """The part of it that messages took."""
        self.received: list[tuple[NodeId, Message]] = []

    def add(self, event: Event, took_ns: int) -> None:
        self.spent_ns += took_ns
        if isinstance(event, EnvelopeReceived):
            self.deciding_ns += took_ns
            self.received.append((event.envelope.sender, event.envelope.message))


def measure_messages(crowd: Crowd) -> list[BenchResult]:
    """Bytes of each kind of message, and the processor time of one, all told."""
    stopwatch = _Stopwatch()
    running = [(host, host.peer) for host in crowd.hosts if host.peer is not None]
    for host, peer in running:
        host.peer = _TimedPeer(peer, stopwatch)
    idle = measure_idle(crowd, TIMED_US)
    for host, peer in running:
        host.peer = peer
    count = len(stopwatch.received)
    coding_ns = _time_coding(crowd, stopwatch.received)
    node_us = (stopwatch.spent_ns + coding_ns) / len(running) / _NS_PER_US
    return [
        *(
            BenchResult(f"{name}: bytes of one on a link", kind.bytes / kind.count, "B", None, None)
            for name, kind in idle.kinds.items()
            if kind.count
        ),
        BenchResult(
            "deciding what a message means",
            stopwatch.deciding_ns / count / _NS_PER_US,
            "us",
            None,
            None,
        ),
        BenchResult(
            "writing and reading a message", coding_ns / count / _NS_PER_US, "us", None, None
        ),
        BenchResult(
            "membership of an idle node", node_us * _PERCENT / TIMED_US, "% of a core", None, None
        ),
    ]


def _time_coding(crowd: Crowd, messages: list[tuple[NodeId, Message]]) -> int:
    """Nanoseconds to write and to open these. Signatures cost little here, as known ones do."""
    spent_ns = 0
    for is_timed in (False, True):
        began_ns = perf_counter_ns()
        for sender, message in messages:
            data = encode_message(message)
            open_message(data, sender=sender, verifier=crowd.verifier, network_id=crowd.network_id)
        spent_ns = perf_counter_ns() - began_ns if is_timed else 0
    return spent_ns


def measure_link() -> list[BenchResult]:
    """Bytes to make a link, and of one on which nobody says anything."""
    made, idle_per_s = asyncio.run(_weigh_link())
    return [
        BenchResult("a link: bytes to make it, both ways", made, "B", None, None),
        BenchResult("an idle link, both ways", idle_per_s, "B/s", None, None),
    ]


async def _weigh_link() -> tuple[int, float]:
    listener, dialler = make_transport(), make_transport()
    address = await listener.listen(ANYWHERE, Answerer().on_link)
    relay = _Relay(address)
    server = await asyncio.start_server(relay.join, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        link = await dialler.dial(f"127.0.0.1:{port}", None, Answerer().on_link)
        await asyncio.sleep(SETTLE_S)
        made = relay.count
        await asyncio.sleep(IDLE_S)
        idle_per_s = (relay.count - made) / IDLE_S
        link.close(CloseReason.LEAVING)
        await link.wait_closed()
        return made, idle_per_s
    finally:
        server.close()
        await dialler.close()
        await listener.close()


class _Relay:
    """Passes bytes between two TCP connections, and counts them."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.count = 0

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass(reader, far_writer))
            tasks.create_task(self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ_BYTES):
            self.count += len(data)
            writer.write(data)
        writer.close()
