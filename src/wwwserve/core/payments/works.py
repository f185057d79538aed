"""Works that are paid: what an executor knows of each, and of those that wait for their hold."""

from dataclasses import dataclass

import msgspec

from wwwserve.core.paying import HoldTerms
from wwwserve.core.payments.meters import Gauge
from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.wire import RequestSummary
from wwwserve.wire.ledger import FirmQuote, Hold
from wwwserve.wire.paying import OpenedHold


@dataclass(slots=True)
class Work:
    """Another node's request, and the hold that pays for it."""

    payer: NodeId
    quote: FirmQuote
    summary: RequestSummary
    hold_id: bytes
    """Of the newest hold."""
    op: Hold
    gauge: Gauge
    is_released: bool
    """Whether output may leave."""
    depth: int = 0
    """How deep the newest hold is paid, as far as it was told."""
    extensions: int = 0
    has_output: bool = False
    completion_tokens: int | None = None
    """Of the whole answer, once there is one."""
    is_overdue: bool = False
    """Whether a unit was waited for in vain."""
    is_stopped: bool = False
    """Whether it was ended because its hold pays nothing."""

    @property
    def is_unpaid(self) -> bool:
        """Whether its payer owes something for what was delivered, when no unit comes any more."""
        if self.completion_tokens is not None:
            return self.depth < self.gauge.compute_settled(self.completion_tokens)
        return self.is_overdue or (self.has_output and self.depth == 0 and not self.extensions)


class Wait(msgspec.Struct, frozen=True):
    """A hold that is worked for, and is to be final in time."""

    until: Moment
    session: SessionId
    hold_id: bytes
    since: Moment
    """When it was offered."""
    is_covered: bool
    """Whether output leaves meanwhile."""


def make_terms(hold: OpenedHold, quote: FirmQuote) -> HoldTerms:
    """What a hold pays for a work that was quoted so."""
    op = hold.hold
    return HoldTerms(
        hold_id=hold.hold_id,
        payer=hold.opened.account,
        payee=NodeId(op.payee),
        first=op.first,
        unit=op.unit,
        units_max=op.units_max,
        unit_tokens=op.unit_tokens,
        anchor=op.anchor,
        lead_units=quote.lead_units,
    )
