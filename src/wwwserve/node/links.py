"""The links of one node: at most one to each peer, and what comes over them.

When two nodes dial each other at once, both links come up; each side keeps the one dialled by the
node with the lower id, so they agree without a word. A second link dialled by the same side
replaces the first, which must be dead or dying.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from wwwserve.core.events import DialFailed, EnvelopeReceived, Event, LinkClosed, LinkOpened
from wwwserve.core.facts import Fact, PeerRefused
from wwwserve.node.strangers import Strangers
from wwwserve.node.verifying import RationedVerifier, RememberingVerifier
from wwwserve.ports.clock import Clock
from wwwserve.ports.transport import CloseReason, Link, LinkEnded, LinkOwner, Stream, Transport
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import LINKS_MAX, MIB
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Message, Verifier, encode_message, open_message

LINK_MESSAGES_PER_SECOND_MAX = 2_000
"""Control messages taken from one peer in a second; more are dropped unread and reported once."""
LINK_MESSAGE_BYTES_PER_SECOND_MAX = 1 * MIB
"""Bytes of them; an honest peer says a tenth of it. Taking apart so many records takes 0.1 s."""
LINK_STRIKES_MAX = 16
"""Malformed messages before a link is closed: newer software may say things we do not know."""
LINKS_INCOMING_MAX = LINKS_MAX - 8
"""Links that others may have dialled: the rest is kept for dials of our own, so that no crowd at
the door can keep this node from whom it wants to meet."""
DIALS_MAX = 32
"""Dials under way at once; one more fails at once and is tried again later."""


@dataclass(slots=True)
class _Held:
    """A link and what its peer has done with it."""

    link: Link
    verifier: Verifier
    second: int = 0
    messages: int = 0
    message_bytes: int = 0
    strikes: int = 0

    @property
    def is_within_rate(self) -> bool:
        """Whether what it said in this second is still read."""
        return (
            self.messages <= LINK_MESSAGES_PER_SECOND_MAX
            and self.message_bytes <= LINK_MESSAGE_BYTES_PER_SECOND_MAX
        )


@dataclass(slots=True)
class LinkTable:
    """Keeps links, turns what they say into events, and sends what the peer wants sent."""

    own: NodeId
    network_id: bytes
    transport: Transport
    verifier: RememberingVerifier
    clock: Clock
    tasks: asyncio.TaskGroup
    deliver: Callable[[Event], None]
    tell: Callable[[Fact], None]
    on_stream: Callable[[NodeId, Stream], None]
    is_open: bool = False
    """Links that come before the peer is ready are turned away; they will be dialled again."""
    _strangers: Strangers = field(default_factory=Strangers)
    _held: dict[NodeId, _Held] = field(default_factory=dict)
    _dialling: dict[tuple[str, NodeId | None], asyncio.Task[None]] = field(default_factory=dict)

    def adopt(self, link: Link) -> LinkOwner:
        """Take in a proved link that another node dialled; the `on_link` of a transport."""
        self._take_in(link, link.remote_address)
        return self

    def on_refused(self, ended: LinkEnded) -> None:
        """Tell the operator of a node that is there but cannot be talked to, now and then."""
        fact = self._strangers.note(ended, self.clock.now())
        if fact is not None:
            self.tell(fact)

    def end(self) -> None:
        """The node ends: give up dials, close every link, and take no more."""
        self.is_open = False
        for task in self._dialling.values():
            task.cancel()
        for held in list(self._held.values()):
            held.link.close(CloseReason.LEAVING)

    def _take_in(self, link: Link, address: str) -> bool:
        """Keep a link or close it; returns whether the peer was told of one it did not have."""
        held = self._held.get(link.peer)
        if link.peer == self.own:
            link.close(CloseReason.UNWANTED)
        elif not self.is_open or (held is None and not self._has_room(link)):
            link.close(CloseReason.FULL)
        elif held is not None and not self._is_better(link, held.link):
            link.close(CloseReason.DUPLICATE)
        else:
            self._held[link.peer] = _Held(link, RationedVerifier(self.verifier, self.clock))
            if held is None:
                self.deliver(LinkOpened(link.peer, address, link.is_dialled))
                return True
            held.link.close(CloseReason.DUPLICATE)
        return False

    def _has_room(self, link: Link) -> bool:
        if link.is_dialled:
            return len(self._held) < LINKS_MAX
        incoming = sum(not held.link.is_dialled for held in self._held.values())
        return len(self._held) < LINKS_MAX and incoming < LINKS_INCOMING_MAX

    def _is_better(self, new: Link, old: Link) -> bool:
        if new.is_dialled == old.is_dialled:
            return True
        return new.is_dialled == (self.own < new.peer)

    def get(self, peer: NodeId) -> Link | None:
        """The link to a peer, if there is one."""
        held = self._held.get(peer)
        return held.link if held else None

    def send(self, peer: NodeId, message: Message) -> bool:
        """Queue a control message; False if there is no link or its queue is full."""
        held = self._held.get(peer)
        return held is not None and held.link.send_message(encode_message(message))

    def dial(self, address: str, expected: NodeId | None) -> None:
        """Set a dial going; it ends as `LinkOpened` or `DialFailed`."""
        key = (address, expected)
        if key in self._dialling:
            return
        if len(self._dialling) >= DIALS_MAX:
            self.deliver(DialFailed(address, expected, "too many dials at once"))
            return
        self._dialling[key] = self.tasks.create_task(self._dial(address, expected))

    async def _dial(self, address: str, expected: NodeId | None) -> None:
        is_news = False

        def take_in(link: Link) -> LinkOwner:
            # By the address dialled, which the peer knows it by: a name is seen as a number.
            nonlocal is_news
            is_news = self._take_in(link, address)
            return self

        try:
            link = await self.transport.dial(address, expected, take_in)
        except LinkEnded as ended:
            self.on_refused(ended)
            self.deliver(DialFailed(address, expected, str(ended)))
        else:
            if not is_news:
                self.deliver(DialFailed(address, link.peer, "linked already, or no room"))
        finally:
            del self._dialling[address, expected]

    def close(self, peer: NodeId, reason: CloseReason) -> None:
        """End the link to a peer, if there is one."""
        held = self._held.get(peer)
        if held is not None:
            held.link.close(reason)

    def shed(self, peer: NodeId) -> None:
        """End the link to a peer because there are too many, unless something runs on it."""
        held = self._held.get(peer)
        if held is not None and held.link.stream_count == 0:
            held.link.close(CloseReason.FULL)

    # -- what links tell their owner -------------------------------------------------------------

    def on_link_message(self, link: Link, payload: bytes) -> None:
        """One control message: bounded, opened, checked, delivered."""
        held = self._held.get(link.peer)
        if held is None or held.link is not link or not self._is_within_rate(held, len(payload)):
            return
        try:
            envelope = open_message(
                payload, sender=link.peer, verifier=held.verifier, network_id=self.network_id
            )
        except Refusal as refusal:
            held.strikes += 1
            self.tell(PeerRefused(link.peer, refusal.rule, refusal.detail))
            if held.strikes >= LINK_STRIKES_MAX:
                link.close(CloseReason.MALFORMED)
            return
        self.deliver(EnvelopeReceived(envelope))

    def _is_within_rate(self, held: _Held, size: int) -> bool:
        second = self.clock.now() // SECOND
        if second != held.second:
            held.second, held.messages, held.message_bytes = second, 0, 0
        was_within = held.is_within_rate
        held.messages += 1
        held.message_bytes += size
        if was_within and not held.is_within_rate:
            detail = f"{held.messages} messages of {held.message_bytes} bytes in a second"
            self.tell(PeerRefused(held.link.peer, "message-rate", detail))
        return held.is_within_rate

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        """The peer opened a stream: an offer follows."""
        self.on_stream(link.peer, stream)

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        """A link is gone; only the one in the table matters to the peer."""
        held = self._held.get(link.peer)
        if held is not None and held.link is link:
            del self._held[link.peer]
            is_shed = reason is CloseReason.FULL
            self.deliver(LinkClosed(link.peer, reason.name.lower(), is_shed))
