"""One peer's side of a session, and how a session fails; `sim.streams` has the rules."""

from collections.abc import Callable
from dataclasses import dataclass

from wwwserve.core.events import Event, StreamFailed
from wwwserve.core.sessions import SessionId
from wwwserve.sim.hosts import Host
from wwwserve.sim.world import Action
from wwwserve.values.limits import STALL_US, STARVED_US
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Decline


@dataclass(slots=True, eq=False)
class End:
    """One peer's side of a session: what it is told, and until when."""

    host: Host
    session: SessionId
    life: int
    is_open: bool = True
    heard_us: int = 0
    spoke_us: int = 0
    """When it was last told anything but that its other side lives."""
    has_output: bool = False
    """An origin's: output of it has come."""

    def tell(self, event: Event, *, is_last: bool = False) -> None:
        """Tell the peer next, unless the session is over for it or its process died."""
        if self.is_open and self.host.life == self.life:
            self.heard_us = self.spoke_us = self.host.world.now_us
            self.is_open = not is_last
            self.host.tell(event)

    def hear(self) -> None:
        """Its other side lives, and that is all it says."""
        self.heard_us = self.host.world.now_us

    def watch_silence(
        self, on_silence: Action, get_starved_since: Callable[[], int | None] = lambda: None
    ) -> None:
        """Rule 10; one look per `STALL_US`, moved on lazily.

        `get_starved_since`: of an answer that has begun, when its engine last went on with any.
        """
        self.heard_us = self.spoke_us = self.host.world.now_us

        def look() -> None:
            due_us = self.heard_us + STALL_US
            since_us = get_starved_since()
            if since_us is not None:
                due_us = max(due_us, since_us + STALL_US)
            due_us = min(due_us, self.spoke_us + STARVED_US)
            if not self.is_open:
                return
            if due_us <= self.host.world.now_us:
                on_silence()
            else:
                self.host.world.at(due_us, look)

        self.host.do_later(STALL_US, look)


@dataclass(frozen=True, slots=True)
class Failure:
    """A `StreamFailed` before it is known what its user has seen."""

    session: SessionId
    kind: FailureKind
    status: int = 0
    detail: str = ""
    decline: Decline | None = None


def create_failed(failure: Failure, *, is_delivered: bool) -> StreamFailed:
    """The event of a failure, now that it is known what the user has seen."""
    decline = failure.decline
    return StreamFailed(
        session=failure.session,
        kind=failure.kind,
        status=failure.status,
        detail=decline.detail if decline else failure.detail,
        is_delivered=is_delivered,
        decline=DeclineReason(decline.reason) if decline else None,
        retry_after_us=decline.retry_after_us if decline else 0,
    )
