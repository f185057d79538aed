"""Times as an operator writes them: hours of the week, and the end of a pause.

`Mon-Fri 18:00-08:00` is read into minutes of the week.

An entry opens on each of its days at the first time and closes at the second, on the day after if
that is not later. So `Sun 22:00-06:00` ends on Monday morning, and `Sat-Mon` goes over the week's
end.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from wwwserve.core.policy_settings import Window
from wwwserve.values.refusals import BadInput

HOURS_MAX = 64
"""Entries of one node's hours: several for each day of the week."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_HOUR_MINUTES = 60
_ENTRY = re.compile(
    r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? +"
    r"(?P<opens>\d?\d:[0-5]\d)-(?P<closes>\d?\d:[0-5]\d)",
    re.IGNORECASE | re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXPECTED = "days and two times, as in 'Mon-Fri 18:00-08:00' or 'Sat 00:00-24:00'"


def parse_hours(field: str, texts: Sequence[str]) -> tuple[Window, ...]:
    """The windows of the week that the entries stand for; raises `BadInput` naming `field`.

    Two windows of one day may not overlap: one of them would be a slip. What runs on after midnight
    may run into the next day's, since a night that ends in an open day is none.
    """
    windows: list[Window] = []
    taken: dict[int, int] = {}
    """Which entry has each minute of the week, on the days it names."""
    for index, text in enumerate(texts):
        for window in _parse_entry(field, text):
            windows.append(window)
            other = _take(index, window, taken)
            if other != index:
                expected = f"times that do not overlap those of {texts[other]!r} on the same day"
                raise BadInput(field, text, expected, "join the two, or correct one")
    return tuple(windows)


def parse_pause(field: str, text: str, zone: tzinfo | None) -> int | None:
    """A date and time in microseconds since 1970; None for none. Raises `BadInput` naming `field`.

    One without an offset is meant in `zone`, None being this machine's own.
    """
    if not text:
        return None
    expected = "a date and a time, as in '2026-03-02 14:30' or '2026-03-02T14:30+01:00'"
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None and zone is not None:
            moment = moment.replace(tzinfo=zone)
        # Without any zone this means the machine's own.
        since = moment.astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError, OSError):
        raise BadInput(field, text, expected, "write it like one of these") from None
    return since // timedelta(microseconds=1)


def _parse_entry(field: str, text: str) -> Iterator[Window]:
    match = _ENTRY.fullmatch(text.strip())
    if match is None:
        raise BadInput(field, text, _EXPECTED, "write it like one of these")
    first = _parse_day(field, text, match["first"])
    last = _parse_day(field, text, match["last"] or match["first"])
    opens, closes = (_parse_time(field, text, match[name]) for name in ("opens", "closes"))
    if opens == _DAY_MINUTES:
        raise BadInput(field, text, "an opening before 24:00", "open on the next day at 00:00")
    if opens == closes:
        fix = "write 00:00-24:00 for a whole day, or leave the entry out"
        raise BadInput(field, text, "two different times", fix)
    length = (closes - opens) % _DAY_MINUTES or _DAY_MINUTES
    for day in range(first, first + (last - first) % len(_DAYS) + 1):
        start = day % len(_DAYS) * _DAY_MINUTES + opens
        yield Window(start, start + length)


def _parse_day(field: str, text: str, name: str) -> int:
    try:
        return _DAYS.index(name.lower())
    except ValueError:
        expected = "days from Mon, Tue, Wed, Thu, Fri, Sat, Sun"
        raise BadInput(field, text, expected, f"another day than {name!r}") from None


def _parse_time(field: str, text: str, time: str) -> int:
    hours, minutes = time.split(":")
    minute = int(hours) * _HOUR_MINUTES + int(minutes)
    if minute > _DAY_MINUTES:
        raise BadInput(field, text, "times from 00:00 to 24:00", f"another time than {time}")
    return minute


def _take(index: int, window: Window, taken: dict[int, int]) -> int:
    """Note whose the window is up to midnight; gives another entry that had a part of it."""
    midnight = (window.start_minute // _DAY_MINUTES + 1) * _DAY_MINUTES
    owners = (
        taken.setdefault(minute, index)
        for minute in range(window.start_minute, min(window.end_minute, midnight))
    )
    return next((owner for owner in owners if owner != index), index)
