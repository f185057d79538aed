"""A small network of ordering engines in virtual time: disks that take a while, links, crashes.

The state machine behind each engine is pretend: its root is a hash over the blocks it took. Clocks
of nodes may run at different rates; a crash forgets all but what the disk had.
"""

import hashlib
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, assert_never

from tests.property.ledger_world import Pen, name
from wwwserve.core.consensus import (
    Applied,
    BlockReceived,
    BlockRefused,
    BlocksMissing,
    Finalised,
    ForkFound,
    Head,
    HeadReceived,
    Keep,
    Kept,
    OrderingEffect,
    OrderingEngine,
    OrderingEvent,
    Publish,
    Tick,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import MILLISECOND, SECOND, Moment
from wwwserve.wire import encode
from wwwserve.wire.ledger import Evidence, EvidenceKind, OpenedBlock, Transfer, seal_feed

NETWORK: Final = b"n" * 32
DISK_US: Final = 4 * MILLISECOND
LINK_US: Final = 20 * MILLISECOND
STEPS_MAX: Final = 200_000
_PERMILLE = 1_000

MakeEngine = Callable[[int, Head, Moment, Sequence[OpenedBlock]], OrderingEngine]
"""Node number, where its disk stands, what time it is there, and its newest blocks."""


def make_word(number: int, bytes_added: int = 0) -> bytes:
    """A word unlike all others; to an engine it is nothing but bytes with an id."""
    added = (Evidence(EvidenceKind.FEED, bytes(bytes_added), b""),) if bytes_added else ()
    sealed = seal_feed(
        (Transfer(name(1), number), *added),
        seq=number,
        previous=bytes(32),
        valid_until_ms=0,
        signer=Pen(name(2)),
        network_id=NETWORK,
    )
    return encode(sealed)


def first_head() -> Head:
    """Where every log begins."""
    return Head(0, NETWORK, NETWORK, 0, root=NETWORK)


@dataclass
class Member:
    """One node: its disk, its engine while it is up, and what its reader saw."""

    number: int
    rate_permille: int = _PERMILLE
    engine: OrderingEngine | None = None
    life: int = 0
    disk: list[tuple[OpenedBlock, tuple[bytes, ...]]] = field(default_factory=list)
    finals: list[Finalised] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    forks: list[ForkFound] = field(default_factory=list)
    due_ms: int | None = None

    def now(self, at: int) -> Moment:
        return Moment(at * self.rate_permille // _PERMILLE)

    def when(self, moment: Moment) -> int:
        return -(-moment * _PERMILLE // self.rate_permille)

    def compute_head(self, height: int | None = None) -> Head:
        """Where the log stands after so many of the blocks on disk."""
        head = first_head()
        for block, _ in self.disk[:height]:
            head = Head(
                head.height + 1,
                block.block_id,
                hashlib.sha256(head.beacon + block.block_id).digest(),
                head.time_ms + block.header.dt_ms,
                hashlib.sha256(head.root + block.block_id).digest(),
            )
        return head

    @property
    def words(self) -> list[bytes]:
        return [word for final in self.finals for word in final.words]


class OrderingNet:
    """Engines, disks and links under one virtual clock."""

    def __init__(self, members: int, make: MakeEngine) -> None:
        self.at = 0
        self.members = [Member(number) for number in range(members)]
        self.published: dict[int, list[bytes]] = {}
        """Ids of blocks that anybody was told, by height."""
        self._make = make
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    # -- what may happen -------------------------------------------------------------------------

    def start(self, *numbers: int) -> None:
        """Let nodes begin, or begin again with what their disks hold."""
        for member in (self.members[number] for number in numbers):
            recent = [block for block, _ in member.disk]
            member.finals = []
            now = member.now(self.at)
            member.engine = self._make(member.number, member.compute_head(), now, recent)

    def crash(self, number: int) -> None:
        """End a node at once; writes under way are lost."""
        self.members[number].engine = None
        self.members[number].life += 1

    def submit(self, number: int, *words: bytes) -> None:
        for word in words:
            self._engine(number).submit(word)

    def tell(self, number: int, event: OrderingEvent) -> list[OrderingEffect]:
        """Have something happen to one node now."""
        member = self.members[number]
        effects = list(self._engine(number).handle(event, member.now(self.at)))
        for effect in effects:
            self._carry(member, effect)
        self._take_final(member)
        return effects

    def run(self, span_us: int) -> None:
        """Let time pass."""
        end = self.at + span_us
        for _ in range(STEPS_MAX):
            at, action = self._find_next()
            if at > end:
                break
            self.at = max(self.at, at)
            action()
        else:
            raise AssertionError("it never rests")
        self.at = end

    # -- how -------------------------------------------------------------------------------------

    def _engine(self, number: int) -> OrderingEngine:
        engine = self.members[number].engine
        assert engine is not None
        return engine

    def _find_next(self) -> tuple[int, Callable[[], None]]:
        choices = [
            (member.when(member.engine.next_deadline()), member.number)
            for member in self.members
            if member.engine is not None
        ]
        at, number = min(choices, default=(2**62, 0))
        if self._agenda and self._agenda[0][0] <= max(at, self.at):
            return self._agenda[0][0], self._do_planned
        return at, lambda: void(self.tell(number, Tick()))

    def _do_planned(self) -> None:
        heapq.heappop(self._agenda)[2]()

    def _later(self, member: Member, span_us: int, event: OrderingEvent) -> None:
        life = member.life

        def act() -> None:
            if member.engine is not None and member.life == life:
                self.tell(member.number, event)

        heapq.heappush(self._agenda, (self.at + span_us, next(self._order), act))

    def _carry(self, member: Member, effect: OrderingEffect) -> None:
        match effect:
            case Keep(block, words):
                self._keep(member, block, words)
            case Publish(block, is_own):
                self._publish(member, block, is_own=is_own)
            case BlocksMissing(peer, first, last):
                self._answer(member, peer, first, last)
            case BlockRefused(refusal=refusal):
                member.refused.append(refusal.rule)
            case ForkFound():
                member.forks.append(effect)
            case _:
                assert_never(effect)

    def _keep(self, member: Member, block: OpenedBlock, words: tuple[bytes, ...]) -> None:
        life = member.life

        def finish() -> None:
            if member.life == life:
                member.disk.append((block, words))
                self.tell(member.number, Kept(block.header.height))

        heapq.heappush(self._agenda, (self.at + DISK_US, next(self._order), finish))

    def _publish(self, member: Member, block: OpenedBlock, *, is_own: bool) -> None:
        ids = self.published.setdefault(block.header.height, [])
        if block.block_id not in ids:
            ids.append(block.block_id)
        assert any(kept.block_id == block.block_id for kept, _ in member.disk), "told before kept"
        words = next(words for kept, words in member.disk if kept.block_id == block.block_id)
        for other in self.members:
            if other is not member and is_own:
                self._later(other, LINK_US, BlockReceived(name(member.number), block, words))
            elif other is not member:
                self._later(other, LINK_US, HeadReceived(name(member.number), block))

    def _answer(self, member: Member, peer: NodeId, first: int, last: int) -> None:
        source = next(other for other in self.members if name(other.number) == peer)
        for block, words in source.disk[first - 1 : last]:
            self._later(member, 2 * LINK_US, BlockReceived(peer, block, words))

    def _take_final(self, member: Member) -> None:
        assert member.engine is not None
        while (final := member.engine.finalised()) is not None:
            member.finals.append(final)
            root = member.compute_head(final.height).root
            is_due = member.due_ms is not None and member.due_ms > final.time_ms
            due_ms = member.due_ms if is_due else None
            self.tell(member.number, Applied(final.height, root, due_ms))


def void(_: object) -> None:
    """Drop a value."""


def settle(net: OrderingNet) -> None:
    """Let what was said last reach everybody."""
    net.run(2 * SECOND)
