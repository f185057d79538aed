"""A pretend network of gossip machines in virtual time: links, a slow disk, and many faults.

Nodes are small integers. Everything sent is encoded and opened again as on a real link, and the
shell's promises are kept: one link for each pair, effects in order, lanes as barriers.
"""

import hashlib
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wwwserve.core.effects import CloseLink, Dial, Persist, Report, SendMessage
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    DeadlineReached,
    DialFailed,
    EnvelopeReceived,
    LinkClosed,
    LinkOpened,
    Persisted,
    SendFailed,
    Started,
)
from wwwserve.core.facts import Fact, MemberStatus
from wwwserve.core.gossip import Gossip, GossipEffect, GossipEvent, MemberUpdated
from wwwserve.core.sessions import ServedModel
from wwwserve.core.setup import PeerSetup
from wwwserve.sim.world import PretendClock
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MESSAGE_BYTES_MAX
from wwwserve.values.moments import MILLISECOND, NEVER, SECOND, Moment
from wwwserve.values.parameters import TINY, Parameters, compute_network_id
from wwwserve.wire import (
    RECORD_FORMAT,
    ModelOffer,
    OpenedRecord,
    PeerRecord,
    PushPull,
    encode_message,
    open_message,
    seal_record,
)

NETWORK_ID = compute_network_id(TINY)
RIGHT_CLOCK = PretendClock()


class PretendSigner:
    """Signs with a keyed hash of the public key: as good as a key while nobody here cheats."""

    def __init__(self, node: NodeId) -> None:
        self.node_id = node

    def sign(self, message: bytes) -> bytes:
        return hashlib.blake2b(message, key=self.node_id).digest()


class PretendVerifier:
    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        return PretendSigner(node_id).sign(message) == signature


def name(number: int) -> NodeId:
    """The id of node `number`; ids are in the order of the numbers."""
    return NodeId(number.to_bytes(2, "big") + hashlib.sha256(b"%d" % number).digest()[:30])


def number_of(node: NodeId) -> int:
    return int.from_bytes(node[:2], "big")


def address_of(number: int) -> str:
    return f"host-{number}:1"


def make_record(number: int, version: int = 1, **fields: object) -> OpenedRecord:
    """A record as node `number` would sign it."""
    values: dict[str, object] = {
        "format": RECORD_FORMAT,
        "node": name(number),
        "version": version,
        "addresses": (address_of(number),),
        "models": (),
        "slots": 1,
        "protocol_min": 1,
        "protocol_max": 1,
        **fields,
    }
    record = PeerRecord(**values)  # type: ignore[arg-type]
    return seal_record(record, PretendSigner(name(number)), NETWORK_ID)


def make_model(model: str, slots: int = 2) -> ServedModel:
    return ServedModel(ModelOffer(model), engine="engine", engine_model=model, slots=slots)


def make_setup(
    number: int,
    *,
    parameters: Parameters = TINY,
    bootstrap: Sequence[int] = (),
    restored: dict[bytes, bytes] | None = None,
    addresses: tuple[str, ...] | None = None,
) -> PeerSetup:
    return PeerSetup(
        signer=PretendSigner(name(number)),
        parameters=parameters,
        entropy_seed=b"",
        addresses=(address_of(number),) if addresses is None else addresses,
        bootstrap=tuple((address_of(other), None) for other in bootstrap if other != number),
        restored=restored or {},
    )


@dataclass
class Host:
    """One machine and the shell around it."""

    number: int
    gossip: Gossip
    disk: dict[bytes, bytes]
    life: int
    is_listening: bool = True
    writing: list[Persist] = field(default_factory=list)
    held: list[SendMessage] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    updates: list[MemberUpdated] = field(default_factory=list)
    clock: PretendClock = RIGHT_CLOCK


@dataclass
class Faults:
    """What goes wrong with messages, in thousandths."""

    drop: int = 0
    duplicate: int = 0
    delay: int = 0
    """Share held back for up to half a second, so that later ones overtake it."""


class World:
    """All hosts, the clock, and what is on its way."""

    def __init__(self, seed: int = 0, *, bootstrap: Sequence[int] = (0,)) -> None:
        self.now = Moment(10 * SECOND)
        self.entropy = Entropy(b"world %d" % seed)
        self.hosts: dict[int, Host] = {}
        self.disks: dict[int, dict[bytes, bytes]] = {}
        self.links: dict[tuple[int, int], int] = {}
        self.faults = Faults()
        self.sides: dict[int, int] = {}
        self.sent: list[tuple[int, int, object]] = []
        self.heard_versions: dict[int, int] = {}
        self.clocks: dict[int, PretendClock] = {}
        """Those that are not right; a node's own is used from its next start on."""
        self._bootstrap = tuple(bootstrap)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._lives = 0

    # -- what tests do ---------------------------------------------------------------------------

    def start(self, number: int, *, keeps_disk: bool = True, is_listening: bool = True) -> Host:
        disk = self.disks.setdefault(number, {}) if keeps_disk else {}
        self.disks[number] = disk
        self._lives += 1
        setup = make_setup(
            number,
            bootstrap=self._bootstrap,
            restored=dict(disk),
            addresses=None if is_listening else (),
        )
        gossip = Gossip(setup, self.entropy.split(f"life {self._lives}"))
        host = Host(number, gossip, disk, self._lives, is_listening)
        host.clock = self.clocks.get(number, RIGHT_CLOCK)
        self.hosts[number] = host
        self.feed(number, Started())
        return self.hosts[number]

    def crash(self, number: int) -> None:
        """As by kill -9: what was not yet written is lost, the others see their links close."""
        del self.hosts[number]
        for pair in [pair for pair in self.links if number in pair]:
            self.cut(*pair)

    def cut(self, one: int, other: int) -> None:
        """Break a link; each end hears of it."""
        if self.links.pop(tie(one, other), None) is None:
            return
        for number, peer in ((one, other), (other, one)):
            self._later(MILLISECOND, lambda n=number, p=peer: self._close(n, p))  # type: ignore[misc]

    def split(self, sides: dict[int, int]) -> None:
        """Let nothing through between different sides; links stay open until somebody cuts them."""
        self.sides = dict(sides)

    def cut_split_links(self) -> None:
        """What heartbeats do after a while: links nothing comes through are closed."""
        for pair in list(self.links):
            if not self.is_passable(*pair):
                self.cut(*pair)

    def heal(self) -> None:
        self.sides = {}
        self.faults = Faults()

    def run(self, span_us: int) -> None:
        """Let so much time pass."""
        end = self.now + span_us
        while (at := self._next_at()) <= end:
            self.now = Moment(max(self.now, at))
            if self._heap and self._heap[0][0] <= self.now:
                heapq.heappop(self._heap)[2]()
            for number in list(self.hosts):
                if self._find_deadline(self.hosts[number]) <= self.now:
                    self.feed(number, DeadlineReached())
        self.now = Moment(end)

    def feed(self, number: int, event: GossipEvent) -> None:
        host = self.hosts[number]
        for effect in host.gossip.handle(event, host.clock.read(self.now)):
            self._do(host, effect)

    def status(self, number: int, other: int) -> MemberStatus | None:
        view = self.hosts[number].gossip.get_member(name(other))
        return None if view is None else view.status

    def find_disagreement(self) -> str:
        """Empty when every running node holds every other alive, linked, and at its own record."""
        for number, host in self.hosts.items():
            views = {number_of(view.node): view for view in host.gossip.get_members()}
            for other, peer in self.hosts.items():
                if other == number:
                    continue
                view = views.get(other)
                if view is None:
                    return f"{number} does not know {other}"
                if view.status is not MemberStatus.ALIVE or not view.is_linked:
                    return f"{number} holds {other} {view.status} linked={view.is_linked}"
                if view.record != peer.gossip.own.record:
                    return f"{number} has an old record of {other}: {view.record.version}"
        return ""

    def run_until(self, is_done: Callable[[], bool], *, within_us: int) -> None:
        end = self.now + within_us
        while not is_done():
            assert self.now < end, self.find_disagreement()
            self.run(20 * MILLISECOND)

    def is_passable(self, one: int, other: int) -> bool:
        return self.sides.get(one, 0) == self.sides.get(other, 0)

    # -- what shells do --------------------------------------------------------------------------

    def _do(self, host: Host, effect: GossipEffect) -> None:
        match effect:
            case Persist():
                host.writing.append(effect)
                wait_us = self.entropy.below(30) * MILLISECOND
                self._later(wait_us, lambda: self._write(host))
            case SendMessage():
                if effect.lane is not None and host.writing:
                    host.held.append(effect)
                else:
                    self._send(host, effect)
            case Dial():
                self._later(5 * MILLISECOND, lambda: self._dial(host, effect))
            case CloseLink():
                self.cut(host.number, number_of(effect.peer))
            case Report():
                host.facts.append(effect.fact)
            case MemberUpdated():
                host.updates.append(effect)

    def _write(self, host: Host) -> None:
        if self.hosts.get(host.number) is not host:
            return
        persist = host.writing.pop(0)
        for key, value in persist.changes:
            if value is None:
                host.disk.pop(key, None)
            else:
                host.disk[key] = value
        if not host.writing:
            held, host.held = host.held, []
            for effect in held:
                self._send(host, effect)
        self.feed(host.number, Persisted(persist.lane, persist.number))

    def _send(self, host: Host, effect: SendMessage) -> None:
        source, target = host.number, number_of(effect.peer)
        life = self.links.get(tie(source, target))
        if life is None:
            self._later(0, lambda: self._feed_life(host, SendFailed(effect.peer, effect.message)))
            return
        data = encode_message(effect.message)
        assert len(data) <= MESSAGE_BYTES_MAX
        self.sent.append((source, target, effect.message))
        copies = 1 + self.entropy.chance(self.faults.duplicate)
        if self.entropy.chance(self.faults.drop) or not self.is_passable(source, target):
            copies = 0
        for _ in range(copies):
            wait_us = 1 + self.entropy.below(2 * MILLISECOND)
            if self.entropy.chance(self.faults.delay):
                wait_us += self.entropy.below(500 * MILLISECOND)
            self._later(wait_us, lambda: self._deliver(source, target, life, data))

    def _deliver(self, source: int, target: int, life: int, data: bytes) -> None:
        is_there = self.links.get(tie(source, target)) == life
        if not is_there or not self.is_passable(source, target):
            return
        envelope = open_message(
            data, sender=name(source), verifier=PretendVerifier(), network_id=NETWORK_ID
        )
        for opened in envelope.records:
            number, version = number_of(opened.node), opened.record.version
            self.heard_versions[number] = max(version, self.heard_versions.get(number, 0))
        self.feed(target, EnvelopeReceived(envelope))

    def _dial(self, host: Host, effect: Dial) -> None:
        if self.hosts.get(host.number) is not host:
            return
        source = host.number
        target = next((n for n in self.hosts if address_of(n) == effect.address), None)
        is_wanted = target is not None and effect.expected in (None, name(target))
        if target is None or not is_wanted or not self._can_link(source, target):
            self.feed(source, DialFailed(effect.address, effect.expected, "nobody answers"))
            return
        self._sequence += 1
        self.links[tie(source, target)] = self._sequence
        self.feed(source, LinkOpened(name(target), effect.address, is_dialled=True))
        if target in self.hosts:
            self.feed(target, LinkOpened(name(source), "somewhere:2", is_dialled=False))

    def _can_link(self, source: int, target: int) -> bool:
        return (
            source != target
            and self.hosts[target].is_listening
            and self.is_passable(source, target)
            and tie(source, target) not in self.links
        )

    def _close(self, number: int, peer: int) -> None:
        # A new link may have taken its place; then the shell has told of the close already.
        if number in self.hosts and tie(number, peer) not in self.links:
            self.feed(number, LinkClosed(name(peer), "broken"))

    def _feed_life(self, host: Host, event: GossipEvent) -> None:
        if self.hosts.get(host.number) is host:
            self.feed(host.number, event)

    # -- time ------------------------------------------------------------------------------------

    def _later(self, wait_us: int, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + wait_us, self._sequence, action))

    def _next_at(self) -> int:
        deadlines = (self._find_deadline(host) for host in self.hosts.values())
        return min([*deadlines, self._heap[0][0] if self._heap else NEVER])

    def _find_deadline(self, host: Host) -> int:
        """When it has to be called, in the world's time."""
        return host.clock.find(host.gossip.next_deadline())


def tie(one: int, other: int) -> tuple[int, int]:
    """The name of a pair, whichever comes first."""
    return (min(one, other), max(one, other))


def count_push_pulls(world: World) -> int:
    return sum(isinstance(message, PushPull) for _, _, message in world.sent)
