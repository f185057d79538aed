"""The provider's calendar, for a peer that has none: the time of the week in the provider's zone.

It is told at every whole minute, because clocks are changed at whole minutes (summer time above
all), and at once when the machine's clock turns out to have been set, or the machine to have slept.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

from wwwserve.core.events import Event, LocalTimeRead
from wwwserve.core.policy import WEEK_US
from wwwserve.ports.clock import Clock
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

LOOK_PERIOD_US = 1 * SECOND
"""How soon a clock that was set is noticed; looking costs microseconds."""
JUMP_US = SECOND // 10
"""By how much the calendar may drift from the monotonic clock within a minute before it is told."""
_MINUTE_US = 60 * SECOND
_MICROSECOND = timedelta(microseconds=1)

ReadWall = Callable[[], int]
"""Microseconds since 1970 by the machine's calendar clock, which may be set to anything."""


def read_wall_us() -> int:
    """The machine's calendar clock."""
    return time.time_ns() // 1_000


def find_zone(field: str, name: str) -> tzinfo | None:
    """The time zone of an IANA name; None for "", the machine's own. Raises `BadInput`."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # A folder of zones ("Europe") and a name with an odd sign in it are no zones either.
        close = get_close_matches(name, sorted(available_timezones()), n=1)
        fix = f"did you mean {close[0]!r}?" if close else "leave it empty for this machine's own"
        expected = "an IANA time zone such as 'Europe/Zurich'"
        raise BadInput(field, name, expected, fix) from None


def make_local(wall_us: int, zone: tzinfo | None) -> datetime:
    """An instant as clocks on the wall show it in a zone."""
    instant = datetime.fromtimestamp(wall_us // SECOND, UTC)
    return instant.replace(microsecond=wall_us % SECOND).astimezone(zone)


def compute_week_us(local: datetime) -> int:
    """Microseconds from Monday 00:00, as clocks on the wall count them."""
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    of_day = (local.replace(tzinfo=None) - midnight) // _MICROSECOND
    return local.weekday() * (WEEK_US // 7) + of_day


class LocalTime:
    """Tells the peer what time of the week it is where the provider is."""

    def __init__(
        self,
        zone: tzinfo | None,
        clock: Clock,
        deliver: Callable[[Event], None],
        read_wall: ReadWall = read_wall_us,
    ) -> None:
        self._zone = zone
        self._clock = clock
        self._deliver = deliver
        self._read_wall = read_wall
        self._told_minute: int | None = None
        self._told_ahead_us = 0

    def set_zone(self, zone: tzinfo | None) -> None:
        """The provider is elsewhere from now on."""
        self._zone = zone
        self._told_minute = None
        self.look()

    def look(self) -> None:
        """Tell the time if a new minute has begun, or the calendar was set."""
        wall_us = self._read_wall()
        minute, ahead_us = wall_us // _MINUTE_US, wall_us - self._clock.now()
        if minute == self._told_minute and abs(ahead_us - self._told_ahead_us) < JUMP_US:
            return
        self._told_minute, self._told_ahead_us = minute, ahead_us
        self._deliver(LocalTimeRead(compute_week_us(make_local(wall_us, self._zone))))

    def find_time_in(self, span_us: int) -> datetime:
        """What clocks here will show when they have gone on by so much."""
        # Counted on the wall: where clocks are changed meanwhile, the hour is meant, not the span.
        now = make_local(self._read_wall(), self._zone).replace(tzinfo=None)
        then = now + timedelta(microseconds=span_us)
        return then.astimezone() if self._zone is None else then.replace(tzinfo=self._zone)

    def find_time_at(self, wall_us: int) -> datetime:
        """An instant as clocks here show it."""
        return make_local(wall_us, self._zone)


async def look_often(
    looks: Sequence[Callable[[], None]], read_wall: ReadWall = read_wall_us
) -> None:
    """Look at the calendar until cancelled, at each whole minute and at least once a second."""
    while True:
        for look in looks:
            look()
        to_minute_us = _MINUTE_US - read_wall() % _MINUTE_US
        await asyncio.sleep(min(to_minute_us, LOOK_PERIOD_US) / SECOND)
