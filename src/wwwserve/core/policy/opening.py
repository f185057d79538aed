"""Whether the hours let other nodes' requests in, followed from turn to turn on the peer's clock.

Rules:

- The host tells the local time now and then; between, it goes on with the peer's own clock.
- Until it was told once, a node with hours is closed: it does not know that it may be open.
- A correction by up to `CORRECTION_US` moves the next turn and undoes none, so that clocks put
  right by a little do not open and close a node twice. Anything more (summer time, a clock set by
  hand, a machine that slept) is looked at afresh.
"""

from collections.abc import Sequence

from wwwserve.core.policy.hours import WEEK_US, Timetable, make_timetable
from wwwserve.core.policy_settings import Window
from wwwserve.values.moments import NEVER, SECOND, Moment, after

CORRECTION_US = 1 * SECOND
"""More than a clock is put right by while it runs undisturbed, and less than anybody minds."""
UNTOLD_US = 1 * SECOND
"""When to ask a node again that does not know the time yet: its host tells it when it starts."""
_AT_ONCE = Moment(-NEVER)


class Opening:
    """Open or closed to others by the hours, and when that turns."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.is_open = False
        self.turn_at = NEVER
        """When `turn` is due; before, it may be called and does nothing."""
        self._open_us = 0
        """For how long it has been open, up to `_seen_at`."""
        self._seen_at: Moment | None = None
        self._ahead_us: int | None = None
        """What to add to a moment to have the local time; None = nobody has told it yet."""
        self._table = Timetable(is_open_at_end=True, turns_us=())
        self.set(windows)

    def set(self, windows: Sequence[Window]) -> None:
        """From now on these hours hold; `turn` is due at once if they need the time to be known."""
        self._table = make_timetable(windows)
        is_timed = bool(self._table.turns_us)
        self.is_open = not is_timed and self._table.is_open_at_end
        self.turn_at = _AT_ONCE if is_timed and self._ahead_us is not None else NEVER

    def read(self, week_us: int, now: Moment) -> None:
        """The host says what time of the week it is; `turn` may be due after it."""
        assert 0 <= week_us < WEEK_US, week_us
        was_ahead_us, self._ahead_us = self._ahead_us, week_us - now
        if not self._table.turns_us:
            return
        step_us = None if was_ahead_us is None else _compute_step(was_ahead_us, self._ahead_us)
        if step_us is None or abs(step_us) > CORRECTION_US:
            self.turn_at = _AT_ONCE
        else:
            self.turn_at = after(self.turn_at, -step_us)

    def turn(self, now: Moment) -> None:
        """Open or close if the moment has come."""
        if now < self.turn_at:
            return
        assert self._ahead_us is not None, "no turn is due before the time is known"
        self.compute_open_us(now)
        week_us = (now + self._ahead_us) % WEEK_US
        self.is_open = self._table.is_open(week_us)
        rest_us = self._table.compute_rest_us(week_us)
        assert rest_us is not None, "no turn is due where there are none"
        self.turn_at = after(now, rest_us)

    def compute_week_us(self, now: Moment) -> int | None:
        """The time of the week where the provider is; None = nobody has told it yet."""
        return None if self._ahead_us is None else (now + self._ahead_us) % WEEK_US

    def compute_open_us(self, now: Moment) -> int:
        """For how long it has been open all in all, since it was first asked this."""
        if self.is_open and self._seen_at is not None:
            self._open_us += now - self._seen_at
        self._seen_at = now
        return self._open_us

    def compute_closed_us(self, now: Moment) -> int:
        """How long it stays closed; 0 = it is open."""
        if self.is_open:
            return 0
        return UNTOLD_US if self.turn_at == NEVER else max(1, self.turn_at - now)

    def compute_rest_us(self, now: Moment) -> int | None:
        """How long it stays as it is; None = for good, or nobody has told the time yet."""
        return None if self.turn_at == NEVER else max(0, self.turn_at - now)


def _compute_step(was_ahead_us: int, ahead_us: int) -> int:
    """By how much the local time was put forward, or back, the shorter way round the week."""
    return (ahead_us - was_ahead_us + WEEK_US // 2) % WEEK_US - WEEK_US // 2
