"""What a crowd's messages weigh on real links, without the links.

How it is counted: every control message is one frame in a TLS record of its own (the real link puts
messages of one turn of its loop into one record), and each open end of a link sends its side of a
heartbeat each period, also where messages made it needless: so this is never too little. Bytes are
counted where they are sent. What TCP and IP add is not counted, nor what they send again. A test
holds the constants against the real link.
"""

from dataclasses import dataclass

from wwwserve.sim.hosts import Host
from wwwserve.sim.world import World
from wwwserve.values.limits import LINK_HEARTBEAT_US
from wwwserve.values.moments import SECOND
from wwwserve.wire import Message

FRAME_HEADER_BYTES = 12
"""Before each payload on a link."""
TLS_RECORD_BYTES = 22
"""A TLS 1.3 record's header (5), content type (1) and tag (16)."""
TLS_CONTENT_BYTES_MAX = 16 * 1024
"""Content of one TLS record; a longer message takes several."""
HEARTBEAT_BYTES = FRAME_HEADER_BYTES + 8 + TLS_RECORD_BYTES
"""A ping or a pong of a link: a frame with an eight-byte token."""
LINK_END_BYTES_PER_S = HEARTBEAT_BYTES * SECOND / LINK_HEARTBEAT_US
"""What an open end sends when idle: a ping or a pong in each heartbeat period."""


def compute_message_bytes(payload_bytes: int) -> int:
    """The bytes on a link of one control message."""
    content = FRAME_HEADER_BYTES + payload_bytes
    records = -(-content // TLS_CONTENT_BYTES_MAX)
    return content + records * TLS_RECORD_BYTES


@dataclass(frozen=True, slots=True)
class Kind:
    """All messages of one kind so far."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What was sent up to one instant; the difference of two is what was sent between them."""

    at_us: int
    node_bytes: tuple[float, ...]
    """By host, with heartbeats."""
    kinds: dict[str, Kind]
    """By the name of the message."""
    link_ends: int
    """Open now; two for each link."""


class Traffic:
    """Counts what every host of a crowd sends."""

    def __init__(self, world: World, host_count: int) -> None:
        """Nothing was sent yet."""
        self._world = world
        self._message_bytes = [0] * host_count
        self._kinds: dict[str, Kind] = {}
        self._link_ends = [0] * host_count
        self._link_end_us = [0] * host_count
        """Time that ends of links have been open, together, up to `_counted_us`."""
        self._counted_us = [0] * host_count

    def on_message(self, sender: Host, message: Message, payload: bytes) -> None:
        """A control message goes onto a link."""
        weight = compute_message_bytes(len(payload))
        self._message_bytes[sender.index] += weight
        name = type(message).__name__
        kind = self._kinds.get(name, Kind())
        self._kinds[name] = Kind(kind.count + 1, kind.bytes + weight)

    def on_link_opened(self, host: Host) -> None:
        """A host has one more end of a link."""
        self._count_ends(host.index)
        self._link_ends[host.index] += 1

    def on_link_closed(self, host: Host) -> None:
        """A host has one end of a link less."""
        self._count_ends(host.index)
        self._link_ends[host.index] -= 1

    def on_death(self, host: Host) -> None:
        """A host has no ends of links any more."""
        self._count_ends(host.index)
        self._link_ends[host.index] = 0

    def count_links(self, host: int) -> int:
        """How many links a host has."""
        return self._link_ends[host]

    def read(self) -> Reading:
        """All that was sent so far."""
        hosts = range(len(self._message_bytes))
        for host in hosts:
            self._count_ends(host)
        return Reading(
            self._world.now_us,
            tuple(
                self._message_bytes[host] + self._link_end_us[host] * LINK_END_BYTES_PER_S / SECOND
                for host in hosts
            ),
            dict(self._kinds),
            sum(self._link_ends),
        )

    def _count_ends(self, host: int) -> None:
        span_us = self._world.now_us - self._counted_us[host]
        self._link_end_us[host] += span_us * self._link_ends[host]
        self._counted_us[host] = self._world.now_us


def compute_node_bytes_per_s(before: Reading, after: Reading) -> list[float]:
    """What each node sent in a second between two readings."""
    span_s = (after.at_us - before.at_us) / SECOND
    return [
        (late - early) / span_s
        for early, late in zip(before.node_bytes, after.node_bytes, strict=True)
    ]


def compute_kinds(before: Reading, after: Reading) -> dict[str, Kind]:
    """The messages sent between two readings."""
    return {
        name: Kind(
            kind.count - before.kinds.get(name, Kind()).count,
            kind.bytes - before.kinds.get(name, Kind()).bytes,
        )
        for name, kind in sorted(after.kinds.items())
    }
