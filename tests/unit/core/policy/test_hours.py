"""A week of opening hours, followed on a clock: when it opens, when it closes, what it survives.

The rules at any minute are compared with a count over all windows; the turns are then followed by
hand, through late calls, small corrections of the clock, jumps of it, and new hours.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.core.policy.hours import MINUTE_US, WEEK_MINUTES, WEEK_US, make_timetable
from wwwserve.core.policy.opening import CORRECTION_US, UNTOLD_US, Opening
from wwwserve.core.policy_settings import Window
from wwwserve.values.moments import NEVER, SECOND, Moment

HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
NINE_TO_FIVE = (Window(9 * 60, 17 * 60),)
"""On Mondays."""
BORN_AT = Moment(77 * SECOND)
"""The peer's clock has nothing to do with the calendar."""

STARTS = st.integers(0, WEEK_MINUTES - 1)
LENGTHS = st.one_of(st.integers(1, 48 * 60), st.just(WEEK_MINUTES))
WINDOWS = st.lists(
    st.builds(lambda start, length: Window(start, start + length), STARTS, LENGTHS), max_size=5
)


def is_open_by_count(windows: list[Window], minute: int) -> bool:
    """Whether any window holds a minute of the week, in this week or from the one before."""
    here = (minute, minute + WEEK_MINUTES)
    return not windows or any(
        window.start_minute <= at < window.end_minute for window in windows for at in here
    )


@given(windows=WINDOWS, minute=STARTS, rest_us=st.integers(0, MINUTE_US - 1))
def test_any_time_of_any_week_is_open_as_its_windows_say(
    windows: list[Window], minute: int, rest_us: int
) -> None:
    table = make_timetable(windows)
    week_us = minute * MINUTE_US + rest_us
    is_open = is_open_by_count(windows, minute)
    assert table.is_open(week_us) is is_open
    ahead = (minute + step for step in range(1, WEEK_MINUTES + 1))
    turn = next((at for at in ahead if is_open_by_count(windows, at % WEEK_MINUTES) != is_open), 0)
    expected = turn * MINUTE_US - week_us if turn else None
    assert table.compute_rest_us(week_us) == expected


def open_at(windows: tuple[Window, ...], week_us: int) -> tuple[Opening, Moment]:
    """Hours whose host has just told this local time."""
    opening, now = Opening(windows), BORN_AT
    opening.read(week_us, now)
    opening.turn(now)
    return opening, now


def test_without_hours_it_is_open_whether_or_not_the_time_is_known() -> None:
    opening = Opening(())
    assert opening.is_open
    opening.read(5, BORN_AT)
    opening.turn(BORN_AT)
    assert (opening.is_open, opening.turn_at) == (True, NEVER)
    assert opening.compute_closed_us(BORN_AT) == 0
    assert Opening((Window(600, 600 + WEEK_MINUTES),)).is_open, "a whole week is always"


def test_until_the_time_is_told_it_is_closed() -> None:
    # [REQUESTS-HOURS.2]
    opening = Opening(NINE_TO_FIVE)
    assert (opening.is_open, opening.turn_at) == (False, NEVER)
    assert opening.compute_closed_us(BORN_AT) == UNTOLD_US
    assert opening.compute_rest_us(BORN_AT) is None
    opening.read(10 * HOUR_US, BORN_AT)
    opening.turn(BORN_AT)
    assert opening.is_open


def test_it_turns_at_the_microsecond_and_says_when_it_will() -> None:
    opening, now = open_at(NINE_TO_FIVE, 8 * HOUR_US)
    assert opening.compute_closed_us(now) == HOUR_US
    opening.turn(Moment(now + HOUR_US - 1))
    assert not opening.is_open
    opening.turn(Moment(now + HOUR_US))
    assert (opening.is_open, opening.turn_at) == (True, now + 9 * HOUR_US)
    opening.turn(opening.turn_at)
    assert not opening.is_open
    assert opening.turn_at == now + HOUR_US + WEEK_US


def test_a_late_call_finds_the_state_of_its_own_moment() -> None:
    opening, now = open_at(NINE_TO_FIVE, 8 * HOUR_US)
    opening.turn(Moment(now + 3 * WEEK_US + 2 * HOUR_US))
    assert opening.is_open
    opening.turn(Moment(now + 3 * WEEK_US + 20 * HOUR_US))
    assert not opening.is_open


def test_what_runs_over_the_weeks_end_is_one_window() -> None:
    sunday_night = (Window(6 * 24 * 60 + 22 * 60, WEEK_MINUTES + 6 * 60),)
    opening, now = open_at(sunday_night, WEEK_US - HOUR_US)
    assert opening.is_open
    assert opening.turn_at == now + 7 * HOUR_US


@pytest.mark.parametrize("step_us", [-CORRECTION_US, -1, 0, 1, CORRECTION_US])
def test_a_small_correction_after_a_turn_does_not_undo_it(step_us: int) -> None:
    # [REQUESTS-HOURS.4]
    opening, now = open_at(NINE_TO_FIVE, 9 * HOUR_US - 1)
    now = opening.turn_at
    opening.turn(now)
    assert opening.is_open
    opening.read(9 * HOUR_US + step_us, now)
    opening.turn(now)
    assert opening.is_open
    assert opening.turn_at == now + 8 * HOUR_US - step_us, "the next turn is put right by it"


def test_small_corrections_add_up_to_no_error() -> None:
    opening, now = open_at(NINE_TO_FIVE, 0)
    for hour in range(1, 9):
        # A clock of the peer's that is slow by half a second an hour.
        now = Moment(now + HOUR_US - SECOND // 2)
        opening.read(hour * HOUR_US, now)
        opening.turn(now)
        assert not opening.is_open
    assert opening.turn_at == now + HOUR_US


def test_a_small_correction_over_a_turn_makes_it() -> None:
    opening, now = open_at(NINE_TO_FIVE, 9 * HOUR_US - SECOND // 2)
    opening.read(9 * HOUR_US, now)
    opening.turn(now)
    assert opening.is_open


@pytest.mark.parametrize(
    ("week_us", "is_open"),
    [(10 * HOUR_US, True), (DAY_US, False), (WEEK_US - 1, False), (16 * HOUR_US, True)],
)
def test_a_jump_of_the_clock_is_looked_at_afresh(week_us: int, *, is_open: bool) -> None:
    opening, now = open_at(NINE_TO_FIVE, 8 * HOUR_US)
    opening.read(week_us, now)
    opening.turn(now)
    assert opening.is_open is is_open


def test_the_week_is_a_circle_for_corrections_too() -> None:
    opening, now = open_at((Window(0, 60),), WEEK_US - 1)
    opening.turn(Moment(now + 1))
    assert opening.is_open
    opening.read(WEEK_US - SECOND // 2, Moment(now + 1))
    opening.turn(Moment(now + 1))
    assert opening.is_open


def test_new_hours_hold_at_once_and_keep_the_time() -> None:
    opening, now = open_at(NINE_TO_FIVE, 8 * HOUR_US)
    opening.set((Window(7 * 60, 8 * 60 + 30),))
    opening.turn(now)
    assert (opening.is_open, opening.turn_at) == (True, now + HOUR_US // 2)
    opening.set(())
    assert opening.is_open, "without hours no turn is needed"
