"""What the control messages of a whole network weigh, from the moment its users come.

Counted as `sim.membership` counts those of a crowd: frames, TLS, and heartbeats of silent links.
"""

from collections.abc import Mapping

from wwwserve.core.events import Event, LinkClosed, LinkOpened
from wwwserve.sim.hosts import Host
from wwwserve.sim.membership import Reading, Traffic, compute_kinds
from wwwserve.sim.network import Network
from wwwserve.sim.world import World
from wwwserve.values.ids import NodeId
from wwwserve.wire import Message

HEARTBEATS = "heartbeats"
"""Stands beside the names of messages."""


class LinkTraffic:
    """Weighs what a network's hosts say to each other on their links."""

    def __init__(
        self, world: World, network: Network, hosts: Mapping[str, Host], *, from_us: int
    ) -> None:
        """What is sent before `from_us` is left out: nodes meet."""
        self._traffic = Traffic(world, len(hosts))
        self._indices = {host.node_id: host.index for host in hosts.values()}
        self._before: Reading | None = None
        network.watch_message = self._on_message
        world.at(from_us, self._begin)

    def on_event(self, host: Host, event: Event) -> None:
        """Links come and go by what hosts are told of them."""
        match event:
            case LinkOpened():
                self._traffic.on_link_opened(host.index, self._indices[event.peer])
            case LinkClosed():
                self._traffic.on_link_closed(host.index, self._indices[event.peer])
            case _:
                return

    def on_death(self, host: Host) -> None:
        """A host's process is over, and its links with it."""
        self._traffic.on_death(host.index)

    def count_bytes(self) -> dict[str, int]:
        """Bytes of each kind of message and of heartbeats so far, by all nodes together."""
        if self._before is None:
            return {}
        after = self._traffic.read()
        kinds = {name: kind.bytes for name, kind in compute_kinds(self._before, after).items()}
        sent = sum(after.node_bytes) - sum(self._before.node_bytes)
        return {**kinds, HEARTBEATS: sent - sum(kinds.values())}

    def _begin(self) -> None:
        self._before = self._traffic.read()

    def _on_message(self, sender: Host, peer: NodeId, message: Message, payload: bytes) -> None:
        self._traffic.on_message(sender.index, self._indices[peer], message, payload)
