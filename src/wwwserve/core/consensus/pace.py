"""The ledger clock against one's own: how far a block may move it, and when.

No two clocks need agree. A leader moves the ledger clock by what its own has moved since the last
block, and in a stall not at all; whoever watches lets it run ahead of its own by one per cent and a
second in an epoch, so that a fast leader cannot shorten a window.

Whoever has just begun, or missed blocks, knows a block but not how old it is: it may have been made
long before it was read. Until the epoch ends such a watch lets the clock run ahead by that, too; a
watch that did not would stay as late as it began, and believe every block that much too late.
"""

from typing import Final

from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.values.moments import MILLISECOND, Moment, after

CLOCK_LEAD_PERMILLE: Final = 10
"""How much faster than one's own clock the ledger clock may be: 1 %, far above any quartz."""
CLOCK_LEAD_MS: Final = 1_000
"""And how far ahead at once: what a message may have been late when the epoch began."""
AGE_HEIGHTS_MAX: Final = 2
"""How old the newest block that somebody knows may be, in idle heights: it missed one at most, for
who missed more is told so and takes them as history."""
_PERMILLE: Final = 1_000


class LedgerClock:
    """A leader's: says how far its next block moves the ledger clock."""

    __slots__ = ("_anchor", "_step_ms_max")

    def __init__(self, parameters: LedgerParameters, now: Moment) -> None:
        """After a start the ledger clock goes on from now: in a stall it stood still."""
        self._anchor = now
        self._step_ms_max = parameters.height_ms_max

    def compute_moment(self, wait_ms: int) -> Moment:
        """When the ledger clock may be moved by so much."""
        return after(self._anchor, wait_ms * MILLISECOND)

    def take_step(self, now: Moment) -> int:
        """The `dt` of a block made now."""
        passed_ms = (now - self._anchor) // MILLISECOND
        if passed_ms > self._step_ms_max:
            # Whatever held it up (a disk, a suspended machine) was a stall.
            self._anchor = now
            return self._step_ms_max
        # What is less than a millisecond counts in the next step.
        self._anchor = after(self._anchor, passed_ms * MILLISECOND)
        return passed_ms


class ClockWatch:
    """A follower's: says when a block may be believed, by its own clock."""

    __slots__ = ("_age_ms_max", "_began_at", "_began_ms", "_epoch", "_epoch_ms", "_lead_ms")

    def __init__(self, parameters: LedgerParameters, time_ms: int, now: Moment) -> None:
        """Watch from an instant of the ledger clock that is believed now."""
        self._epoch_ms = parameters.epoch_ms
        self._age_ms_max = AGE_HEIGHTS_MAX * parameters.height_ms_idle
        self._begin(time_ms, now, lead_ms=CLOCK_LEAD_MS + self._age_ms_max)

    def compute_moment(self, time_ms: int) -> Moment:
        """When a block that moves the ledger clock to an instant may be believed."""
        beyond_ms = max(time_ms - self._began_ms - self._lead_ms, 0)
        # Rounded up: never a microsecond too early.
        scale = _PERMILLE + CLOCK_LEAD_PERMILLE
        wait_us = -(-beyond_ms * MILLISECOND * _PERMILLE // scale)
        return after(self._began_at, wait_us)

    def on_believed(self, time_ms: int, now: Moment) -> None:
        """Go on from a block that was believed: each epoch is measured from its beginning."""
        if time_ms // self._epoch_ms != self._epoch:
            self._begin(time_ms, now, lead_ms=CLOCK_LEAD_MS)

    def on_history(self, time_ms: int, now: Moment) -> None:
        """Go on from a block of the past, of which one's own clock says nothing."""
        self._begin(time_ms, now, lead_ms=CLOCK_LEAD_MS + self._age_ms_max)

    def _begin(self, time_ms: int, now: Moment, *, lead_ms: int) -> None:
        self._epoch = time_ms // self._epoch_ms
        self._began_ms, self._began_at, self._lead_ms = time_ms, now, lead_ms
