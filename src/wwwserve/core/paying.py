"""Paid requests: the words in which requests, payments and the data plane speak of money.

`core.requests` decides who runs a request, `core.payments` what is paid for it; `core.peer` hands
them to each other, and these values are all they share. Money is whole micro-credits.
"""

import msgspec

from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId
from wwwserve.wire import Quote, RequestSummary

AHEAD = -1
"""The lead of a payer that pays one unit before it is delivered."""


class HoldTerms(msgspec.Struct, frozen=True):
    """What one hold pays for what; both sides know it."""

    hold_id: bytes
    payer: NodeId
    payee: NodeId
    first: int
    """What the first preimage pays: the prompt."""
    unit: int
    """What each further one pays."""
    units_max: int
    unit_tokens: int
    """Completion tokens of a unit."""
    anchor: bytes
    lead_units: int
    """Units the payee delivers before it is paid for them; `AHEAD`: it is paid one before."""

    def compute_pay(self, depth: int) -> int:
        """What a depth is worth."""
        return self.first + (depth - 1) * self.unit if depth > 0 else 0


class PayerTerms(msgspec.Struct, frozen=True):
    """What an origin's data plane pays with (`core.payments.PayerMeter`)."""

    terms: HoldTerms
    links: bytes
    """The hash chain, `units_max` + 1 links of 32 bytes, the anchor first."""
    salt: bytes
    """With which the executor's final hides the answer."""


class PayeeTerms(msgspec.Struct, frozen=True):
    """What an executor's data plane is paid with (`core.payments.PayeeMeter`)."""

    terms: HoldTerms
    is_covered: bool
    """Whether output may leave at once; else `ReleaseOutput` says when."""
    salt: bytes
    accept: bytes
    """`Accept.payment`."""


class Payable(msgspec.Struct, frozen=True):
    """A quote that can be paid: what the request is expected to cost."""

    expected: int
    most: int = 0
    """What it may cost if its answer is as long as it may be."""


class Unpayable(msgspec.Struct, frozen=True):
    """A quote that cannot be paid, and why, for its user."""

    detail: str
    is_out_of_credits: bool
    """Whether another quote would be no better: this node (or this user) has not enough."""
    is_passing: bool = False
    """Whether the next block of the log changes it: the request may wait for that."""


class PayOrder(msgspec.Struct, frozen=True):
    """A request that is about to be offered, to be paid by a hold of its own."""

    session: SessionId
    executor: NodeId
    quote: Quote
    summary: RequestSummary
    body_digest: bytes
    """SHA-256 of the body as it will be offered."""
    cost_max: int
    """What its user may spend on it."""


class WorkUnpaid(msgspec.Struct, frozen=True):
    """A work whose hold never became final, or pays nothing: payments want it ended."""

    session: SessionId
