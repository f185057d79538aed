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
NEVER = Moment(2**62)
"""Later than anything: the deadline of a machine that waits for nothing."""


def after(moment: Moment, span_us: int) -> Moment:
    """The instant `span_us` microseconds after `moment`."""
    return Moment(moment + span_us)
