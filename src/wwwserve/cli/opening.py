"""Whether a node is open to other nodes, in words for its operator."""

from datetime import datetime, timedelta

import msgspec

_WEEK = timedelta(days=7)


class Rest(msgspec.Struct):
    """An operator's order, as the operator's API tells it."""

    kind: str
    until: datetime | None = None
    is_by_policy: bool = False


class Opening(msgspec.Struct):
    """What the operator's API says about it."""

    is_open: bool = True
    is_within_hours: bool = True
    hours_change_at: datetime | None = None
    rest: Rest | None = None


def describe_opening(opening: Opening, now: datetime) -> str:
    """One line: open or not, who says so, and until when; `now` has a zone."""
    hours = _say_until(opening.hours_change_at, now)
    if opening.rest is not None:
        closed = "" if opening.is_within_hours else f"; outside its hours{hours} too"
        return _describe_rest(opening.rest, now) + closed
    if not opening.is_within_hours:
        return f"closed{hours}, by policy.hours"
    return f"open{hours}" if opening.is_open else "closed: the node is leaving"


def count_requests(count: int) -> str:
    """So many requests, in words."""
    return "1 request" if count == 1 else f"{count} requests"


def _describe_rest(rest: Rest, now: datetime) -> str:
    if rest.is_by_policy:
        setting = "drain" if rest.kind == "drain" else "paused_until"
        return f"closed{_say_until(rest.until, now)}, by policy.{setting}"
    if rest.kind == "drain":
        return "closed: draining until the node stops, or `wwwserve resume`"
    return f"closed: paused{_say_until(rest.until, now) or ' until `wwwserve resume`'}"


def _say_until(moment: datetime | None, now: datetime) -> str:
    """When, as clocks where the provider is will show it; the day's name while it is not twice."""
    if moment is None:
        return ""
    form = "%a %H:%M" if moment - now < _WEEK else "%Y-%m-%d %H:%M"
    return f" until {moment.strftime(form)} {moment.strftime('%Z')}"
