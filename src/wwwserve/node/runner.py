"""The loop of a real node: tell the peer what happened, do what it asks, wake it when it wants.

Events are handled one at a time on the event loop, each together with all its effects, before the
next; an event that arises while effects are carried out waits its turn. There is no other way into
the peer, so what it checked is still true when it acts.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from wwwserve.core.effects import (
    AnswerOrder,
    Effect,
    ExtendPayment,
    OpenFeed,
    Persist,
    SendMessage,
    StartRemote,
)
from wwwserve.core.events import DeadlineReached, Event, Persisted
from wwwserve.core.lanes import Lane
from wwwserve.ports.clock import Clock
from wwwserve.ports.store import Store, StoreFailed
from wwwserve.values.moments import NEVER, SECOND, Moment


class Machine(Protocol):
    """The pure half: what happened and when goes in, what should be done comes out."""

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        """Take one event; never waits."""
        ...

    def next_deadline(self) -> Moment:
        """When it wants to be called if nothing happens before; `NEVER` if not at all."""
        ...


class Carrier(Protocol):
    """Does what the peer asks for, apart from writing to disk, which the runner orders itself."""

    def carry(self, effect: Effect) -> None:
        """Carry out one effect, or set it going. Whatever comes of it is delivered as an event."""
        ...


def ignore_written(lane: Lane) -> None:
    """For a node of which nobody needs to know when its writes are durable."""


class Runner:
    """Drives one peer. A bug inside it stops the node: `wait_failed` raises it."""

    def __init__(
        self, clock: Clock, store: Store, on_written: Callable[[Lane], None] = ignore_written
    ) -> None:
        """`on_written` hears the lane of each write that is durable, before the peer does."""
        self._clock = clock
        self._store = store
        self._on_written = on_written
        self._peer: Machine | None = None
        self._carrier: Carrier | None = None
        self._inbox: deque[Event] = deque()
        self._is_handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        """When the timer will ring; `NEVER` while there is none."""
        self._gates = {lane: _LaneGate() for lane in Lane}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_stopped = False

    def start(self, peer: Machine, carrier: Carrier, first: Event) -> None:
        """Begin with this event; what is delivered before is not heard."""
        self._peer = peer
        self._carrier = carrier
        self.deliver(first)

    def stop(self) -> None:
        """Handle nothing any more."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()

    async def wait_failed(self) -> None:
        """Wait for ever, or raise what broke the peer."""
        await asyncio.shield(self._failed)

    async def wait_durable(self) -> None:
        """Wait until every write begun is durable, and what waited for it was carried out."""
        for gate in self._gates.values():
            await gate.wait_quiet()

    def deliver(self, event: Event) -> None:
        """Tell the peer what happened and carry out its effects, in order, before returning.

        Called from within an effect, it only queues: at most a few events per effect, so the inbox
        is bounded by what the peer may ask for at once.
        """
        if self._peer is None or self._is_stopped or self._failed.done():
            return
        self._inbox.append(event)
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._inbox:
                self._handle(self._inbox.popleft())
            self._arm()
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self._is_handling = False

    def _fail(self, error: Exception) -> None:
        """A bug in the pure half or a dead disk: nothing it says can be trusted any more."""
        if not self._failed.done():
            self._failed.set_exception(error)

    def _handle(self, event: Event) -> None:
        assert self._peer is not None
        assert self._carrier is not None
        carry = self._carrier.carry
        for effect in self._peer.handle(event, self._clock.now()):
            match effect:
                case Persist():
                    self._persist(effect, carry)
                case (
                    SendMessage(lane=Lane() as lane)
                    | StartRemote(lane=Lane() as lane)
                    | ExtendPayment(lane=lane)
                    | OpenFeed(lane=lane)
                    | AnswerOrder(lane=lane)
                ) if self._gates[lane].is_waiting:
                    self._gates[lane].hold(effect)
                case _:
                    carry(effect)

    def _persist(self, effect: Persist, carry: Callable[[Effect], None]) -> None:
        gate = self._gates[effect.lane]
        gate.begin()

        def on_durable(failure: StoreFailed | None) -> None:
            if failure is not None:
                self._fail(failure)
                return
            try:
                self._on_written(effect.lane)
                self.deliver(Persisted(effect.lane, effect.number))
                for held in gate.end():
                    carry(held)
            except Exception as error:
                self._fail(error)
                raise

        self._store.write(effect.lane, dict(effect.changes), on_durable)

    def _arm(self) -> None:
        """See that a timer rings at the peer's deadline or before.

        A timer that rings too early does no harm and is left alone: most deadlines move on with
        each event, and moving a timer costs more than handling one event too many.
        """
        assert self._peer is not None
        deadline = self._peer.next_deadline()
        if deadline >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        wait_s = max(0, deadline - self._clock.now()) / SECOND
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self.deliver(DeadlineReached())


class _LaneGate:
    """Holds back effects of one lane until the writes begun before them are durable."""

    def __init__(self) -> None:
        self._begun = 0
        self._ended = 0
        self._held: deque[tuple[int, Effect]] = deque()
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    @property
    def is_waiting(self) -> bool:
        return self._ended < self._begun

    def begin(self) -> None:
        self._begun += 1
        self._is_quiet.clear()

    async def wait_quiet(self) -> None:
        await self._is_quiet.wait()

    def hold(self, effect: Effect) -> None:
        self._held.append((self._begun, effect))

    def end(self) -> list[Effect]:
        """One more write (in the order begun) is durable: what waited for it and no other."""
        self._ended += 1
        freed: list[Effect] = []
        while self._held and self._held[0][0] <= self._ended:
            freed.append(self._held.popleft()[1])
        if not self.is_waiting:
            self._is_quiet.set()
        return freed
