"""The local time a peer is told: right in any zone, on the days clocks change, and when it is set.

The calendar is a number the test sets; no test waits for a clock.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.core.events import Event, LocalTimeRead
from wwwserve.core.policy import WEEK_US
from wwwserve.node.local_time import (
    JUMP_US,
    LocalTime,
    compute_week_us,
    find_zone,
    make_local,
)
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import BadInput

MINUTE_US = 60 * SECOND
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
ZURICH = ZoneInfo("Europe/Zurich")
ZONES = st.sampled_from(
    ["UTC", "Europe/Zurich", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Asia/Tehran"]
).map(ZoneInfo)


def find_wall_us(*date: int) -> int:
    """The instant of a date and time in UTC."""
    year, month, day, hour, minute = date
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * SECOND


class Machine:
    """A machine with a monotonic clock, a calendar that can be set, and a peer that listens."""

    def __init__(self, wall_us: int) -> None:
        self.monotonic_us = 5 * SECOND
        self.wall_us = wall_us
        self.told: list[int] = []
        self.local_time = LocalTime(ZURICH, self, self.hear, lambda: self.wall_us)

    def now(self) -> Moment:
        return Moment(self.monotonic_us)

    def hear(self, event: Event) -> None:
        assert isinstance(event, LocalTimeRead)
        self.told.append(event.week_us)

    def pass_time(self, span_us: int) -> None:
        self.monotonic_us += span_us
        self.wall_us += span_us
        self.local_time.look()


@given(wall_us=st.integers(0, 4_000_000_000 * SECOND), zone=ZONES)
def test_the_time_of_the_week_is_what_clocks_there_show(wall_us: int, zone: ZoneInfo) -> None:
    week_us = compute_week_us(make_local(wall_us, zone))
    assert 0 <= week_us < WEEK_US
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall_us)
    shown = instant.astimezone(zone)
    monday = shown.replace(tzinfo=None) - timedelta(microseconds=week_us)
    assert (monday.weekday(), monday.time().isoformat()) == (0, "00:00:00")


@pytest.mark.parametrize(
    ("date", "before", "after_us"),
    [
        # In Zurich clocks went from 02:00 to 03:00 and from 03:00 to 02:00, on Sundays, 01:00 UTC.
        ((2024, 3, 31, 1, 0), timedelta(hours=1, minutes=59), 3 * HOUR_US),
        ((2024, 10, 27, 1, 0), timedelta(hours=2, minutes=59), 2 * HOUR_US),
    ],
)
def test_when_clocks_are_changed_the_peer_hears_it_within_that_minute(
    date: tuple[int, ...], before: timedelta, after_us: int
) -> None:
    machine = Machine(find_wall_us(*date) - MINUTE_US)
    machine.local_time.look()
    machine.pass_time(MINUTE_US)
    sunday_us = 6 * DAY_US
    assert machine.told == [sunday_us + before // timedelta(microseconds=1), sunday_us + after_us]


def test_it_is_told_at_each_whole_minute_and_not_between() -> None:
    machine = Machine(find_wall_us(2024, 5, 6, 12, 0))
    for _ in range(120):
        machine.pass_time(SECOND)
    assert machine.told == [14 * HOUR_US + at for at in (SECOND, MINUTE_US, 2 * MINUTE_US)]


@pytest.mark.parametrize("jump_us", [-HOUR_US, -JUMP_US, JUMP_US, 3 * DAY_US])
def test_a_clock_that_was_set_is_told_at_the_next_look(jump_us: int) -> None:
    machine = Machine(find_wall_us(2024, 5, 8, 12, 0) + 30 * SECOND)
    machine.pass_time(SECOND)
    machine.wall_us += jump_us
    machine.pass_time(SECOND)
    assert len(machine.told) == 2
    assert machine.told[1] == machine.told[0] + SECOND + jump_us


def test_a_machine_that_slept_is_told_of() -> None:
    # A monotonic clock stands still meanwhile, the calendar does not.
    machine = Machine(find_wall_us(2024, 5, 6, 12, 0))
    machine.local_time.look()
    machine.wall_us += 40 * SECOND
    machine.local_time.look()
    assert machine.told == [14 * HOUR_US, 14 * HOUR_US + 40 * SECOND]


def test_another_zone_is_told_at_once() -> None:
    machine = Machine(find_wall_us(2024, 5, 6, 12, 0))
    machine.local_time.look()
    machine.local_time.set_zone(ZoneInfo("Asia/Kathmandu"))
    assert machine.told == [14 * HOUR_US, 17 * HOUR_US + 45 * MINUTE_US]


def test_a_time_to_come_is_the_hour_that_clocks_will_show() -> None:
    machine = Machine(find_wall_us(2024, 3, 30, 17, 0))
    found = machine.local_time.find_time_in(14 * HOUR_US)
    assert found.isoformat() == "2024-03-31T08:00:00+02:00", (
        "18:00 and 14 hours is 8:00 on the wall"
    )
    assert machine.local_time.find_time_at(machine.wall_us).isoformat() == (
        "2024-03-30T18:00:00+01:00"
    )


def test_the_machines_own_zone_needs_no_name() -> None:
    assert find_zone("policy.time_zone", "") is None
    wall_us = find_wall_us(2024, 5, 6, 12, 0)
    assert make_local(wall_us, None) == make_local(wall_us, ZURICH)
    assert make_local(wall_us, None).tzinfo is not None


@pytest.mark.parametrize(
    "name", ["Europe", "Zurich", "../etc/passwd", "Mars/Base", "a\0b", "/", "x" * 500]
)
def test_a_zone_that_is_none_is_a_slip(name: str) -> None:
    with pytest.raises(BadInput, match="IANA time zone") as refused:
        find_zone("policy.time_zone", name)
    assert refused.value.field == "policy.time_zone"


def test_a_zone_nearly_right_is_proposed() -> None:
    with pytest.raises(BadInput, match="did you mean 'Europe/Zurich'"):
        find_zone("policy.time_zone", "Europe/Zurik")
