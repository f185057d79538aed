"""The one door of gossip: every event goes to the part it concerns, every refusal ends here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, assert_never

import msgspec

from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    DeadlineReached,
    Depart,
    Departure,
    DialFailed,
    EnvelopeReceived,
    Join,
    LinkClosed,
    LinkOpened,
    Persisted,
    SendFailed,
    SetAddresses,
    Started,
)
from wwwserve.core.facts import LinkChanged, MemberStatus, PeerRefused
from wwwserve.core.gossip.agenda import Entry, Task, TaskAboutOne
from wwwserve.core.gossip.book import Book
from wwwserve.core.gossip.dialling import Dialler
from wwwserve.core.gossip.effects import GossipEffect
from wwwserve.core.gossip.events import Described, GossipEvent
from wwwserve.core.gossip.exchange import Exchange
from wwwserve.core.gossip.own import OwnRecord
from wwwserve.core.gossip.probing import Prober
from wwwserve.core.gossip.relaying import Relayer
from wwwserve.core.gossip.rules import get_doubts
from wwwserve.core.gossip.spreading import Spreader
from wwwserve.core.gossip.state import TASKS_PER_CALL_MAX, Link, State
from wwwserve.core.gossip.table import Table
from wwwserve.core.lanes import Lane
from wwwserve.core.setup import PeerSetup
from wwwserve.core.snapshot import MemberView
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire import (
    Ack,
    Dead,
    Digest,
    Envelope,
    Listing,
    Message,
    Nack,
    OpenedRecord,
    PeerRecord,
    Ping,
    PingRequest,
    Probe,
    PushPull,
    Quote,
    Room,
    Suspect,
)
from wwwserve.wire import Gossip as GossipMessage
from wwwserve.wire.chain import ChainMessage


class Gossip:
    """Knows who is here, tells the others who we are, and keeps links to them."""

    def __init__(self, setup: PeerSetup, entropy: Entropy) -> None:
        """Read the book and sign the first own record; nothing is sent before `Started`."""
        self._state = State(setup.node_id, setup.parameters, entropy)
        self._book = Book(self._state, setup.restored)
        self._own = OwnRecord(self._state, self._book, setup)
        self._table = Table(self._state, self._book)
        self._spreader = Spreader(self._state, self._own)
        self._prober = Prober(self._state, self._table, self._spreader)
        self._relayer = Relayer(self._state, self._spreader)
        self._dialler = Dialler(self._state, self._table, self._own, setup.bootstrap)
        self._exchange = Exchange(self._state, self._table, self._own)

    # -- asking ----------------------------------------------------------------------------------

    @property
    def own(self) -> OpenedRecord:
        """What this node says about itself now."""
        return self._own.opened

    def get_members(self) -> Sequence[MemberView]:
        """All others known, in the order of their ids."""
        return self._table.get_views()

    def get_member(self, node: NodeId) -> MemberView | None:
        """What is held of one node."""
        return self._table.get_view(node)

    def is_routable(self, node: NodeId) -> bool:
        """Whether the node may be given work: alive, linked and taking new work."""
        member = self._state.members.get(node)
        return (
            member is not None
            and member.status is MemberStatus.ALIVE
            and node in self._state.links
            and not member.opened.record.is_draining
        )

    def next_deadline(self) -> Moment:
        """When to call `handle(DeadlineReached(), now)`, if nothing happens before."""
        return self._state.agenda.get_next()

    # -- the door --------------------------------------------------------------------------------

    def handle(self, event: GossipEvent, now: Moment) -> list[GossipEffect]:
        """Take in what happened; the answer is what is to be done, in order."""
        self._state.now = now
        self._dispatch(event)
        for _ in range(TASKS_PER_CALL_MAX):
            entry = self._state.agenda.pop_due(now)
            if entry is None:
                break
            self._do(entry)
        return self._state.take_effects()

    def _dispatch(self, event: GossipEvent) -> None:
        match event:
            case Started() | DeadlineReached() | Persisted():
                self._on_host(event)
            case LinkOpened() | LinkClosed() | DialFailed():
                self._on_link(event)
            case EnvelopeReceived():
                self._on_envelope(event.envelope)
            case SendFailed():
                if isinstance(event.message, Ping):
                    self._prober.on_unreachable(event.peer, event.message.number)
                    self._relayer.on_unsent(event.message.number)
            case Join() | SetAddresses() | Depart() | Described():
                self._on_command(event)
            case _:
                assert_never(event)

    def _do(self, entry: Entry) -> None:
        match entry.task:
            case Task.PROBE | Task.PROBE_TIMEOUT | Task.SEEK:
                self._do_probing(entry.task, entry.due)
            case Task.GOSSIP:
                self._spreader.on_gossip_due()
            case Task.PUSH_PULL:
                self._exchange.on_period()
            case Task.REFUTE:
                self._own.on_refute_due()
            case Task.WRITE_BOOK:
                self._book.on_write_due()
            case Task.KNOCK | Task.TEND:
                self._do_dialling(entry.task)
            case _:
                self._do_about(entry.task, entry.subject, entry.due)

    def _do_probing(
        self, task: Literal[Task.PROBE, Task.PROBE_TIMEOUT, Task.SEEK], due: Moment
    ) -> None:
        match task:
            case Task.PROBE:
                self._prober.on_period(due)
            case Task.PROBE_TIMEOUT:
                self._prober.on_timeout()
            case Task.SEEK:
                self._prober.on_seek_due()
            case _:
                assert_never(task)

    def _do_dialling(self, task: Literal[Task.KNOCK, Task.TEND]) -> None:
        match task:
            case Task.KNOCK:
                self._dialler.on_knock_due()
            case Task.TEND:
                self._dialler.on_tend_due()
            case _:
                assert_never(task)

    def _do_about(self, task: TaskAboutOne, subject: bytes, due: Moment) -> None:
        match task:
            case Task.INTRODUCE:
                self._exchange.on_introduce_due(NodeId(subject))
            case Task.GIVE:
                self._exchange.on_give_due(NodeId(subject))
            case Task.DIAL:
                self._dialler.on_dial_due(NodeId(subject))
            case Task.MEET:
                self._dialler.on_meet_due(subject)
            case Task.DECLARE_DEAD:
                self._table.on_verdict_due(NodeId(subject), due)
            case Task.RELAY:
                self._relayer.on_wait_over(subject)
            case Task.FORGET:
                self._table.on_forget_due(NodeId(subject))
            case _:
                assert_never(task)

    def _on_host(self, event: Started | DeadlineReached | Persisted) -> None:
        match event:
            case Started():
                self._on_started()
            case DeadlineReached():
                pass  # What is due is done after every event.
            case Persisted():
                if event.lane is Lane.BOOK:
                    self._own.on_persisted(event.number)
            case _:
                assert_never(event)

    def _on_started(self) -> None:
        self._own.on_started()
        self._table.on_started()
        self._prober.on_started()
        self._exchange.on_started()
        self._dialler.on_started()

    # -- links -----------------------------------------------------------------------------------

    def _on_link(self, event: LinkOpened | LinkClosed | DialFailed) -> None:
        match event:
            case LinkOpened():
                self._on_link_opened(event)
            case LinkClosed():
                self._on_link_closed(event)
            case DialFailed():
                self._dialler.on_dial_failed(event.address, event.peer)
            case _:
                assert_never(event)

    def _on_link_opened(self, event: LinkOpened) -> None:
        state, peer = self._state, event.peer
        state.links[peer] = Link.open(state.parameters, state.now)
        state.report(LinkChanged(peer, is_open=True, detail=event.address))
        self._dialler.on_link_opened(peer, event.address, is_dialled=event.is_dialled)
        self._prober.on_shown(peer)
        with self._refusing(peer):
            self._table.on_link_changed(peer)
        self._exchange.on_link_opened(peer, is_dialled=event.is_dialled)

    def _on_link_closed(self, event: LinkClosed) -> None:
        state, peer = self._state, event.peer
        if state.links.pop(peer, None) is None:
            return
        state.report(LinkChanged(peer, is_open=False, detail=event.detail))
        self._exchange.on_link_closed(peer)
        if not state.links:
            # Nobody is there to be told; whoever comes gets the whole table.
            state.claims.clear()
        self._table.on_link_changed(peer)
        if not state.has_left:
            member = state.members.get(peer)
            # Who was in doubt before is so still, whoever let go of the link.
            is_well = event.is_shed and (member is None or member.status is MemberStatus.ALIVE)
            self._prober.on_link_closed(peer, is_shed=is_well)
            self._dialler.on_link_closed(peer, is_shed=is_well)

    # -- messages --------------------------------------------------------------------------------

    def _on_envelope(self, envelope: Envelope) -> None:
        sender = envelope.sender
        if sender not in self._state.links:
            # Said before the link closed, heard after: no answer could go, and news comes again.
            return
        self._state.links[sender].noticed_at = self._state.now
        if envelope.refused:
            detail = f"{envelope.refused} records that break a rule"
            self._state.report(PeerRefused(sender, "record", detail))
        if isinstance(envelope.message, PushPull):
            self._exchange.on_records(envelope.records)
        for opened in envelope.records:
            if opened.node != sender and self._table.is_old(opened):
                self._spreader.hear_again(opened)
                continue  # Most records come more than once.
            with self._refusing(sender):
                self._on_record(opened, sender)
        with self._refusing(sender):
            self._on_message(envelope.message, sender)

    def _on_message(self, message: Message, sender: NodeId) -> None:
        # Neither quotes nor the ledger are for gossip.
        assert not isinstance(message, Probe | Quote | Room | ChainMessage), message
        match message:
            case Ping() | Ack() | Nack() | PingRequest() | GossipMessage():
                self._on_doubts(get_doubts(message.claims), sender)
                self._on_probing(message, sender)
            case PushPull() | Digest() | Listing():
                self._on_exchange(message, sender)
            case _:
                assert_never(message)

    def _on_probing(
        self, message: Ping | Ack | Nack | PingRequest | GossipMessage, sender: NodeId
    ) -> None:
        match message:
            case Ping():
                self._spreader.answer(sender, message.number)
            case Ack():
                if not self._relayer.on_ack(sender, message.number):
                    self._prober.on_ack(sender, message.number)
            case Nack():
                self._prober.on_nack(sender, message)
            case PingRequest():
                self._relayer.on_request(sender, message)
            case GossipMessage():
                pass  # It is news and no more.
            case _:
                assert_never(message)

    def _on_exchange(self, message: PushPull | Digest | Listing, sender: NodeId) -> None:
        match message:
            case Digest():
                self._exchange.on_question(sender, message)
            case Listing():
                doubts = self._exchange.on_listing(sender, message)
                self._on_doubts(doubts, sender, is_fresh=False)
            case PushPull():
                self._on_doubts(message.doubts, sender, is_fresh=False)
                self._exchange.on_wanted(sender, message.wanted)
            case _:
                assert_never(message)

    def _on_record(self, opened: OpenedRecord, sender: NodeId) -> None:
        if opened.node == self._state.node:
            self._own.on_own_record(opened, sender)
        else:
            known = self._table.get_view(opened.node)
            self._table.apply_record(opened)
            if known is not None and known.record.addresses != opened.record.addresses:
                self._dialler.on_moved(opened.node)
            if opened.node == sender:
                self._exchange.on_shown(opened)

    def _on_doubts(
        self, doubts: Sequence[Suspect | Dead], sender: NodeId, *, is_fresh: bool = True
    ) -> None:
        for doubt in doubts:
            if doubt.node == self._state.node:
                self._on_own_doubt(doubt, sender)
            elif self._table.apply_doubt(doubt) if is_fresh else self._table.apply_old_doubt(doubt):
                self._prober.probe_soon(NodeId(doubt.node))

    def _on_own_doubt(self, doubt: Suspect | Dead, sender: NodeId) -> None:
        is_news = doubt.version >= self._own.version
        with self._refusing(sender):
            self._own.on_doubt(doubt, sender)
            if is_news:
                self._state.health.on_refuted()

    @contextmanager
    def _refusing(self, peer: NodeId) -> Iterator[None]:
        """The one place where a refusal of a peer's words ends: it becomes a fact."""
        try:
            yield
        except Refusal as refusal:
            if refusal.severity is Severity.REJECT:
                self._state.report(PeerRefused(peer, refusal.rule, refusal.detail))

    # -- the operator and the rest of the peer ---------------------------------------------------

    def _on_command(self, event: Join | SetAddresses | Depart | Described) -> None:
        match event:
            case SetAddresses():
                self._own.move(event.addresses, event.region)
            case Join():
                self._dialler.on_join(event.addresses, event.expected)
            case Depart():
                self._on_depart(event.departure)
            case Described():
                self._own.describe(event.models, event.slots)
            case _:
                assert_never(event)

    def _on_depart(self, departure: Departure) -> None:
        if self._state.has_left:
            return
        record = self._own.opened.record
        match departure:
            case Departure.DRAIN:
                self._own.announce(msgspec.structs.replace(record, is_draining=True))
            case Departure.RESUME:
                self._own.announce(msgspec.structs.replace(record, is_draining=False))
            case Departure.LEAVE:
                self._leave(msgspec.structs.replace(record, is_leaving=True))
            case _:
                assert_never(departure)

    def _leave(self, record: PeerRecord) -> None:
        """Say goodbye to everybody linked. From now on we only answer."""
        self._own.announce(record)
        self._spreader.tell_everybody()
        self._book.on_write_due()
        self._state.has_left = True
        self._state.claims.clear()
        self._state.agenda.clear()
