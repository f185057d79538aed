"""What an operator reads of a node's opening, and how lengths of time are read from them."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from wwwserve.cli.opening import Opening, Rest, count_requests, describe_opening
from wwwserve.cli.pause import read_duration
from wwwserve.values.refusals import BadInput

ZURICH = ZoneInfo("Europe/Zurich")
NOW = datetime(2024, 5, 6, 12, tzinfo=ZURICH)  # a Monday
EVENING = NOW.replace(hour=18)
MONTH_LATER = NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("opening", "said"),
    [
        (Opening(), "open"),
        (Opening(hours_change_at=EVENING), "open until Mon 18:00 CEST"),
        (
            Opening(is_open=False, is_within_hours=False, hours_change_at=EVENING),
            "closed until Mon 18:00 CEST, by policy.hours",
        ),
        (
            Opening(is_open=False, is_within_hours=False),
            "closed, by policy.hours",
        ),
        (
            Opening(is_open=False, rest=Rest("pause")),
            "closed: paused until `wwwserve resume`",
        ),
        (
            Opening(is_open=False, rest=Rest("pause", MONTH_LATER)),
            "closed: paused until 2024-06-05 12:00 CEST",
        ),
        (
            Opening(is_open=False, rest=Rest("drain", is_by_policy=True)),
            "closed, by policy.drain",
        ),
        (
            Opening(is_open=False, rest=Rest("pause", MONTH_LATER, is_by_policy=True)),
            "closed until 2024-06-05 12:00 CEST, by policy.paused_until",
        ),
        (
            Opening(is_open=False, rest=Rest("drain")),
            "closed: draining until the node stops, or `wwwserve resume`",
        ),
        (
            Opening(
                is_open=False,
                is_within_hours=False,
                hours_change_at=EVENING,
                rest=Rest("pause", NOW.replace(hour=14)),
            ),
            "closed: paused until Mon 14:00 CEST; outside its hours until Mon 18:00 CEST too",
        ),
        (Opening(is_open=False), "closed: the node is leaving"),
    ],
)
def test_one_line_says_whether_why_and_until_when(opening: Opening, said: str) -> None:
    assert describe_opening(opening, NOW) == said


def test_requests_are_counted_in_words() -> None:
    assert (count_requests(0), count_requests(1)) == ("0 requests", "1 request")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d12h", 129_600), (" 1H30M ", 5400)],
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert read_duration("--for", text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0s", "-1h", "2 hours", "1h2d", "1.5h", "٢h"])
def test_a_length_that_is_none_is_a_slip(text: str) -> None:
    with pytest.raises(BadInput, match="1d12h") as refused:
        read_duration("--for", text)
    assert refused.value.field == "--for"
