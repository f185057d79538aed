"""The links of one node: at most one to each peer, and what comes over them.

When two nodes dial each other at once, both links come up; each side keeps the one dialled by the
node with the lower id, so they agree without a word. A second link dialled by the same side
replaces the first, which must be dead or dying.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from wwwserve.core.chain import ChainWord
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
from wwwserve.wire import Message, Probe, Quote, Verifier, encode_message, open_message
from wwwserve.wire.chain import (
    BlocksWanted,
    BlockTold,
    FeedTold,
    ForkTold,
    HeadTold,
    is_chain_message,
)

LINK_MESSAGES_PER_SECOND_MAX = 2_000
"""Control messages taken from one peer in a second; more are dropped unread and reported once."""
LINK_MESSAGE_BYTES_PER_SECOND_MAX = 1 * MIB
"""Bytes of them; an honest peer says a tenth of it. Taking apart so many records takes 0.1 s."""
LINK_CHAIN_MESSAGES_PER_SECOND_MAX = 16_384
"""The same for messages about the ledger's log: at four blocks a second, each of 1 024 feed blocks,
four times what the sequencer says. They are opened in a worker, in short turns."""
LINK_CHAIN_BYTES_PER_SECOND_MAX = 32 * MIB
"""Bytes of them: four full blocks a second, and as much again."""
LINK_STRIKES_MAX = 16
"""Malformed messages before a link is closed: newer software may say things we do not know."""
LINKS_INCOMING_MAX = LINKS_MAX - 8
"""Links that others may have dialled: the rest is kept for dials of our own, so that no crowd at
the door can keep this node from whom it wants to meet."""
DIALS_MAX = 32
"""Dials under way at once; one more fails at once and is tried again later."""


@dataclass(slots=True)
class _Ration:
    """What is read of one kind of messages in a second."""

    messages_max: int
    bytes_max: int
    second: int = 0
    messages: int = 0
    message_bytes: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether what was said in this second is still read."""
        return self.messages <= self.messages_max and self.message_bytes <= self.bytes_max

    def take(self, size: int, second: int) -> None:
        """Count one message."""
        if second != self.second:
            self.second, self.messages, self.message_bytes = second, 0, 0
        self.messages += 1
        self.message_bytes += size


def _make_ration() -> _Ration:
    return _Ration(LINK_MESSAGES_PER_SECOND_MAX, LINK_MESSAGE_BYTES_PER_SECOND_MAX)


def _make_chain_ration() -> _Ration:
    return _Ration(LINK_CHAIN_MESSAGES_PER_SECOND_MAX, LINK_CHAIN_BYTES_PER_SECOND_MAX)


@dataclass(slots=True)
class _Held:
    """A link and what its peer has done with it."""

    link: Link
    verifier: Verifier
    ration: _Ration = field(default_factory=_make_ration)
    chain_ration: _Ration = field(default_factory=_make_chain_ration)
    strikes: int = 0
    probes: int = 0
    """Sent, and not answered by a quote yet."""


class LogWords(Protocol):
    """Takes what peers say about the ledger's log, which is too slow to open at once."""

    def receive(self, peer: NodeId, word: ChainWord | BlocksWanted, size: int) -> None:
        """A peer said something, in a message of so many bytes."""
        ...

    def forget(self, peer: NodeId) -> None:
        """The link to a peer is gone."""
        ...


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
    log_words: LogWords | None = None
    """Takes what is said about the ledger's log; None: nobody does."""
    check_quote: Callable[[NodeId, Quote], None] | None = None
    """Raises `Refusal` for a price that its executor did not sign; None: there are no prices."""
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
            new = self._held[link.peer] = _Held(link, RationedVerifier(self.verifier, self.clock))
            # Who was asked over one link may answer over the one that replaces it.
            new.probes = held.probes if held is not None else 0
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
        is_sent = self.send_payload(peer, encode_message(message))
        if is_sent and isinstance(message, Probe):
            self._held[peer].probes += 1
        return is_sent

    def send_payload(self, peer: NodeId, payload: bytes) -> bool:
        """Queue a control message that is encoded already, as one for many links is."""
        held = self._held.get(peer)
        return held is not None and held.link.send_message(payload)

    def list_peers(self) -> tuple[NodeId, ...]:
        """Everybody there is a link to."""
        return tuple(self._held)

    def refuse(self, peer: NodeId, refusal: Refusal) -> None:
        """A peer said what breaks a rule; too often, and its link ends."""
        held = self._held.get(peer)
        if held is None:
            return
        self.tell(PeerRefused(peer, refusal.rule, refusal.detail))
        held.strikes += 1
        if held.strikes >= LINK_STRIKES_MAX:
            held.link.close(CloseReason.MALFORMED)

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
        if held is None or held.link is not link or not self._is_within_rate(held, payload):
            return
        try:
            envelope = open_message(
                payload, sender=link.peer, verifier=held.verifier, network_id=self.network_id
            )
            if isinstance(envelope.message, Quote) and not self._take_quote(held, envelope.message):
                return
        except Refusal as refusal:
            self.refuse(link.peer, refusal)
            return
        match envelope.message:
            case FeedTold() | BlockTold() | HeadTold() | ForkTold() | BlocksWanted() as word:
                if self.log_words is not None:
                    self.log_words.receive(link.peer, word, len(payload))
            case _:
                self.deliver(EnvelopeReceived(envelope))

    def _take_quote(self, held: _Held, quote: Quote) -> bool:
        """Whether a quote is an answer; raises `Refusal` for a price that its node did not sign.

        One that nobody asked for is not even looked at, as to check a signature takes a while.
        """
        if not held.probes:
            return False
        held.probes -= 1
        if self.check_quote is not None:
            self.check_quote(held.link.peer, quote)
        return True

    def _is_within_rate(self, held: _Held, payload: bytes) -> bool:
        ration = held.chain_ration if is_chain_message(payload) else held.ration
        was_kept = ration.is_kept
        ration.take(len(payload), self.clock.now() // SECOND)
        if was_kept and not ration.is_kept:
            detail = f"{ration.messages} messages of {ration.message_bytes} bytes in a second"
            self.tell(PeerRefused(held.link.peer, "message-rate", detail))
        return ration.is_kept

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        """The peer opened a stream: an offer follows."""
        self.on_stream(link.peer, stream)

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        """A link is gone; only the one in the table matters to the peer."""
        held = self._held.get(link.peer)
        if held is not None and held.link is link:
            del self._held[link.peer]
            if self.log_words is not None:
                self.log_words.forget(link.peer)
            is_shed = reason is CloseReason.FULL
            self.deliver(LinkClosed(link.peer, reason.name.lower(), is_shed))
