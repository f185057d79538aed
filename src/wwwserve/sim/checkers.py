"""Checkers look at every peer from above and stop the run at the first thing that must never be.

Each keeps its own simple model, fed by events and effects, and shares no code with the core. Only
honest people are held to the rules.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from wwwserve.core.effects import (
    AcceptOffer,
    Effect,
    EndRequest,
    ExtendPayment,
    Report,
    RequestErrorCode,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.events import (
    Depart,
    Departure,
    Event,
    FirstOutput,
    MachineRead,
    OfferCancelled,
    OfferReceived,
    StreamEnded,
    StreamFailed,
    SubmitRequest,
)
from wwwserve.core.facts import MemberChanged, MemberStatus
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, Route, ServedModel, SessionId
from wwwserve.core.snapshot import Snapshot
from wwwserve.sim.hosts import Host
from wwwserve.sim.policy_checker import PolicyWatch, Standing
from wwwserve.sim.truth import UserRequest
from wwwserve.values.ids import NodeId, RequestId, node_prefix, request_text
from wwwserve.values.limits import (
    LINKS_MAX,
    MEMBERS_MAX,
    QUEUE_LENGTH_MAX,
    REQUESTS_OPEN_MAX,
    WORKS_OPEN_MAX,
)
from wwwserve.wire import (
    Ack,
    Alive,
    Gossip,
    Message,
    Nack,
    PeerRecord,
    Ping,
    PingRequest,
    Probe,
    PushPull,
)

_RECORD_DECODER = msgspec.msgpack.Decoder(PeerRecord)


class Violation(Exception):
    """A rule was broken: which, by whom, and how."""

    def __init__(self, rule: str, host: Host, detail: str) -> None:
        """`rule` is the checker's short name."""
        super().__init__(f"{rule}: {host.name} at {host.world.now_us} us: {detail}")
        self.rule = rule


@dataclass(slots=True)
class _Book:
    """What a checker holds of one life of one host."""

    watch: PolicyWatch
    models: tuple[ServedModel, ...]
    requests: dict[RequestId, SubmitRequest] = field(default_factory=dict)
    running: dict[SessionId, ServedModel] = field(default_factory=dict)
    """What occupies an own engine."""
    sessions: dict[RequestId, list[SessionId]] = field(default_factory=dict)
    offers: dict[SessionId, OfferReceived] = field(default_factory=dict)
    unread: set[SessionId] = field(default_factory=set)
    """Others' requests that run and have no output yet."""
    statuses: dict[NodeId, MemberStatus] = field(default_factory=dict)
    versions: dict[NodeId, int] = field(default_factory=dict)
    last_session: int = -1
    is_drained: bool = False


@dataclass(slots=True)
class Checkers:
    """All rules; give it every event before the peer has it and every effect before it is done."""

    find_request: Callable[[bytes], UserRequest | None]
    is_answered: Callable[[RequestId], bool]
    """Whether a whole answer has arrived at its origin."""
    _books: dict[int, _Book] = field(default_factory=dict)
    _own_records: dict[NodeId, tuple[int, bytes]] = field(default_factory=dict)
    _known_records: dict[bytes, PeerRecord] = field(default_factory=dict)

    def on_birth(self, host: Host, policy: PolicySettings, models: tuple[ServedModel, ...]) -> None:
        """A process starts with this policy."""
        self._books[host.index] = _Book(PolicyWatch(policy), models)

    # -- events ----------------------------------------------------------------------------------

    def on_event(self, host: Host, event: Event) -> None:
        """Note what the peer is about to learn."""
        book = self._books[host.index]
        book.watch.on_event(host, event)
        match event:
            case SubmitRequest():
                book.requests[RequestId(event.summary.request)] = event
            case StreamEnded() | StreamFailed() | OfferCancelled():
                _end_session(book, event.session)
            case FirstOutput():
                book.unread.discard(event.session)
            case MachineRead():
                book.watch.note_reading(host, event, _count_own(book))
            case OfferReceived():
                book.offers[event.session] = event
            case Depart():
                book.is_drained = event.departure is not Departure.RESUME
            case _:
                pass

    # -- effects ---------------------------------------------------------------------------------

    def on_effect(self, host: Host, effect: Effect) -> None:
        """Check what an honest peer asks for. Raises `Violation`."""
        if not host.person.is_honest:
            return
        book = self._books[host.index]
        match effect:
            case SendMessage():
                self._check_message(host, book, effect.peer, effect.message)
            case StartLocal() | StartRemote():
                self._check_start(host, book, effect)
            case StopSession() | ExtendPayment():
                _note_session(book, effect)
            case EndRequest():
                self._check_end(host, book, effect)
            case AcceptOffer():
                self._check_accept(host, book, effect)
            case Report(fact=MemberChanged() as fact):
                self._check_member(host, book, fact)
            case _:
                pass

    def _check_start(self, host: Host, book: _Book, effect: StartLocal | StartRemote) -> None:
        if effect.request not in book.requests:
            raise Violation(
                "request-open", host, f"{request_text(effect.request)} runs but is not open"
            )
        if effect.session.role is not Role.ORIGIN or effect.session.number <= book.last_session:
            raise Violation("session-number", host, f"{effect.session} is used again")
        book.last_session = effect.session.number
        book.sessions.setdefault(effect.request, []).append(effect.session)
        if isinstance(effect, StartLocal):
            self._check_local(host, book, effect)
        else:
            self._check_remote(host, book, effect)

    def _check_local(self, host: Host, book: _Book, effect: StartLocal) -> None:
        if book.requests[effect.request].route is Route.NETWORK:
            raise Violation("route", host, "a request for the network only runs here")
        book.watch.note_own(host)
        self._occupy(host, book, effect.session, effect.model)

    def _check_remote(self, host: Host, book: _Book, effect: StartRemote) -> None:
        submitted = book.requests[effect.request]
        if submitted.route is Route.LOCAL:
            raise Violation("route", host, "a request for this node only is sent away")
        if submitted.allowed_executors and effect.peer not in submitted.allowed_executors:
            raise Violation("route", host, "a request is sent to a node its user did not allow")
        self._check_partner(host, book, effect.peer)
        fault = book.watch.find_offload_fault(host, effect)
        if fault:
            raise Violation("budget", host, fault)
        if effect.payment is not None:
            book.watch.note_hold(effect.session, effect.payment.terms)

    def _check_partner(self, host: Host, book: _Book, peer: NodeId) -> None:
        status = book.statuses.get(peer)
        if status is not MemberStatus.ALIVE:
            held = status.value if status else "unknown"
            raise Violation("partner", host, f"work is sent to {node_prefix(peer)}, held {held}")
        policy = book.watch.policy
        if peer in policy.deny_nodes:
            raise Violation("partner", host, f"work is sent to {node_prefix(peer)}, denied")
        if policy.offload_nodes and peer not in policy.offload_nodes:
            raise Violation("partner", host, f"work is sent to {node_prefix(peer)}, not chosen")

    def _check_end(self, host: Host, book: _Book, effect: EndRequest) -> None:
        if book.requests.pop(effect.request, None) is None:
            raise Violation(
                "ends-once", host, f"{request_text(effect.request)} ends but is not open"
            )
        for session in book.sessions.pop(effect.request, []):
            _end_session(book, session)
        truth = self.find_request(effect.request)
        assert truth is not None, "submitted requests are known"
        if effect.error is None and not self.is_answered(effect.request):
            raise Violation("answer", host, "a request ends well without a whole answer")
        is_rejected = effect.error and effect.error.code is RequestErrorCode.REJECTED
        if is_rejected and not truth.is_wrong:
            raise Violation("answer", host, "a good request is called wrong")

    def _check_accept(self, host: Host, book: _Book, effect: AcceptOffer) -> None:
        offer = book.offers.pop(effect.session, None)
        if offer is None:
            raise Violation("accept", host, f"{effect.session} is accepted but was not offered")
        if book.is_drained:
            raise Violation("policy", host, "a drained node takes work")
        standing = self._describe_standing(book, offer, effect.model)
        fault = book.watch.find_fault(host, offer, effect.model, standing)
        if fault:
            raise Violation("policy", host, fault)
        book.watch.note_work(host, offer, effect.model)
        book.unread.add(effect.session)
        self._occupy(host, book, effect.session, effect.model)

    def _describe_standing(self, book: _Book, offer: OfferReceived, model: ServedModel) -> Standing:
        used, slots = _count_slots(book, model)
        wanted = offer.offer.summary.models
        waiting = [
            request
            for request, submitted in book.requests.items()
            if submitted.route is Route.LOCAL
            and set(submitted.summary.models) & set(wanted)
            and not any(session in book.running for session in book.sessions.get(request, ()))
        ]
        return Standing(used, slots, _count_own(book), len(book.unread), len(waiting))

    def _occupy(self, host: Host, book: _Book, session: SessionId, model: ServedModel) -> None:
        book.running[session] = model
        used, slots = _count_slots(book, model)
        if model.is_slots_known and used > slots:
            raise Violation("slots", host, f"{used} requests on {slots} slots")

    # -- membership ------------------------------------------------------------------------------

    def _check_member(self, host: Host, book: _Book, fact: MemberChanged) -> None:
        known = book.versions.get(fact.node, 0)
        if fact.version < known:
            raise Violation(
                "version", host, f"{node_prefix(fact.node)} goes back {known} -> {fact.version}"
            )
        book.versions[fact.node] = fact.version
        book.statuses[fact.node] = fact.status

    def _check_message(self, host: Host, book: _Book, peer: NodeId, message: Message) -> None:
        if isinstance(message, Probe):
            self._check_partner(host, book, peer)
        for body in _list_record_bodies(message):
            record = self._known_records.get(body)
            if record is None:
                record = self._known_records[body] = _RECORD_DECODER.decode(body)
            if record.node == host.node_id:
                self._check_own_record(host, record, body)

    def _check_own_record(self, host: Host, record: PeerRecord, body: bytes) -> None:
        version, known = self._own_records.get(host.node_id, (-1, b""))
        if body == known:
            return
        if record.version <= version:
            raise Violation(
                "own-version", host, f"signs version {record.version} anew after {version}"
            )
        self._own_records[host.node_id] = (record.version, body)

    # -- from time to time -----------------------------------------------------------------------

    def inspect(self, host: Host, snapshot: Snapshot) -> None:
        """Check the sizes of everything a peer holds. Raises `Violation`."""
        sizes = {
            "members": (len(snapshot.members), MEMBERS_MAX),
            "links": (sum(member.is_linked for member in snapshot.members), LINKS_MAX),
            "requests": (snapshot.requests_open, REQUESTS_OPEN_MAX),
            "queue": (snapshot.requests_queued, QUEUE_LENGTH_MAX),
            "works": (snapshot.works_open, WORKS_OPEN_MAX),
        }
        for name, (size, bound) in sizes.items():
            if size > bound:
                raise Violation("bounds", host, f"{size} {name} where {bound} are allowed")
        if not host.person.is_honest:
            return
        book = self._books[host.index]
        if snapshot.requests_open != len(book.requests):
            detail = f"counts {snapshot.requests_open} open requests, {len(book.requests)} are"
            raise Violation("bounds", host, detail)


def _note_session(book: _Book, effect: StopSession | ExtendPayment) -> None:
    if isinstance(effect, StopSession):
        _end_session(book, effect.session)
    else:
        book.watch.note_hold(effect.session, effect.payment.terms)


def _end_session(book: _Book, session: SessionId) -> None:
    book.running.pop(session, None)
    book.unread.discard(session)
    book.watch.end_work(session)
    book.offers.pop(session, None)


def _count_own(book: _Book) -> int:
    """Own users' requests on own engines."""
    return sum(1 for session in book.running if session.role is Role.ORIGIN)


def _count_slots(book: _Book, model: ServedModel) -> tuple[int, int]:
    """A model's slots in use, and how many it has in truth, whatever the peer believes."""
    name = model.offer.model
    used = sum(1 for other in book.running.values() if other.offer.model == name)
    return used, next(one.slots for one in book.models if one.offer.model == name)


def _list_record_bodies(message: Message) -> list[bytes]:
    match message:
        case Ping() | Ack() | Nack() | PingRequest() | Gossip():
            return [claim.sealed.body for claim in message.claims if isinstance(claim, Alive)]
        case PushPull():
            return [sealed.body for sealed in message.records]
        case _:
            return []
