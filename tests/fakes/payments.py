"""Payments for tests of requests: prices are told by the test, and every question is written down.

It keeps to what `AsksPayments` promises: whoever is weighed as payable can be paid in the same
breath, each payment is a hold of its own, and what is admitted has terms.
"""

from wwwserve.core.effects import Persist
from wwwserve.core.lanes import Lane
from wwwserve.core.paying import (
    HoldTerms,
    Payable,
    PayeeTerms,
    PayerTerms,
    PayOrder,
    Unpayable,
)
from wwwserve.core.requests import Payment
from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Quote, RequestSummary
from wwwserve.wire.paying import OpenedHold

COST = 100
"""What every request is expected to cost."""
MOST = 25
"""The most one of its holds can pay."""


def make_terms(number: int, *, payer: NodeId, payee: NodeId) -> HoldTerms:
    """Terms of a hold of four units, by its number."""
    return HoldTerms(
        hold_id=number.to_bytes(32, "big"),
        payer=payer,
        payee=payee,
        first=10,
        unit=5,
        units_max=4,
        unit_tokens=32,
        anchor=bytes(32),
        lead_units=2,
    )


class FakePayments:
    """One node with some credits, in a network where everybody charges the same."""

    def __init__(self, own: NodeId, *, credits_left: int = 10**6) -> None:
        self.own = own
        self.credits_left = credits_left
        self.is_busy = False
        """Whether nothing can be signed before the next block."""
        self.refused: set[NodeId] = set()
        """Peers that have nothing to pay with."""
        self.unpaid: set[SessionId] = set()
        """Works whose hold does not pay."""
        self.orders: list[PayOrder] = []
        self.admitted: list[SessionId] = []
        self.asks: list[int] = []
        """What share of its prices each of its quotes asked."""

    def quote(self, peer: NodeId, model: ModelId, first_token_us: int, ask_permille: int) -> bytes:
        """See `AsksPayments`."""
        self.asks.append(ask_permille)
        return b"price for " + peer[:1]

    def refuse(self, peer: NodeId) -> DeclineReason | None:
        """See `AsksPayments`."""
        return DeclineReason.UNPAID if peer in self.refused else None

    def weigh(
        self, peer: NodeId, quote: Quote, summary: RequestSummary, cost_max: int
    ) -> Payable | Unpayable:
        """See `AsksPayments`."""
        if not quote.payment:
            return Unpayable("they name no price", is_out_of_credits=False)
        if self.is_busy:
            return Unpayable("a block is due", is_out_of_credits=True, is_passing=True)
        if min(cost_max, self.credits_left) < COST:
            return Unpayable(f"it costs {COST} and less is left", is_out_of_credits=True)
        return Payable(COST, MOST)

    def pay(self, order: PayOrder, now: Moment) -> Payment | None:
        """See `AsksPayments`."""
        assert min(order.cost_max, self.credits_left) >= COST, "paid without having been weighed"
        self.orders.append(order)
        self.credits_left -= COST
        number = len(self.orders)
        terms = make_terms(number, payer=self.own, payee=order.executor)
        writes = (Persist(Lane.FEED, number, ((b"feed", bytes([number])),)),)
        return Payment(b"hold %d" % number, PayerTerms(terms, bytes(5 * 32), bytes(32)), writes)

    def admit(
        self,
        session: SessionId,
        peer: NodeId,
        summary: RequestSummary,
        model: ModelId,
        hold: OpenedHold | None,
        now: Moment,
    ) -> PayeeTerms | DeclineReason | None:
        """See `AsksPayments`."""
        if session in self.unpaid:
            return DeclineReason.UNPAID
        self.admitted.append(session)
        terms = make_terms(session.number, payer=peer, payee=self.own)
        return PayeeTerms(terms, is_covered=True, salt=bytes(32), accept=b"accepted")
