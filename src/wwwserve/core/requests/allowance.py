"""How many requests an engine that does not tell its slots is trusted with at once.

As a sender finds the rate of a network: the number doubles at each look while it is used and
nothing waits in the engine; the first queue halves it, though not below what the engine was seen to
run; from then on it grows by an eighth at a time. A request that was sent since the last look may
still wait for the engine's next step, so only what has waited for longer counts as a queue.
"""

from wwwserve.core.engines import EngineReading
from wwwserve.values.moments import MILLISECOND, Moment, after

ALLOWANCE_MAX = 1_024
"""Requests no engine is trusted to exceed, whatever it reports."""
LOOK_PERIOD_US = 500 * MILLISECOND
"""Shortest time between two looks: what waits that long does not only wait for a step."""
_GROWTH = 8
"""Divisor of the count for one step upwards, once a queue was seen."""


class Allowance:
    """The number for one engine, moved by each reading of it."""

    __slots__ = ("_first", "_has_queued", "_looked_at", "_sent", "count")

    def __init__(self, first: int) -> None:
        self._first = max(first, 1)
        self.count = self._first
        self._has_queued = False
        self._looked_at: Moment | None = None
        self._sent = 0
        """Requests sent since the last look."""

    def note_start(self) -> None:
        """A request is sent to the engine."""
        self._sent += 1

    def reset(self) -> None:
        """The engine was away: it may come back as another one."""
        self.count = self._first
        self._has_queued = False

    def look(self, reading: EngineReading, busiest: int, now: Moment) -> None:
        """Take in a reading; `busiest` is the most the engine was given since the last one."""
        if self._looked_at is not None and now < after(self._looked_at, LOOK_PERIOD_US):
            return
        sent, self._sent = self._sent, 0
        self._looked_at = now
        if reading.waiting is None:
            # A queue that cannot be seen may be there.
            return
        if reading.waiting > sent:
            self._has_queued = True
            self.count = max(self.count // 2, reading.running or 0, 1)
        elif reading.waiting == 0 and 2 * busiest >= self.count:
            step = self.count // _GROWTH if self._has_queued else self.count
            self.count = max(self.count + max(step, 1), reading.running or 0)
        self.count = min(self.count, ALLOWANCE_MAX)
