"""A whole peer among members that say anything, in any order, at any time.

An input is a list of steps in msgpack, so that the mutator changes single fields of what members
say: messages and offers by their members, links that open and close, own users' requests, engines
that end or fail, and time. The peer is the production one. It never raises; what it says is
well-formed and its own record always valid; what it does at once, what it remembers and how often
it wants to be woken is bounded.
"""

import hashlib
from random import Random
from typing import Final

import msgspec

from tests.fuzz.mutating import UNFIT, mutate_msgpack
from tests.fuzz.targets.messages import make_messages
from tests.unit.core.desk import failed, node, reading, served, summary
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    Effect,
    Persist,
    RecallSession,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.events import (
    DeadlineReached,
    EngineRead,
    EnvelopeReceived,
    Event,
    LinkClosed,
    LinkOpened,
    OfferCancelled,
    OfferReceived,
    Persisted,
    RecallAnswered,
    Started,
    StreamEnded,
    SubmitRequest,
)
from wwwserve.core.peer import Peer
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, Route, SessionId
from wwwserve.core.setup import PeerSetup
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX, MESSAGE_BYTES_MAX
from wwwserve.values.moments import SECOND, Moment, after
from wwwserve.values.parameters import TINY, compute_network_id
from wwwserve.values.refusals import FailureKind, Refusal
from wwwserve.wire import (
    OFFER_VERSION,
    Alive,
    Envelope,
    Gossip,
    Listing,
    ModelOffer,
    Offer,
    PeerRecord,
    Ping,
    Probe,
    PushPull,
    Quote,
    Suspect,
    Usage,
    decode_frame,
    encode,
    encode_frame,
    encode_message,
    open_message,
    open_record,
    seal_record,
)

OWN: Final = node(0)
MEMBERS: Final = 3
STEPS_MAX: Final = 200
"""Steps of one input; what follows is not read."""
SPAN_US_MAX: Final = 4 * SECOND
WAKES_MAX: Final = 2_000
"""Times a peer may ask to be woken in one span."""
EFFECTS_MAX: Final = 2_000
"""Effects of one event."""
NETWORK_ID: Final = compute_network_id(TINY)
SIGNATURE_BYTES: Final = 64


class PretendSigner:
    """Signs with a keyed hash of the public key: nobody here is after forging."""

    def __init__(self, own: NodeId) -> None:
        self.node_id = own

    def sign(self, message: bytes) -> bytes:
        """Sixty-four bytes that only this name gives this message."""
        return hashlib.blake2b(message, key=self.node_id).digest()


class PretendVerifier:
    """Checks what `PretendSigner` signs."""

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whether it is the hash."""
        return PretendSigner(node_id).sign(message) == signature


def make_record(number: int, version: int = 1) -> PeerRecord:
    """What a member says about itself."""
    return PeerRecord(
        format=1, node=node(number), version=version, addresses=(f"192.0.2.{number}:1",),
        models=(ModelOffer("org/small"),), slots=2, protocol_min=1, protocol_max=1,
    )  # fmt: skip


def make_seeds() -> list[bytes]:
    """Lives of a peer: met, asked, accused, offered work, abandoned."""
    records = [seal_record(make_record(n), PretendSigner(node(n)), NETWORK_ID) for n in (1, 2, 3)]
    met: list[object] = [["link", 1, 1], ["message", 1, PushPull(tuple(r.sealed for r in records))]]
    doubts = (
        Suspect(OWN, 1, node(1)),
        Suspect(node(2), 1, node(1)),
        Suspect(OWN, 2**63 - 1, node(3)),
    )
    accused: list[object] = [["message", 1, Gossip((doubt,))] for doubt in doubts]
    own = summary(1)
    asked: list[object] = [
        ["message", 1, Probe(1, own)],
        ["message", 1, Quote(1, None, "org/small")],
    ]
    offered: list[object] = [["offer", 1, Offer(OFFER_VERSION, own, 1, "org/small")]]
    offered += [["end", 0, 0], ["cancel", 0], ["submit", 2], ["time", SECOND], ["end", 1, 1]]
    said: list[object] = [["message", 1, message] for message in make_messages()]
    renewed = seal_record(make_record(2, 2**60), PretendSigner(node(2)), NETWORK_ID)
    alive: list[object] = [["message", 2, Ping(1, (Alive(renewed.sealed),))], ["link", 1, 0]]
    listed: list[object] = [["message", 1, Listing(bytes(32), b"", (), None)]]
    lives = [met, met + accused, met + asked, met + offered, met + said, met + alive + listed]
    return [encode([*life, ["time", 3 * SECOND]]) for life in lives]


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change a step, or one of a record inside it (signed anew), or the order of steps."""
    try:
        steps = msgspec.msgpack.decode(data, type=list[object])
    except UNFIT:
        return None
    if not steps or chance.randrange(3):
        changed = mutate_msgpack(data, chance)
        return changed if changed is None or chance.randrange(2) else sign_records(changed, chance)
    start = chance.randrange(len(steps))
    moved = steps[start : start + chance.randint(1, 4)]
    at = chance.randrange(len(steps) + 1)
    return encode([*steps[:at], *moved, *steps[at:]])


def sign_records(data: bytes, chance: Random) -> bytes | None:
    """Change what is inside of sealed records, and sign it by the node each then names."""
    try:
        return encode(_sign(msgspec.msgpack.decode(data), chance))
    except UNFIT:
        return None


def _sign(tree: object, chance: Random) -> object:
    match tree:
        case [bytes(body), bytes(signature)] if len(signature) == SIGNATURE_BYTES:
            changed = mutate_msgpack(body, chance) or body
            try:
                record = msgspec.msgpack.decode(changed, type=PeerRecord)
            except UNFIT:
                return [changed, signature]
            sealed = seal_record(record, PretendSigner(NodeId(record.node)), NETWORK_ID).sealed
            return [sealed.body, sealed.signature]
        case list():
            return [_sign(item, chance) for item in tree]
        case _:
            return tree


class _World:
    """The peer, and all that it deals with."""

    def __init__(self) -> None:
        self.now = Moment(SECOND)
        self.links: dict[NodeId, None] = {}
        self.sessions: dict[SessionId, NodeId] = {}
        """Sessions that were begun and not yet ended, with whom."""
        self.offered: dict[SessionId, NodeId] = {}
        setup = PeerSetup(
            signer=PretendSigner(OWN),
            parameters=TINY,
            entropy_seed=b"fuzz",
            models=(served(2),),
            policy=PolicySettings(),
        )
        self.peer = Peer(setup)
        self.tell(Started())
        self.tell(EngineRead("gpu", reading()))

    def tell(self, event: Event) -> None:
        """Have something happen, and carry out what is answered."""
        waiting = [event]
        while waiting:
            effects = self.peer.handle(waiting.pop(0), self.now)
            assert len(effects) <= EFFECTS_MAX
            for effect in effects:
                waiting += self._carry(effect)

    def _carry(self, effect: Effect) -> list[Event]:
        match effect:
            case Persist(lane, number):
                return [Persisted(lane, number)]
            case SendMessage(_, message):
                said = encode_message(message)
                assert len(said) <= MESSAGE_BYTES_MAX
                assert _open(OWN, said).message == message
            case StartRemote(session, _, peer, offer):
                assert decode_frame(encode_frame(offer)) == offer
                assert peer in self.links
                self.sessions[session] = peer
            case AcceptOffer(session):
                self.sessions[session] = self.offered[session]
            case StartLocal(session):
                self.sessions[session] = OWN
            case RecallSession(session):
                self.sessions.pop(session, None)
                return [RecallAnswered(session, is_stopped=True)]
            case StopSession(session) | DeclineOffer(session):
                self.sessions.pop(session, None)
            case _:
                pass
        return []

    def open_link(self, peer: NodeId) -> None:
        """A member is there; there is at most one link to each."""
        if peer not in self.links:
            self.links[peer] = None
            self.tell(LinkOpened(peer, f"192.0.2.{peer[0]}:1", is_dialled=False))

    def close_link(self, peer: NodeId) -> None:
        """A member goes; its sessions have each had their own end before."""
        if peer in self.links:
            for session in [one for one, other in self.sessions.items() if other == peer]:
                self.end(session, FailureKind.LINK_LOST)
            del self.links[peer]
            self.tell(LinkClosed(peer, "cut"))

    def end(self, session: SessionId, kind: FailureKind | None = None) -> None:
        """What a session comes to: a good end, a failure, or an origin that went away."""
        peer = self.sessions.pop(session)
        if kind is None:
            self.tell(StreamEnded(session, Usage(1, 2), bytes(32)))
        elif session.role is Role.EXECUTOR and peer not in self.links:
            self.tell(OfferCancelled(session))
        else:
            self.tell(failed(session, kind))

    def pass_time(self, span_us: int) -> None:
        """Wake the peer whenever it wants to be woken."""
        end = after(self.now, span_us)
        for _ in range(WAKES_MAX):
            wake = self.peer.next_deadline()
            if wake > end:
                self.now = end
                return
            self.now = max(self.now, wake)
            self.tell(DeadlineReached())
        raise AssertionError("the peer asks to be woken for ever")

    def check(self) -> None:
        """What holds after every step."""
        snapshot = self.peer.get_snapshot(self.now)
        assert len(snapshot.members) <= MEMBERS_MAX
        sealed = seal_record(snapshot.record, PretendSigner(OWN), NETWORK_ID).sealed
        assert open_record(sealed, PretendVerifier(), NETWORK_ID).record == snapshot.record
        assert snapshot.works_open + snapshot.requests_open <= STEPS_MAX


def _open(sender: NodeId, said: bytes) -> Envelope:
    return open_message(said, sender=sender, verifier=PretendVerifier(), network_id=NETWORK_ID)


def consume(data: bytes) -> None:
    """Live through the steps, then a quiet minute; in the end nothing waits for ever."""
    try:
        steps = msgspec.msgpack.decode(data, type=list[object])
    except UNFIT:
        return
    world = _World()
    for step in steps[:STEPS_MAX]:
        try:
            _step(world, step)
        except Refusal as refusal:
            assert refusal.rule
        world.check()
    world.pass_time(SPAN_US_MAX)


def _step(world: _World, step: object) -> None:
    match step:
        case [str(kind), int(number), *rest]:
            peer = node(1 + number % MEMBERS)
            _PARTS.get(kind, _ignore)(world, peer, abs(number), rest)
        case _:
            pass


def _ignore(_world: _World, _peer: NodeId, _number: int, _rest: list[object]) -> None:
    pass


def _hear(world: _World, peer: NodeId, _number: int, rest: list[object]) -> None:
    world.open_link(peer)
    world.tell(EnvelopeReceived(_open(peer, encode_tree(rest[:1] and rest[0]))))


def _wait(world: _World, _peer: NodeId, number: int, _rest: list[object]) -> None:
    world.pass_time(number % SPAN_US_MAX)


def _link(world: _World, peer: NodeId, _number: int, rest: list[object]) -> None:
    if rest[:1] == [0]:
        world.close_link(peer)
    else:
        world.open_link(peer)


def _offer(world: _World, peer: NodeId, _number: int, rest: list[object]) -> None:
    offer = decode_frame(encode_tree(rest[:1] and rest[0]))
    if isinstance(offer, Offer):
        world.open_link(peer)
        session = SessionId(Role.EXECUTOR, 1 + len(world.offered))
        world.offered[session] = peer
        world.tell(OfferReceived(session, peer, offer))


def _submit(world: _World, _peer: NodeId, number: int, _rest: list[object]) -> None:
    world.tell(SubmitRequest(summary(number % 256), Route.AUTO))


def _end(world: _World, _peer: NodeId, number: int, rest: list[object]) -> None:
    if world.sessions:
        sessions = list(world.sessions)
        session = sessions[number % len(sessions)]
        match rest:
            case [int(kind)] if kind:
                world.end(session, list(FailureKind)[kind % len(FailureKind)])
            case _:
                world.end(session)


def _cancel(world: _World, _peer: NodeId, number: int, _rest: list[object]) -> None:
    """An origin takes back what it offered, or what it never did."""
    session = SessionId(Role.EXECUTOR, 1 + number % (1 + len(world.offered)))
    world.sessions.pop(session, None)
    world.tell(OfferCancelled(session))


_PARTS: Final = {
    "message": _hear,
    "time": _wait,
    "link": _link,
    "offer": _offer,
    "submit": _submit,
    "end": _end,
    "cancel": _cancel,
}
"""What a step may be, by its first word."""


def encode_tree(tree: object) -> bytes:
    """Encode what a member says; raises `Refusal` for what has no bytes."""
    try:
        return encode(tree)
    except UNFIT as error:
        raise Refusal("input", str(error)) from error
