"""One gossip machine driven by hand: what it is told, what time it is, and what it answered."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from tests.unit.core.gossip.pretend import address_of, make_record, make_setup, name
from wwwserve.core.effects import Dial, Persist, Report, SendMessage
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    DeadlineReached,
    DialFailed,
    EnvelopeReceived,
    LinkOpened,
    Persisted,
    Started,
)
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip import Gossip, GossipEffect, GossipEvent
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.parameters import TINY, Parameters
from wwwserve.wire import (
    Alive,
    Claim,
    Envelope,
    MembershipMessage,
    OpenedRecord,
    PushPull,
    Suspect,
)
from wwwserve.wire import Dead as DeadClaim
from wwwserve.wire import Gossip as GossipMessage

M = TypeVar("M")
E = TypeVar("E")
ME = 5


class Driver:
    """Node 5 (or another) of a network; its disk answers at once, and nobody answers its dials."""

    def __init__(
        self,
        *,
        parameters: Parameters = TINY,
        bootstrap: Sequence[int] = (),
        restored: dict[bytes, bytes] | None = None,
        addresses: tuple[str, ...] | None = None,
        seed: bytes = b"driver",
        number: int = ME,
    ) -> None:
        self.now = Moment(100 * SECOND)
        self.disk = dict(restored or {})
        self.is_disk_stuck = False
        self.dials_find: NodeId | None = None
        setup = make_setup(
            number,
            parameters=parameters,
            bootstrap=bootstrap,
            restored=dict(self.disk),
            addresses=addresses,
        )
        self.gossip = Gossip(setup, Entropy(seed))
        self.effects: list[GossipEffect] = []
        self.feed(Started())

    # -- telling it ------------------------------------------------------------------------------

    def feed(self, event: GossipEvent) -> list[GossipEffect]:
        """Tell it, and do for it what a host would: write, and fail its dials."""
        effects = self.gossip.handle(event, self.now)
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Persist) and not self.is_disk_stuck:
                self._write(effect)
            if isinstance(effect, Dial):
                found = self.dials_find or effect.expected
                failed = DialFailed(effect.address, found, "nobody there")
                effects = effects + self.feed(failed)
        return effects

    def link(self, *numbers: int) -> None:
        """Nodes dial it and show their records."""
        for number in numbers:
            self.open(number)
            self.hear(number, push_pull(make_record(number)), make_record(number))

    def open(self, number: int, *, is_dialled: bool = False) -> list[GossipEffect]:
        return self.feed(LinkOpened(name(number), address_of(number), is_dialled=is_dialled))

    def hear(
        self, sender: int, message: MembershipMessage, *records: OpenedRecord
    ) -> list[GossipEffect]:
        return self.feed(EnvelopeReceived(Envelope(name(sender), message, records)))

    def tell(self, sender: int, *news: OpenedRecord | Suspect | DeadClaim) -> list[GossipEffect]:
        """A peer gossips: records as news of being alive, or doubts."""
        records = [item for item in news if isinstance(item, OpenedRecord)]
        claims: list[Claim] = [
            Alive(item.sealed) if isinstance(item, OpenedRecord) else item for item in news
        ]
        return self.hear(sender, GossipMessage(tuple(claims)), *records)

    def wait(self, span_us: int) -> list[GossipEffect]:
        """Let time pass; what it did meanwhile."""
        before, end = len(self.effects), self.now + span_us
        while (due := self.gossip.next_deadline()) <= end:
            self.now = max(self.now, due)
            self.feed(DeadlineReached())
        self.now = Moment(end)
        return self.effects[before:]

    # -- looking ---------------------------------------------------------------------------------

    def status(self, number: int) -> MemberStatus | None:
        view = self.gossip.get_member(name(number))
        return None if view is None else view.status

    @property
    def version(self) -> int:
        return self.gossip.own.record.version

    def _write(self, persist: Persist) -> None:
        for key, value in persist.changes:
            if value is None:
                self.disk.pop(key, None)
            else:
                self.disk[key] = value
        self.feed(Persisted(persist.lane, persist.number))


def push_pull(*records: OpenedRecord, doubts: Iterable[Suspect | DeadClaim] = ()) -> PushPull:
    """What a peer has that we lack, wanting nothing."""
    return PushPull(tuple(item.sealed for item in records), tuple(doubts))


def suspect(number: int, version: int = 1, accuser: int = 1) -> Suspect:
    return Suspect(name(number), version, name(accuser))


def dead(number: int, version: int = 1, accuser: int = 1) -> DeadClaim:
    return DeadClaim(name(number), version, name(accuser))


def sends(effects: Iterable[GossipEffect], kind: type[M]) -> list[M]:
    """The messages of one kind among effects."""
    messages = [effect.message for effect in effects if isinstance(effect, SendMessage)]
    return [message for message in messages if isinstance(message, kind)]


def targets(effects: Iterable[GossipEffect], kind: type[object]) -> list[NodeId]:
    """To whom messages of one kind go."""
    return [
        effect.peer
        for effect in effects
        if isinstance(effect, SendMessage) and isinstance(effect.message, kind)
    ]


def claims_about(effects: Iterable[GossipEffect], number: int) -> list[Claim]:
    """Every claim about a node that rides on any message but an exchange."""
    found: list[Claim] = []
    for effect in effects:
        if isinstance(effect, SendMessage) and hasattr(effect.message, "claims"):
            found += [claim for claim in effect.message.claims if node_of(claim) == name(number)]
    return found


def node_of(claim: Claim) -> bytes:
    if isinstance(claim, Alive):
        # A body is an array: format, then the node.
        start = claim.sealed.body.index(b"\xc4\x20") + 2
        return claim.sealed.body[start : start + 32]
    return claim.node


def facts(effects: Iterable[GossipEffect], kind: type[E]) -> list[E]:
    """The facts of one kind among effects."""
    told = [effect.fact for effect in effects if isinstance(effect, Report)]
    return [fact for fact in told if isinstance(fact, kind)]


def dials(effects: Iterable[GossipEffect]) -> list[str]:
    return [effect.address for effect in effects if isinstance(effect, Dial)]
