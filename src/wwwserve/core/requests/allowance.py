"""How many requests an engine that does not tell its slots is trusted with at once.

As a sender finds the rate of a network: at each look the number doubles if requests were turned
away and nothing waits in the engine; the first queue halves it, though not below what the engine
was seen to run; from then on it grows by an eighth at a time. While nobody is turned away it stays:
more at once would only be slower for each. A request that was sent since the last look may still
wait for the engine's next step, so only what has waited for longer counts as a queue.
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

    __slots__ = ("_first", "_has_queued", "_has_refused", "_looked_at", "_sent", "count")

    def __init__(self, first: int) -> None:
        self._first = min(max(first, 1), ALLOWANCE_MAX)
        self.count = self._first
        self._has_queued = False
        self._has_refused = False
        """Since the last look, a request was turned away although half of the count was in use."""
        self._looked_at: Moment | None = None
        self._sent = 0
        """Requests sent since the last look."""

    def note_start(self) -> None:
        """A request is sent to the engine."""
        self._sent += 1

    def note_refusal(self, used: int) -> None:
        """A request is turned away, or waits, while so many are in use."""
        self._has_refused = self._has_refused or 2 * used >= self.count

    def reset(self) -> None:
        """The engine was away: it may come back as another one."""
        self.count = self._first
        self._has_queued = False

    def look(self, reading: EngineReading, now: Moment) -> None:
        """Take in a reading of an engine that is ready."""
        if self._looked_at is not None and now < after(self._looked_at, LOOK_PERIOD_US):
            return
        sent, self._sent = self._sent, 0
        has_refused, self._has_refused = self._has_refused, False
        self._looked_at = now
        if reading.waiting is None:
            # A queue that cannot be seen may be there.
            return
        if reading.waiting > sent:
            self._has_queued = True
            self.count = max(self.count // 2, reading.running or 0, 1)
        elif reading.waiting == 0 and has_refused:
            step = self.count // _GROWTH if self._has_queued else self.count
            self.count = max(self.count + max(step, 1), reading.running or 0)
        self.count = min(self.count, ALLOWANCE_MAX)
