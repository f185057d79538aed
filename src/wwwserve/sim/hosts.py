"""One pretend machine: a production peer between a pretend clock, disk and engine.

A host starts, kills and restarts its peer's process; disk and engine outlive it. Everything told to
the peer goes through `tell`, everything the peer asks for comes out of `carry_out`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from wwwserve.core.effects import Effect
from wwwserve.core.events import (
    DeadlineReached,
    EngineRead,
    Event,
    LocalTimeRead,
    MachineRead,
    Persisted,
    Started,
)
from wwwserve.core.lanes import Lane
from wwwserve.core.policy import WEEK_US
from wwwserve.core.snapshot import Snapshot
from wwwserve.sim.disk import PretendDisk
from wwwserve.sim.engines import ENGINE_NAME, PretendEngine
from wwwserve.sim.people import HONEST, Person
from wwwserve.sim.plans import OwnerUse
from wwwserve.sim.world import Action, PretendClock, World
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import ENGINE_POLL_US
from wwwserve.values.moments import NEVER, SECOND, Moment

LOCAL_TIME_PERIOD_US = 60 * SECOND
"""How often a host with a calendar tells the local time, as a real one does."""
MACHINE_PERIOD_US = 5 * SECOND
"""How often a host tells how busy its machine is, where that is wanted, as a real one does."""
WORKING_PERMILLE = 950
"""How busy an engine at work keeps its graphics card."""
DEADLINES_AT_ONE_INSTANT_MAX = 100
"""A peer whose deadline stays due this often without time passing would spin for ever."""


class AnyPeer(Protocol):
    """What a host needs of a peer: `core.peer.Peer`, or a scripted one in a test."""

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        """Take in what happened, give back what is to be done."""
        ...

    def next_deadline(self) -> Moment:
        """The earliest moment the peer wants to be called."""
        ...

    def get_snapshot(self, now: Moment) -> Snapshot:
        """The peer as it is now."""
        ...


class PeerSpins(Exception):
    """A peer's deadline stays due however often it is told."""


@dataclass(slots=True, eq=False)
class Host:
    """One machine and its peer."""

    index: int
    name: str
    node_id: NodeId
    address: str
    world: World
    clock: PretendClock
    disk: PretendDisk
    engine: PretendEngine
    create_peer: Callable[["Host"], AnyPeer]
    """Makes a newly started process's peer from what is on disk."""
    carry_out: Callable[["Host", Effect], None]
    """Does what the peer asks for."""
    watch: Callable[["Host", Event], None]
    """Looks at each event before the peer gets it."""
    person: Person = field(default=HONEST)
    engine_poll_us: int | None = ENGINE_POLL_US
    """How often the peer hears of its engine; None: never, for there are no requests."""
    local_zero_us: int | None = None
    """What the local time of the week is when the world begins; None = the host has no calendar."""
    owner_use: tuple[OwnerUse, ...] = ()
    """When its provider uses the machine."""
    is_machine_read: bool = False
    """Whether the peer hears how busy the machine is."""
    peer: AnyPeer | None = None
    life: int = 0
    """Counts starts and ends of the process; what was meant for an earlier life is dropped."""
    deadline: Moment = NEVER
    """What the peer last said, on its own clock."""
    wake_us: int = NEVER
    spins: int = 0
    is_stingy: bool = False
    """Whether its data plane shows no unit for now, whoever runs it."""
    has_lost_power: bool = False
    """Whether the machine went down, and the wallet has not written so yet."""

    @property
    def pays(self) -> bool:
        """Whether it shows the units it owes now."""
        return self.person.pays and not self.is_stingy

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self.peer is not None

    def start(self) -> None:
        """The process starts: the peer is made from the disk and told so."""
        assert self.peer is None, "already running"
        self.life += 1
        self.wake_us = NEVER
        self.peer = self.create_peer(self)
        self.tell(Started())
        if self.local_zero_us is not None:
            self._tell_local_time(self.local_zero_us)
        if self.is_machine_read:
            self._tell_machine()
        self._poll_engine()

    def end(self, *, is_power_lost: bool = False) -> None:
        """The process is gone at this instant, whatever it was doing; perhaps its machine too."""
        self.life += 1
        self.peer = None
        self.disk.crash()
        if is_power_lost:
            self.disk.lose_newest()
            self.has_lost_power = True

    def tell(self, event: Event) -> None:
        """Give the peer an event and carry out its answer; nothing if no process runs."""
        peer = self.peer
        if peer is None:
            return
        world = self.world
        world.event_count += 1
        if isinstance(event, Persisted) and event.lane is Lane.FEED:
            self.has_lost_power = False
        self.watch(self, event)
        effects = peer.handle(event, self.clock.read(world.now_us))
        reply = self.person.alter(effects, world.now_us)
        for effect in reply.effects:
            world.record(self.index, effect)
            self.carry_out(self, effect)
        for answer in reply.events:
            self.later(0, answer)
        self._arm(peer)

    def later(self, span_us: int, event: Event) -> None:
        """Tell the peer in a while, if this life of its process lasts so long."""
        self.do_later(span_us, lambda: self.tell(event))

    def do_later(self, span_us: int, action: Action) -> None:
        """Do something in a while, if this life of the process lasts so long."""
        life = self.life

        def act() -> None:
            if life == self.life:
                action()

        self.world.after(span_us, act)

    def read_clock(self) -> Moment:
        """What its clock shows now."""
        return self.clock.read(self.world.now_us)

    def get_snapshot(self) -> Snapshot | None:
        """The peer as it is now, or None if no process runs."""
        return self.peer.get_snapshot(self.read_clock()) if self.peer else None

    def read_owner_permille(self) -> int:
        """How busy its provider keeps the machine now."""
        now_us = self.world.now_us
        busy = (use.busy_permille for use in self.owner_use if use.from_us <= now_us < use.until_us)
        return max(busy, default=0)

    def read_engine(self) -> None:
        """Tell the peer how its engine is, as its adapter would on its own or after a failure."""
        self.later(0, EngineRead(ENGINE_NAME, self.engine.read_state()))

    def _tell_local_time(self, zero_us: int) -> None:
        self.tell(LocalTimeRead((zero_us + self.world.now_us) % WEEK_US))
        self.do_later(LOCAL_TIME_PERIOD_US, lambda: self._tell_local_time(zero_us))

    def _tell_machine(self) -> None:
        working = WORKING_PERMILLE if self.engine.running else 0
        self.tell(MachineRead(max(self.read_owner_permille(), working)))
        self.do_later(MACHINE_PERIOD_US, self._tell_machine)

    def _poll_engine(self) -> None:
        if self.engine_poll_us is not None:
            self.tell(EngineRead(ENGINE_NAME, self.engine.read_state()))
            self.do_later(self.engine_poll_us, self._poll_engine)

    def _arm(self, peer: AnyPeer) -> None:
        deadline = peer.next_deadline()
        if deadline == self.deadline and self.wake_us != NEVER:
            return  # most events leave it as it was
        self.deadline = deadline
        wake_us = max(self.clock.find(deadline), self.world.now_us)
        if wake_us < self.wake_us:
            self.wake_us = wake_us
            life = self.life
            self.world.at(wake_us, lambda: self._wake(wake_us, life))

    def _wake(self, wake_us: int, life: int) -> None:
        if life != self.life or wake_us != self.wake_us or self.peer is None:
            return  # an earlier call has replaced this one
        self.wake_us = NEVER
        if self.clock.find(self.peer.next_deadline()) > wake_us:
            self._arm(self.peer)
            return
        self.tell(DeadlineReached())
        self.spins = self.spins + 1 if self.wake_us == wake_us else 0
        if self.spins > DEADLINES_AT_ONE_INSTANT_MAX:
            raise PeerSpins(f"{self.name}: its deadline stays due at {wake_us} us")
