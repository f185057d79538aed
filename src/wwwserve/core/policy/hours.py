"""A provider's week as arithmetic: from windows of minutes to the times at which it turns.

The week begins on Monday at 00:00 and is a circle: what runs past its end goes on at its beginning.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from wwwserve.core.policy_settings import Window
from wwwserve.values.moments import SECOND

WEEK_MINUTES = 7 * 24 * 60
MINUTE_US = 60 * SECOND
WEEK_US = WEEK_MINUTES * MINUTE_US


@dataclass(frozen=True, slots=True)
class Timetable:
    """When, in any week, a node opens to others and closes."""

    is_open_at_end: bool
    """Just before the week is over; without turns, at any time."""
    turns_us: tuple[int, ...]
    """The times of the week, in order, at which the one becomes the other; an even number."""

    def is_open(self, week_us: int) -> bool:
        """Whether it is open at a time of the week; a turn's own instant is after the turn."""
        has_changed = bisect_right(self.turns_us, week_us) % 2 == 1
        return self.is_open_at_end != has_changed

    def compute_rest_us(self, week_us: int) -> int | None:
        """How long it stays as it is from a time of the week on; None = for good."""
        if not self.turns_us:
            return None
        index = bisect_right(self.turns_us, week_us)
        if index < len(self.turns_us):
            return self.turns_us[index] - week_us
        return WEEK_US - week_us + self.turns_us[0]


def make_timetable(windows: Sequence[Window]) -> Timetable:
    """The week in which it is open during any of the windows, or always if there is none."""
    if not windows:
        return Timetable(is_open_at_end=True, turns_us=())
    minutes = bytearray(WEEK_MINUTES)
    for window in windows:
        _fill(minutes, window)
    # Python's index -1 is the circle: Monday 00:00 comes after the last minute of Sunday.
    turns = [at for at in range(WEEK_MINUTES) if minutes[at] != minutes[at - 1]]
    return Timetable(bool(minutes[-1]), tuple(at * MINUTE_US for at in turns))


def _fill(minutes: bytearray, window: Window) -> None:
    start, end = window.start_minute, window.end_minute
    assert 0 <= start < WEEK_MINUTES, window
    assert start < end <= start + WEEK_MINUTES, window
    this_week = min(end, WEEK_MINUTES)
    minutes[start:this_week] = b"\1" * (this_week - start)
    next_week = end - this_week
    minutes[:next_week] = b"\1" * next_week
