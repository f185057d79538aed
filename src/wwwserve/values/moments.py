"""Instants and spans: whole microseconds on the caller's monotonic clock.

No two machines share an origin of time, so a `Moment` never travels; a `Span` may.
"""

from typing import NewType

Moment = NewType("Moment", int)
"""An instant, in microseconds since an arbitrary start chosen by the host."""

Span = NewType("Span", int)
"""A length of time in microseconds."""

MILLISECOND = 1_000
SECOND = 1_000_000
_MINUTE = 60 * SECOND
_HOUR = 60 * _MINUTE
NEVER = Moment(2**62)
"""Later than anything: the deadline of a machine that waits for nothing."""


def after(moment: Moment, span_us: int) -> Moment:
    """The instant `span_us` microseconds after `moment`."""
    return Moment(moment + span_us)


def span_text(span_us: int) -> str:
    """A length of time as people read it: two or three digits, and the unit."""
    if span_us < 10 * MILLISECOND:
        return f"{span_us / MILLISECOND:.1f} ms"
    if span_us < SECOND:
        return f"{span_us // MILLISECOND} ms"
    if span_us < 2 * _MINUTE:
        return f"{span_us / SECOND:.1f} s"
    if span_us < 2 * _HOUR:
        return f"{span_us // _MINUTE} min"
    return f"{span_us // _HOUR} h"
