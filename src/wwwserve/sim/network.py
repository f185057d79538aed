"""The pretend network: links between hosts, and everything that can happen to them.

Rules, which the real links keep too:

- A link is a reliable, ordered stream each way: what is lost is sent again and comes late. Nothing
  is delivered twice, and nothing overtakes.
- There is at most one link for two nodes. A dial ends as `LinkOpened` or `DialFailed`; one that
  finds the two linked already fails and names the peer.
- A blocked path holds what is sent; if it opens again in time, all of it arrives. After
  `LINK_DEAD_US` of silence the receiving end gives the link up; `LINK_IDLE_DEAD_US` if idle.
- A killed process's links are closed by its kernel, and the others hear of it at once; after a
  power cut they hear nothing, and notice by silence.
- Each end hears `LinkClosed` once, after every stream of the link has had its own event.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from wwwserve.core.effects import CloseLink
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import DialFailed, EnvelopeReceived, LinkClosed, LinkOpened, SendFailed
from wwwserve.sim.hosts import Host
from wwwserve.sim.opened import OpenedRecords
from wwwserve.sim.plans import NetworkPlan
from wwwserve.sim.world import Action, World
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import (
    LINK_DEAD_US,
    LINK_HANDSHAKE_US,
    LINK_IDLE_DEAD_US,
    LINK_MESSAGES_QUEUED_MAX,
    LINKS_MAX,
)
from wwwserve.values.moments import SECOND
from wwwserve.wire import Envelope, Message, Verifier, encode_message, open_message_with

HANDSHAKE_CROSSINGS = 4
"""One-way trips until the dialling end has its link: TCP, then TLS 1.3."""
RETRANSMISSIONS_MAX = 6
"""Times one message is lost at most; TCP waits twice as long before each, 12.6 s in all."""


class Cargo(Protocol):
    """A stream on a link, as the link sees it."""

    def on_link_lost(self, end: Host) -> None:
        """The link's end at this host is gone."""
        ...


@dataclass(slots=True, eq=False)
class Path:
    """One direction between two hosts; it is there whether or not they are linked."""

    latency_us: int
    blocks: int = 0
    """How many faults block it now."""
    blocked_since_us: int = 0


@dataclass(slots=True, eq=False)
class _Way:
    """One direction of a link."""

    arrival_us: int = 0
    """When the latest thing on its way arrives; nothing overtakes it."""
    held: list[Action] = field(default_factory=list)
    """What waits for the path to open."""


@dataclass(slots=True, eq=False)
class Link:
    """An authenticated connection of two hosts, as both ends see it."""

    ends: tuple[Host, Host]
    """The one that dialled first."""
    is_open: list[bool] = field(default_factory=lambda: [True, False])
    """For each end; the second opens when the last message of the handshake arrives."""
    ways: tuple[_Way, _Way] = field(default_factory=lambda: (_Way(), _Way()))
    cargo: dict[Cargo, None] = field(default_factory=dict)

    def get_side(self, host: Host) -> int:
        """0 for the host that dialled, 1 for the other."""
        return 0 if host is self.ends[0] else 1

    def get_other(self, host: Host) -> Host:
        """The host at the other end."""
        return self.ends[1 - self.get_side(host)]


def draw_latency_us(plan: NetworkPlan, entropy: Entropy) -> int:
    """The base latency of two hosts, one way."""
    spread = max(1, plan.latency_us - plan.latency_us_min)
    return plan.latency_us_min + entropy.below(spread)


def draw_delay_us(plan: NetworkPlan, latency_us: int, entropy: Entropy) -> int:
    """How long one message takes between them, what is lost and sent again included."""
    delay_us = entropy.jitter(latency_us, plan.jitter_permille)
    if plan.loss_permille:
        for attempt in range(RETRANSMISSIONS_MAX):
            if not entropy.chance(plan.loss_permille):
                break
            delay_us += plan.retransmit_us << attempt
    return max(1, delay_us)


class Network:
    """All paths and links of a world."""

    def __init__(
        self, world: World, plan: NetworkPlan, verifier: Verifier, network_id: bytes
    ) -> None:
        """Paths are drawn as hosts are added."""
        self.plan = plan
        self.message_counts: dict[str, int] = {}
        """Control messages sent so far, by the name of their kind."""
        self.watch_message: Callable[[Host, NodeId, Message, bytes], None] = lambda *_: None
        """Told of each control message that goes onto a link: sender, message, its bytes."""
        self.open_envelope: Callable[[Host, Envelope], None] = _tell_envelope
        """Takes each control message that arrives, decoded, to the peer."""
        self._world = world
        self._records = OpenedRecords(verifier, network_id)
        self._entropy = world.entropy.split("network")
        self._hosts: dict[NodeId, Host] = {}
        self._addresses: dict[str, Host] = {}
        self._paths: dict[tuple[int, int], Path] = {}
        self._links: dict[int, dict[int, Link]] = {}
        """By one end and then the other: each link twice."""

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts, in the order they were added."""
        return tuple(self._hosts.values())

    def add(self, host: Host) -> None:
        """Connect a machine to all others."""
        for other in self._hosts.values():
            latency_us = draw_latency_us(self.plan, self._entropy)
            self._paths[host.index, other.index] = Path(latency_us)
            self._paths[other.index, host.index] = Path(latency_us)
        self._links[host.index] = {}
        self._hosts[host.node_id] = host
        self._addresses[host.address] = host

    def get_links(self, host: Host) -> list[Link]:
        """The links open at a host's end."""
        return [
            link for link in self._links[host.index].values() if link.is_open[link.get_side(host)]
        ]

    def find_link(self, host: Host, peer: NodeId) -> Link | None:
        """The link to a peer that is open at this host's end."""
        other = self._hosts.get(peer)
        if other is None:
            return None
        link = self._links[host.index].get(other.index)
        return link if link is not None and link.is_open[link.get_side(host)] else None

    # -- sending ---------------------------------------------------------------------------------

    def send(self, host: Host, peer: NodeId, message: Message) -> None:
        """Send a control message, or tell the sender that it cannot go."""
        kind = type(message).__name__
        self.message_counts[kind] = self.message_counts.get(kind, 0) + 1
        link = self.find_link(host, peer)
        if link is None or len(link.ways[link.get_side(host)].held) >= LINK_MESSAGES_QUEUED_MAX:
            host.later(0, SendFailed(peer, message))
            return
        data = encode_message(message)
        self.watch_message(host, peer, message, data)
        self.carry(link, host, lambda: self._deliver(link.get_other(host), host.node_id, data))

    def carry(self, link: Link, sender: Host, action: Action, *, extra_us: int = 0) -> None:
        """Do `action` at the other end when what is sent now arrives, if the link lasts so long."""
        side = link.get_side(sender)

        def arrive() -> None:
            if link.is_open[1 - side]:
                action()

        if self._paths[sender.index, link.ends[1 - side].index].blocks:
            link.ways[side].held.append(lambda: self.carry(link, sender, action, extra_us=extra_us))
        else:
            self._world.at(self._reserve_arrival(link, side) + extra_us, arrive)

    def _reserve_arrival(self, link: Link, side: int) -> int:
        way = link.ways[side]
        path = self._paths[link.ends[side].index, link.ends[1 - side].index]
        way.arrival_us = max(way.arrival_us, self._world.now_us + self._draw_delay_us(path))
        return way.arrival_us

    def compute_transfer_us(self, body_bytes: int) -> int:
        """How long a body of this size takes on top of a message's delay."""
        return body_bytes * SECOND // self.plan.bytes_per_s

    def _deliver(self, receiver: Host, sender: NodeId, data: bytes) -> None:
        envelope = open_message_with(self._records.open, data, sender=sender)
        self.open_envelope(receiver, envelope)

    def _draw_delay_us(self, path: Path) -> int:
        return draw_delay_us(self.plan, path.latency_us, self._entropy)

    # -- links -----------------------------------------------------------------------------------

    def dial(self, host: Host, address: str, expected: NodeId | None) -> None:
        """Try to link to whoever listens at an address."""
        other = self._addresses.get(address)
        fail = self._create_refusal(host, address, expected)
        if other is None or other is host:
            host.do_later(1, fail("nobody of use listens there"))
            return
        there, back = self._paths[host.index, other.index], self._paths[other.index, host.index]
        if there.blocks or back.blocks:
            host.do_later(LINK_HANDSHAKE_US, fail("no answer"))
            return
        is_unlucky = self._entropy.chance(self.plan.dial_failure_permille)
        delay_us = HANDSHAKE_CROSSINGS * self._draw_delay_us(there)

        def finish() -> None:
            detail = self._find_dial_fault(host, other, expected)
            if is_unlucky or detail:
                fail(detail or "the connection broke")()
            else:
                self._open(host, other, address)

        host.do_later(delay_us, finish)

    def _create_refusal(
        self, host: Host, address: str, expected: NodeId | None
    ) -> Callable[[str], Action]:
        def fail(detail: str) -> Action:
            other = self._addresses.get(address)
            is_linked = other is not None and self.find_link(host, other.node_id) is not None
            peer = other.node_id if is_linked and other is not None else expected
            return lambda: host.tell(DialFailed(address, peer, detail))

        return fail

    def _find_dial_fault(self, host: Host, other: Host, expected: NodeId | None) -> str:
        if not other.is_up:
            return "connection refused"
        if expected not in {None, other.node_id}:
            return "another node answers there"
        if self._paths[host.index, other.index].blocks:
            return "no answer"
        if self.find_link(host, other.node_id) is not None:
            return "linked already"
        if max(len(self.get_links(host)), len(self.get_links(other))) >= LINKS_MAX:
            return "no room for more links"
        return ""

    def _open(self, host: Host, other: Host, address: str) -> None:
        old = self._links[host.index].get(other.index)
        if old is not None:
            self._close_end(old, other, "replaced")
        link = Link((host, other))
        self._links[host.index][other.index] = self._links[other.index][host.index] = link
        life = other.life

        def accept() -> None:
            if not link.is_open[0]:
                return
            if other.life != life:
                self._close_end(link, host, "connection reset")
            elif len(self.get_links(other)) >= LINKS_MAX:
                # Others who dialled at the same moment were first.
                self._close_end(link, host, "no room for more links")
            else:
                link.is_open[1] = True
                other.tell(LinkOpened(host.node_id, f"seen:{host.index}", is_dialled=False))

        self._world.at(self._reserve_arrival(link, 0), accept)
        host.tell(LinkOpened(other.node_id, address, is_dialled=True))

    def end_link(self, host: Host, effect: CloseLink) -> None:
        """Do what a peer asks for: end its link to another, if it may."""
        link = self.find_link(host, effect.peer)
        if link is not None and not (effect.is_shed and link.cargo):
            self.close(link, host, effect.detail, is_shed=effect.is_shed)

    def close(self, link: Link, host: Host, detail: str, *, is_shed: bool = False) -> None:
        """End a link at one end; the other hears of it when the news arrives."""
        other = link.get_other(host)
        self._close_end(link, host, detail, is_shed=is_shed)
        self.carry(link, host, lambda: self._close_end(link, other, detail, is_shed=is_shed))

    def lose_process(self, host: Host, *, is_silent: bool) -> None:
        """A host's process dies: its ends go, and the others hear of it now or by silence."""
        for link in self.get_links(host):
            give_up = self._create_give_up(link, link.get_other(host))
            silence_us = LINK_DEAD_US if link.cargo else LINK_IDLE_DEAD_US
            self._close_end(link, host, "")
            if is_silent:
                self._world.after(silence_us, give_up)
            else:
                self.carry(link, host, give_up)

    def break_links(self, host: Host) -> None:
        """Every link of a host breaks at both ends at once."""
        for link in self.get_links(host):
            for end in link.ends:
                self._close_end(link, end, "connection reset")

    def _create_give_up(self, link: Link, end: Host) -> Action:
        return lambda: self._close_end(link, end, "lost")

    def _close_end(self, link: Link, end: Host, detail: str, *, is_shed: bool = False) -> None:
        side = link.get_side(end)
        if not link.is_open[side]:
            return
        link.is_open[side] = False
        link.ways[side].held.clear()
        for cargo in list(link.cargo):
            cargo.on_link_lost(end)
        peer = link.get_other(end)
        if not any(link.is_open) and self._links[end.index].get(peer.index) is link:
            del self._links[end.index][peer.index], self._links[peer.index][end.index]
        end.later(0, LinkClosed(peer.node_id, detail, is_shed))

    # -- faults of paths -------------------------------------------------------------------------

    def block(self, source: Host, target: Host) -> None:
        """Nothing gets from one host to another until `unblock`; calls nest."""
        path = self._paths[source.index, target.index]
        path.blocks += 1
        if path.blocks > 1:
            return
        path.blocked_since_us = since_us = self._world.now_us

        def notice(*, is_idle: bool) -> None:
            link = self._links[source.index].get(target.index)
            is_blocked = path.blocks and path.blocked_since_us == since_us
            if is_blocked and link is not None and (is_idle or link.cargo):
                self.close(link, target, "silent")

        self._world.after(LINK_DEAD_US, lambda: notice(is_idle=False))
        self._world.after(LINK_IDLE_DEAD_US, lambda: notice(is_idle=True))

    def unblock(self, source: Host, target: Host) -> None:
        """End one `block`; when it was the last, what was held sets off."""
        path = self._paths[source.index, target.index]
        path.blocks -= 1
        link = self._links[source.index].get(target.index)
        if path.blocks or link is None:
            return
        way = link.ways[link.get_side(source)]
        held, way.held = way.held, []
        for action in held:
            action()


def _tell_envelope(receiver: Host, envelope: Envelope) -> None:
    receiver.tell(EnvelopeReceived(envelope))
