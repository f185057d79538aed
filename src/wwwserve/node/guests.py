"""The provider's own Python policies: found by name, asked in a thread, and not waited for long.

A guest's code is not ours: it may raise, hang, or compute for ever. So it runs in a thread of its
own that nobody else waits for; what does not come within its time is not heard, and a guest at
fault is left alone for a while, longer each time. A busy machine makes the best guest late now and
then, so there is a little grace: a provider's no must not be lost to another program's work.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from wwwserve.core.deciding import Case, GuestFault
from wwwserve.core.placing import Verdict
from wwwserve.policies import ENTRY_POINTS, GUEST_TIME_US, Guest, find_fault
from wwwserve.ports.clock import Clock
from wwwserve.values.moments import MILLISECOND, NEVER, SECOND, Moment, after
from wwwserve.values.refusals import BadInput

REST_MIN_US = 1 * SECOND
"""How long a guest is left alone after a fault; twice as long after each further one."""
REST_MAX_US = 60 * SECOND
"""And never longer; an answer that counts ends it all."""

GRACE_US = 25 * MILLISECOND
"""How late answers may be in all, in one `GRACE_SPAN_US`; so long may lateness hold up the node."""
GRACE_SPAN_US = 1 * SECOND

FindGuests = Callable[[], tuple[EntryPoint, ...]]


def find_guests() -> tuple[EntryPoint, ...]:
    """The guests installed here."""
    return tuple(entry_points(group=ENTRY_POINTS))


def load_guest(name: str, find: FindGuests = find_guests) -> Guest:
    """The guest of a name. Raises `BadInput` if there is none, or it cannot be made."""
    found = {point.name: point for point in find()}
    if name not in found:
        close = get_close_matches(name, found, n=1)
        known = f"installed are {', '.join(sorted(found))}" if found else "none is installed"
        raise BadInput(
            field="policy.guest",
            found=name,
            expected=f"an entry point of the group {ENTRY_POINTS}",
            fix=f"did you mean {close[0]}?" if close else f"install its package; {known}",
        )
    try:
        guest = found[name].load()()
    except Exception as error:
        raise _refuse(name, f"it raised {type(error).__name__}: {error}") from error
    if not callable(getattr(guest, "decide", None)):
        raise _refuse(name, "it has no method decide")
    return guest  # type: ignore[no-any-return] # what has `decide` is a guest


def _refuse(name: str, why: str) -> BadInput:
    expected = "a class made without arguments, with a method decide"
    return BadInput("policy.guest", f"{name}: {why}", expected, "correct it, or leave it out")


@dataclass(slots=True)
class _Call:
    """One question to a guest, and what comes of it."""

    case: Case
    answer: object = None
    fault: str = ""
    done: threading.Event = field(default_factory=threading.Event)


class _Room:
    """Where one guest lives: a thread that asks it one question after the other."""

    def __init__(self, name: str, guest: Guest) -> None:
        self._guest = guest
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        thread = threading.Thread(target=self._work, name=f"guest {name}", daemon=True)
        thread.start()

    def ask(self, case: Case) -> _Call:
        call = _Call(case)
        self._calls.put(call)
        return call

    def leave(self) -> None:
        """The guest goes once it has answered what it was asked."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call.answer = self._guest.decide(call.case)
            except Exception as error:  # noqa: BLE001 - it is not our code, and it is reported
                call.fault = f"it raised {type(error).__name__}: {str(error)[:200]}"
            call.done.set()


class GuestHouse:
    """`AsksGuest` of a real node: at most one guest at a time."""

    def __init__(
        self,
        clock: Clock,
        *,
        limit_us: int = GUEST_TIME_US,
        grace_us: int = GRACE_US,
        find: FindGuests = find_guests,
    ) -> None:
        self._clock = clock
        self._limit_us = limit_us
        self._grace_us = grace_us
        self._find = find
        self._name = ""
        self._room: _Room | None = None
        self._away: _Call | None = None
        """What the guest still has not answered."""
        self._rest_until = Moment(-NEVER)
        self._rest_us = 0
        self._late_us = 0
        """How late answers were, all together, in the span of grace that runs."""
        self._grace_returns = Moment(-NEVER)

    def prepare(self, name: str) -> Callable[[], None]:
        """Load a guest, "" being none; calling the answer lets it in. Raises `BadInput`."""
        guest = load_guest(name, self._find) if name and name != self._name else None

        def let_in() -> None:
            if name != self._name:
                self._let_in(name, guest)

        return let_in

    def close(self) -> None:
        """There is no guest any more."""
        self._let_in("", None)

    def ask(self, name: str, case: Case) -> Verdict | GuestFault | None:
        """See `AsksGuest`."""
        now = self._clock.now()
        if self._room is None or name != self._name:
            return GuestFault(f"{name} is not here")
        if self._away is not None:
            if not self._away.done.is_set():
                return GuestFault("it is still busy with an earlier request")
            self._away = None
        if now < self._rest_until:
            return GuestFault("it is left alone after a fault")
        if now >= self._grace_returns:
            self._late_us = 0
        wait_us = self._limit_us + self._grace_us - self._late_us
        call = self._room.ask(case)
        if not call.done.wait(wait_us / SECOND):
            self._away = call
            return self._blame(f"no answer within {wait_us} us", now)
        self._count_lateness(asked_at=now)
        fault = call.fault or find_fault(case, call.answer)
        if fault:
            return self._blame(fault, now)
        self._rest_us = 0
        return call.answer  # type: ignore[return-value] # `find_fault` has looked at its type

    def _count_lateness(self, asked_at: Moment) -> None:
        now = self._clock.now()
        late_us = now - asked_at - self._limit_us
        if late_us <= 0:
            return
        if self._late_us == 0:
            self._grace_returns = after(now, GRACE_SPAN_US)
        self._late_us = min(self._late_us + late_us, self._grace_us)

    def _blame(self, fault: str, now: Moment) -> GuestFault:
        self._rest_us = min(max(2 * self._rest_us, REST_MIN_US), REST_MAX_US)
        self._rest_until = after(now, self._rest_us)
        return GuestFault(fault)

    def _let_in(self, name: str, guest: Guest | None) -> None:
        if self._room is not None:
            self._room.leave()
        self._name, self._away = name, None
        self._room = None if guest is None else _Room(name, guest)
        self._rest_until, self._rest_us = Moment(-NEVER), 0
