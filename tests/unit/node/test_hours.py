"""Hours as an operator writes them: what they stand for, and what a slip in them is told.

What entries mean is compared with a count over days and times; then each way to write one wrongly.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.policy.test_hours import is_open_by_count
from wwwserve.core.policy import WEEK_MINUTES
from wwwserve.node.config import Config, PolicyConfig
from wwwserve.node.hours import HOURS_MAX, parse_hours
from wwwserve.node.setup_parts import make_policy
from wwwserve.values.refusals import BadInput

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60


def is_open(texts: list[str], day: str, time: str) -> bool:
    hours, minutes = map(int, time.split(":"))
    minute = DAYS.index(day) * DAY_MINUTES + hours * 60 + minutes
    return is_open_by_count(list(parse_hours("policy.hours", texts)), minute)


def write_time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@given(
    first=st.integers(0, 6),
    last=st.integers(0, 6),
    opens=st.integers(0, DAY_MINUTES - 1),
    closes=st.integers(0, DAY_MINUTES),
)
def test_an_entry_is_open_on_each_of_its_days_from_time_to_time(
    first: int, last: int, opens: int, closes: int
) -> None:
    if opens == closes:
        return
    entry = f"{DAYS[first]}-{DAYS[last]} {write_time(opens)}-{write_time(closes)}"
    windows = list(parse_hours("policy.hours", [entry]))
    days = [first]
    while days[-1] != last:
        days.append((days[-1] + 1) % 7)
    length = closes - opens if closes > opens else closes + DAY_MINUTES - opens
    starts = [day * DAY_MINUTES + opens for day in days]
    expected = {(start + at) % WEEK_MINUTES for start in starts for at in range(length)}
    assert expected == {at for at in range(WEEK_MINUTES) if is_open_by_count(windows, at)}


def test_nights_and_weekends() -> None:
    texts = ["Mon-Fri 18:00-08:00", "Sat-Sun 00:00-24:00"]
    assert is_open(texts, "Mon", "18:00")
    assert is_open(texts, "Tue", "07:59")
    assert not is_open(texts, "Tue", "08:00")
    assert not is_open(texts, "Tue", "17:59")
    assert is_open(texts, "Sat", "03:00")
    assert is_open(texts, "Sat", "12:00")
    assert is_open(texts, "Sun", "23:59")
    assert not is_open(texts, "Mon", "00:00"), "no night begins on Sunday"


def test_a_night_may_end_in_the_week_after_and_days_may_go_round() -> None:
    assert is_open(["Sun 22:00-06:00"], "Mon", "05:59")
    assert is_open(["Sat-Mon 09:00-10:00"], "Mon", "09:30")
    assert not is_open(["Sat-Mon 09:00-10:00"], "Tue", "09:30")
    assert is_open(["mon  9:00-9:30"], "Mon", "09:29")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("", "days and two times"),
        ("always", "days and two times"),
        ("18:00-08:00", "days and two times"),
        ("Mon,Tue 18:00-08:00", "days and two times"),
        ("Mon 18-08", "days and two times"),
        ("Mon 18:60-20:00", "days and two times"),
        ("Mon 18:00-20:00 CET", "days and two times"),
        ("Mon 18:00\N{EN DASH}20:00", "days and two times"),
        ("Mot 18:00-20:00", "another day than 'Mot'"),
        ("Mon-Fry 18:00-20:00", "another day than 'Fry'"),
        ("Mon 18:00-24:01", "another time than 24:01"),
        ("Mon 25:00-26:00", "another time than 25:00"),
        ("Mon 24:00-06:00", "open on the next day at 00:00"),
        ("Mon 08:00-08:00", "00:00-24:00 for a whole day"),
    ],
)
def test_a_slip_is_told(entry: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_hours("policy.hours", ["Sun 00:00-01:00", entry])
    assert (refused.value.field, refused.value.found) == ("policy.hours", entry)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "texts",
    [
        ["Mon 08:00-12:00", "Mon 11:59-13:00"],
        ["Mon-Fri 08:00-12:00", "Wed 09:00-10:00"],
        ["Mon 18:00-08:00", "Mon 23:00-23:30"],
        ["Sat 00:00-24:00", "Sat 00:00-24:00"],
    ],
)
def test_two_windows_of_one_day_may_not_overlap(texts: list[str]) -> None:
    with pytest.raises(BadInput, match="overlap") as refused:
        parse_hours("policy.hours", texts)
    assert refused.value.found == texts[1]
    assert texts[0] in refused.value.expected


def test_windows_may_touch_and_a_night_may_run_into_the_next_day() -> None:
    assert parse_hours("policy.hours", ["Mon 08:00-12:00", "Mon 12:00-13:00"])
    assert parse_hours("policy.hours", ["Mon 18:00-08:00", "Tue 06:00-09:00"])


def test_the_configuration_checks_hours_and_zone_and_the_policy_has_them() -> None:
    hours = ("Mon 00:00-01:00",)
    policy = make_policy(Config(policy=PolicyConfig(hours=hours)))
    assert policy.hours == parse_hours("policy.hours", hours)
    with pytest.raises(BadInput, match=r"policy\.hours"):
        PolicyConfig(hours=("Mon",))
    with pytest.raises(BadInput, match=r"policy\.time_zone.*Europe/Zurich"):
        PolicyConfig(time_zone="Europe/Zuerich")
    assert HOURS_MAX >= 2 * 7
