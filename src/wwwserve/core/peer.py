"""One peer: introduces the machines to each other, and is the one door to all of them.

Every event is told to the machines it concerns, and what one machine answers that concerns another
is passed on in `_pass_on`, one line for each kind. Requests also ask policy and routing; that is
arranged once, in the constructor. Where the network has a ledger, `Accounting` joins them as soon
as its genesis is known here.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from wwwserve.core.accounting import Accounting, AccountingEffect, PaidEvent
from wwwserve.core.chain import DeskEvent, LedgerView, Loaded
from wwwserve.core.effects import DeclineOffer, Effect, ExtendPayment, Report
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    CancelRequest,
    DeadlineReached,
    Depart,
    Departure,
    DialFailed,
    EngineRead,
    EnvelopeReceived,
    Event,
    ExtensionReceived,
    FirstOutput,
    HoldRunsOut,
    Join,
    LinkClosed,
    LinkOpened,
    LocalTimeRead,
    MachineRead,
    OfferCancelled,
    OfferReceived,
    OrderOps,
    PaymentProgressed,
    Persisted,
    RecallAnswered,
    SendFailed,
    SetAddresses,
    SetGroups,
    SetModels,
    SetPolicy,
    SetPrices,
    Started,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamProgressed,
    SubmitRequest,
)
from wwwserve.core.facts import OpeningChanged
from wwwserve.core.gossip import Described, Gossip, GossipEffect, GossipEvent, MemberUpdated
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger_door import LedgerDoor
from wwwserve.core.log_news import BlockTold, FeedTold, ForkTold, HeadTold
from wwwserve.core.paying import WorkUnpaid
from wwwserve.core.payments import OfferDeclined
from wwwserve.core.placing import ExecutorFailed, Experience, FirstTokenLate, OfferSent, RunMeasured
from wwwserve.core.policy import Policy
from wwwserve.core.requests import (
    LedgerUnknown,
    PeersLost,
    ProbeFailed,
    Requests,
    RequestsEffect,
    Unpaid,
    hear,
)
from wwwserve.core.routing import Routing
from wwwserve.core.sessions import count_slots, unite_offers
from wwwserve.core.setup import PeerSetup
from wwwserve.core.snapshot import OpeningView, Snapshot
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Probe, Quote, Room
from wwwserve.wire.chain import ChainMessage

_Inner = GossipEffect | RequestsEffect | AccountingEffect


class Peer:
    """What a node decides: told what happened and what time it is, it answers what to do."""

    def __init__(self, setup: PeerSetup, loaded: Loaded | None = None) -> None:
        """`loaded` is the network's ledger, as far as it is known here."""
        entropy = Entropy(setup.entropy_seed)
        self._own = setup.node_id
        self._models = setup.models
        self._gossip = Gossip(setup, entropy.split("gossip"))
        self._policy = Policy(setup.policy, entropy.split("policy"), setup.memory)
        self._routing = Routing(self._own, setup.groups, entropy.split("routing"))
        self._routing.set_seats(setup.seats)
        self._requests = Requests(
            self._own,
            setup.models,
            policy=self._policy,
            routing=self._routing,
            payments=Unpaid(),
            entropy=entropy.split("requests"),
        )
        self._ledger = LedgerDoor(setup, loaded, entropy, self._policy, self._on_ledger)
        if self._ledger.is_paid:
            self._requests.set_payments(LedgerUnknown())
        self._gossip_deadline = self._gossip.next_deadline()
        """Moved by what gossip is told alone, so not asked for after each event of a request."""
        self._is_resting = False
        """Whether the operator paused or drained the node."""
        self._is_open = True
        """Whether gossip says that other nodes' requests are taken."""
        self._routing.set_models(setup.models)
        for member in self._gossip.get_members():
            self._routing.set_member(member)

    # -- the door --------------------------------------------------------------------------------

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        """Take in what happened; the answer is what is to be done, in order."""
        effects: list[Effect] = []
        if now >= self._policy.opening.turn_at:
            # The hours turn at their own moment, whatever else happened first at or after it.
            self._policy.opening.turn(now)
            effects = self._pass_on(self._note_opening(now), now)
        effects += self._pass_on(self._tell(event, now), now)
        return effects + [Report(fact) for fact in self._policy.take_facts()]

    def next_deadline(self) -> Moment:
        """When to call `handle(DeadlineReached(), now)`, if nothing happens before."""
        return min(
            self._gossip_deadline,
            self._requests.next_deadline(),
            self._policy.opening.turn_at,
            self._ledger.next_deadline(),
        )

    # -- a look from outside ---------------------------------------------------------------------

    def find_models(self, name: str) -> tuple[tuple[ModelId, ...], tuple[str, ...]]:
        """The models a user's name stands for, best first, and else the names that would work."""
        return self._routing.find_models(name)

    @property
    def ledger(self) -> LedgerView | None:
        """The network's ledger as it is here; None where there is none, or none known yet."""
        return self._ledger.view

    def get_snapshot(self, now: Moment) -> Snapshot:
        """The whole peer as it is now."""
        return Snapshot(
            node=self._own,
            record=self._gossip.own.record,
            members=tuple(self._gossip.get_members()),
            engines=self._requests.get_engines(now),
            models=self._routing.get_models(),
            requests_open=self._requests.open_count,
            requests_queued=self._requests.queued_count,
            works_open=self._requests.works_count,
            totals=self._requests.get_totals(),
            opening=OpeningView(
                is_open=self._is_open and not self._gossip.own.record.is_leaving,
                is_within_hours=self._policy.opening.is_open,
                hours_change_us=self._policy.opening.compute_rest_us(now),
                is_resting=self._is_resting,
            ),
            ledger=self._ledger.get_status(now),
            wallet=self._ledger.get_wallet(),
        )

    # -- who is told what ------------------------------------------------------------------------

    def _tell(self, event: Event, now: Moment) -> Iterable[_Inner]:
        """The machines' answers to an event."""
        match event:
            case (
                EngineRead()
                | SubmitRequest()
                | CancelRequest()
                | OfferCancelled()
                | StreamProgressed()
                | RecallAnswered()
            ):
                return self._requests.handle(event, now)
            case OfferReceived() | StreamOpened() | FirstOutput() | StreamEnded() | StreamFailed():
                return self._tell_session(event, now)
            case EnvelopeReceived() | SendFailed():
                return self._tell_message(event, now)
            case (
                Persisted()
                | FeedTold()
                | BlockTold()
                | HeadTold()
                | ForkTold()
                | PaymentProgressed()
                | HoldRunsOut()
                | ExtensionReceived()
                | OrderOps()
                | SetPrices()
            ):
                return self._tell_books(event, now)
            case (
                LinkOpened()
                | LinkClosed()
                | DialFailed()
                | DeadlineReached()
                | Join()
                | SetAddresses()
            ):
                return self._tell_surroundings(event, now)
            case Depart():
                return self._tell_departure(event, now)
            case _:
                # The operator's and the host's news; `_tell_setting` takes nothing else.
                return self._tell_setting(event, now)

    def _tell_books(
        self, event: DeskEvent | PaidEvent | OrderOps, now: Moment
    ) -> Iterable[GossipEffect | AccountingEffect]:
        """The book of peers is gossip's, all others belong to the ledger."""
        if isinstance(event, Persisted) and event.lane is Lane.BOOK:
            return self._tell_gossip(event, now)
        if isinstance(event, PaymentProgressed):
            self._policy.note_payment(event, now)
        return self._ledger.handle(event, now)

    def _tell_surroundings(
        self,
        event: LinkOpened | LinkClosed | DialFailed | DeadlineReached | Join | SetAddresses,
        now: Moment,
    ) -> Iterable[_Inner]:
        match event:
            case LinkOpened():
                return [*self._tell_gossip(event, now), *self._ledger.handle(event, now)]
            case DeadlineReached() if now < min(
                self._gossip_deadline, self._requests.next_deadline()
            ):
                # A block is applied in many slices, which concern nobody else.
                return self._ledger.handle(event, now)
            case LinkClosed() | DeadlineReached():
                return self._tell_in_turn(event, now)
            case _:
                return self._tell_gossip(event, now)

    def _tell_session(
        self,
        event: OfferReceived | StreamOpened | FirstOutput | StreamEnded | StreamFailed,
        now: Moment,
    ) -> list[_Inner]:
        """What a run has taught of its price is known before requests choose another."""
        if not isinstance(event, OfferReceived):
            return [*self._ledger.handle(event, now), *self._requests.handle(event, now)]
        answers: list[_Inner] = [*self._requests.handle(event, now)]
        for answer in tuple(answers):
            if not isinstance(answer, DeclineOffer) or event.hold is None:
                continue
            if answer.session == event.session and answer.decline.reason != DeclineReason.UNPAID:
                # Payments liked the hold, or never saw it, and owe it to its payer.
                answers += self._ledger.handle(OfferDeclined(event.hold), now)
        return answers

    def _tell_gossip(self, event: GossipEvent, now: Moment) -> list[GossipEffect]:
        answers = self._gossip.handle(event, now)
        self._gossip_deadline = self._gossip.next_deadline()
        return answers

    def _tell_in_turn(self, event: LinkClosed | DeadlineReached, now: Moment) -> Iterator[_Inner]:
        """Gossip's news is passed on before requests decide: they must not choose who is lost."""
        yield from self._tell_gossip(event, now)
        yield from self._ledger.handle(event, now)
        then = PeersLost((event.peer,)) if isinstance(event, LinkClosed) else event
        yield from self._requests.handle(then, now)

    def _tell_departure(self, event: Depart, now: Moment) -> Iterator[_Inner]:
        """Requests hear the operator; gossip whether work is taken at all, by the hours too."""
        if event.departure is Departure.LEAVE:
            yield from self._tell_gossip(event, now)
        else:
            self._is_resting = event.departure is Departure.DRAIN
            yield from self._note_opening(now)
        yield from self._requests.handle(event, now)

    def _tell_message(self, event: EnvelopeReceived | SendFailed, now: Moment) -> Iterable[_Inner]:
        """Probes and quotes are for requests, the log's words for accounting, others for gossip."""
        match event:
            case EnvelopeReceived(envelope):
                match envelope.message:
                    case Probe() | Quote() | Room() as message:
                        return self._requests.handle(hear(envelope.sender, message), now)
                    case message if isinstance(message, ChainMessage):
                        return self._ledger.handle(event, now)
                    case _:
                        return self._tell_gossip(event, now)
            case SendFailed(peer, Probe() as probe):
                return self._requests.handle(ProbeFailed(peer, probe), now)
            case SendFailed(_, message) if isinstance(message, Quote | Room | ChainMessage):
                # Whoever waits for it asks again.
                return []
            case _:
                return self._tell_gossip(event, now)

    def _tell_setting(
        self,
        event: Started | SetPolicy | SetModels | SetGroups | LocalTimeRead | MachineRead,
        now: Moment,
    ) -> Iterable[_Inner]:
        """What the node says about itself follows from its models, its policy and the hour."""
        match event:
            case Started():
                return [
                    *self._tell_gossip(self._describe(), now),
                    *self._note_opening(now),
                    *self._tell_gossip(event, now),
                    *self._ledger.start(now),
                ]
            case SetPolicy(policy):
                self._policy.set(policy, now)
                return [*self._tell_gossip(self._describe(), now), *self._note_opening(now)]
            case LocalTimeRead() | MachineRead():
                self._policy.read(event, self._requests.get_engines(now), now)
                return self._note_opening(now)
            case SetModels(models):
                self._models = models
                self._routing.set_models(models)
                return [
                    *self._tell_gossip(self._describe(), now),
                    *self._requests.handle(event, now),
                ]
            case SetGroups(groups):
                self._routing.set_groups(groups)
                return []
            case _:
                assert_never(event)

    def _note_opening(self, now: Moment) -> list[_Inner]:
        """Tell the others once this node has begun or ceased to take their requests."""
        is_within_hours = self._policy.opening.is_open
        is_open = is_within_hours and not self._is_resting
        if is_open == self._is_open:
            return []
        self._is_open = is_open
        fact = OpeningChanged(is_open, is_within_hours, self._is_resting)
        departure = Departure.RESUME if is_open else Departure.DRAIN
        return [Report(fact), *self._tell_gossip(Depart(departure), now)]

    # -- who hears of whose answers --------------------------------------------------------------

    def _pass_on(self, answers: Iterable[_Inner], now: Moment) -> list[Effect]:
        """Give each machine's news to the machine it concerns, and the rest to the world."""
        effects: list[Effect] = []
        lost: list[NodeId] = []
        for answer in answers:
            if isinstance(answer, Effect):
                effects.append(answer)
                if isinstance(answer, ExtendPayment):
                    self._policy.note_hold(answer.session, answer.payment.terms, now)
                continue
            match answer:
                case MemberUpdated(member):
                    self._routing.set_member(member)
                    if self._has_lost(member.node):
                        lost.append(member.node)
                case OfferSent() | RunMeasured() | ExecutorFailed() | FirstTokenLate():
                    effects += self._learn(answer, now)
                case WorkUnpaid():
                    effects += self._pass_on(self._requests.handle(answer, now), now)
                case _:
                    assert_never(answer)
        return effects + self._follow_up(tuple(lost), now)

    def _learn(self, news: Experience, now: Moment) -> list[Effect]:
        """Routing learns of every run; payments how many tokens own engines count."""
        self._routing.learn(news, now)
        if not isinstance(news, RunMeasured):
            return []
        return self._pass_on(self._ledger.handle(news, now), now)

    def _follow_up(self, lost: tuple[NodeId, ...], now: Moment) -> list[Effect]:
        """What requests asked of payments, payments ask of others; requests hear who is lost."""
        asked = self._ledger.take_effects(now)
        effects = self._pass_on(asked, now) if asked else []
        if lost:
            # Now all of them are known to routing: no request goes from one to another.
            effects += self._pass_on(self._requests.handle(PeersLost(lost), now), now)
        return effects

    def _on_ledger(self, accounting: Accounting) -> None:
        """The network's ledger is known here: from now on requests are paid, and stake weighs."""
        self._requests.set_payments(accounting.payments)
        self._routing.set_seats(accounting.seats)

    def _has_lost(self, node: NodeId) -> bool:
        """Whether a node that was asked about a request cannot be asked any more."""
        return self._requests.is_asking(node) and not self._gossip.is_routable(node)

    def _describe(self) -> Described:
        """The models shared with others, and how many requests their engines run at once."""
        shared = tuple(served for served in self._models if self._policy.is_shared(served.offer))
        return Described(unite_offers(shared), count_slots(shared))
