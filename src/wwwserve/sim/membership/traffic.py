"""What a crowd's messages weigh on real links, without the links.

How it is counted: every control message is one frame in a TLS record of its own (the real link puts
messages of one turn of its loop into one record, so this is never too little), and where nothing is
said on a link for long, one end sends a heartbeat and the other answers. Bytes are counted where
they are sent. What TCP and IP add is not counted, nor what they send again. A test holds the
constants against the real link.
"""

from dataclasses import dataclass

from wwwserve.sim.world import World
from wwwserve.values.limits import LINK_HEARTBEAT_US, LINK_IDLE_US
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
SILENCE_US = LINK_IDLE_US + LINK_HEARTBEAT_US // 2
"""From the last word on a link to the heartbeat of the end that dialled it, which looks every
`LINK_HEARTBEAT_US`."""


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
    node_bytes: tuple[int, ...]
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
        self._node_bytes = [0] * host_count
        self._kinds: dict[str, Kind] = {}
        self._ends: list[dict[int, None]] = [{} for _ in range(host_count)]
        """The peers to which each host has an open end of a link."""
        self._heard_us: dict[tuple[int, int], int] = {}
        """When anything was last said on each link, heartbeats included."""

    def on_message(self, sender: int, receiver: int, message: Message, payload: bytes) -> None:
        """A control message goes onto a link."""
        self._count_heartbeats(sender, receiver)
        self._heard_us[_pair(sender, receiver)] = self._world.now_us
        weight = compute_message_bytes(len(payload))
        self._node_bytes[sender] += weight
        name = type(message).__name__
        kind = self._kinds.get(name, Kind())
        self._kinds[name] = Kind(kind.count + 1, kind.bytes + weight)

    def on_link_opened(self, host: int, peer: int) -> None:
        """A host has one more end of a link, and measures its round trip at once."""
        self._ends[host][peer] = None
        self._heard_us[_pair(host, peer)] = self._world.now_us
        self._node_bytes[host] += 2 * HEARTBEAT_BYTES

    def on_link_closed(self, host: int, peer: int) -> None:
        """A host has one end of a link less."""
        self._count_heartbeats(host, peer)
        self._ends[host].pop(peer, None)

    def on_death(self, host: int) -> None:
        """A host has no ends of links any more."""
        for peer in self._ends[host]:
            self._count_heartbeats(host, peer)
        self._ends[host].clear()

    def count_links(self, host: int) -> int:
        """How many links a host has."""
        return len(self._ends[host])

    def read(self) -> Reading:
        """All that was sent so far."""
        for host, peers in enumerate(self._ends):
            for peer in peers:
                self._count_heartbeats(host, peer)
        return Reading(
            self._world.now_us,
            tuple(self._node_bytes),
            dict(self._kinds),
            sum(len(peers) for peers in self._ends),
        )

    def _count_heartbeats(self, host: int, peer: int) -> None:
        """One end asked and the other answered, each time nothing had been said for so long."""
        pair = _pair(host, peer)
        if peer in self._ends[host] and host in self._ends[peer]:
            count = (self._world.now_us - self._heard_us[pair]) // SILENCE_US
            self._heard_us[pair] += count * SILENCE_US
            for end in pair:
                self._node_bytes[end] += count * HEARTBEAT_BYTES


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


def _pair(one: int, other: int) -> tuple[int, int]:
    return (min(one, other), max(one, other))
