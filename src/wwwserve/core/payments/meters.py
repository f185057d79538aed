"""The meters of a paid stream: which unit its payer sends, and how far its payee goes.

Both ends count the same completion tokens. A hold's first preimage pays the prompt and is earned by
the first output; each further one pays `unit_tokens` completion tokens and is earned when they have
been delivered. A payer whose lead is `AHEAD` shows each preimage one unit before it is earned. What
either end can lose is then bounded, whatever the other does:

- a payee that is paid after loses what it delivered since the last unit: the first and as many
  units as the lead has, or one unit more than the lead once the first is paid, and the rest of the
  piece that it delivered last;
- a payee that is paid ahead loses nothing that it delivered a token at a time;
- a payer loses nothing where it pays after, and at most the first and one unit where ahead.

A hold that another extends counts as over from there: the other pays from the token up to which the
first was paid, and each of its preimages, the first too, is worth one unit.

Nothing here is asynchronous or asks a clock. Per piece of output each meter costs one comparison.
"""

from typing import Final

from wwwserve.core.paying import HoldTerms, PayeeTerms, PayerTerms
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import DIGEST_BYTES, compute_link
from wwwserve.wire.requests import Unit

LOW_SHARE: Final = 4
"""A hold runs out when no more than this part of its units, a fourth, is left."""
_UNBOUNDED: Final = 2**62
"""More tokens than any answer has."""


class Gauge:
    """How tokens and depths of the newest hold of a stream belong together."""

    __slots__ = ("_paid_by_tokens", "_started_at", "terms")

    def __init__(self, terms: HoldTerms) -> None:
        self.terms = terms
        self._started_at = 0
        """The token from which this hold pays."""
        self._paid_by_tokens = 1
        """The first depth that tokens earn: before it, the prompt does; an extension has none."""

    def extend(self, terms: HoldTerms, paid: int) -> None:
        """Go on with another hold from where this one is paid to."""
        self._started_at = self.compute_tokens(paid)
        self._paid_by_tokens = 0
        self.terms = terms

    def compute_tokens(self, depth: int) -> int:
        """The completion tokens that a depth pays in full."""
        return self._started_at + (depth - self._paid_by_tokens) * self.terms.unit_tokens

    def compute_earned(self, completion_tokens: int) -> int:
        """The depth that so many tokens have earned, once there is any output."""
        beyond = completion_tokens - self._started_at
        return self._paid_by_tokens + beyond // self.terms.unit_tokens

    def compute_settled(self, completion_tokens: int) -> int:
        """The depth at which a whole answer is paid: half a unit counts as one, less as none."""
        unit = self.terms.unit_tokens
        beyond = max(completion_tokens - self._started_at, 0)
        depth = self._paid_by_tokens + (2 * beyond + unit) // (2 * unit)
        return min(depth, self.terms.units_max)


class PayerMeter:
    """Says which unit an origin sends next, and what the stream has cost it."""

    __slots__ = ("_ahead", "_cost_before", "_gauge", "_links", "_next_tokens", "released")

    def __init__(self, payment: PayerTerms) -> None:
        self._gauge = Gauge(payment.terms)
        self._cost_before = 0
        self._take_hold(payment)

    def _take_hold(self, payment: PayerTerms) -> None:
        self._links = payment.links
        # Whoever lets nothing be due waits for the first unit before its first output.
        self._ahead = 1 if payment.terms.lead_units < 1 else 0
        self.released = 0
        """How deep the newest hold is paid."""
        self._set_next()

    @property
    def terms(self) -> HoldTerms:
        """Those of the newest hold."""
        return self._gauge.terms

    @property
    def preimage(self) -> bytes:
        """At `released`; the anchor at depth 0."""
        return self._links[self.released * DIGEST_BYTES : (self.released + 1) * DIGEST_BYTES]

    @property
    def cost(self) -> int:
        """Micro-credits released so far, over all holds of the stream."""
        return self._cost_before + self.terms.compute_pay(self.released)

    @property
    def is_low(self) -> bool:
        """Whether the hold is nearly used up. One of a single unit covers all there will be."""
        units_max = self.terms.units_max
        return units_max > 1 and (units_max - self.released) * LOW_SHARE <= units_max

    def release(self, completion_tokens: int, *, has_output: bool) -> Unit | None:
        """The unit that is to be sent now, if any.

        To be asked when the executor has accepted, and after each piece of output that arrived.
        """
        if completion_tokens < self._next_tokens or not (has_output or self._ahead):
            return None
        return self._release_to(self._gauge.compute_earned(completion_tokens) + self._ahead)

    def settle(self, completion_tokens: int) -> Unit | None:
        """The last unit, when the whole answer has arrived and was checked."""
        return self._release_to(self._gauge.compute_settled(completion_tokens))

    def extend(self, payment: PayerTerms) -> None:
        """Pay with another hold from now on; its frame goes out before any unit of it."""
        assert self.released > 0, "a hold was extended before its first unit was paid"
        self._cost_before = self.cost
        self._gauge.extend(payment.terms, self.released)
        self._take_hold(payment)

    def _release_to(self, depth: int) -> Unit | None:
        depth = min(depth, self.terms.units_max)
        if depth <= self.released:
            return None
        self.released = depth
        self._set_next()
        return Unit(depth, self.preimage)

    def _set_next(self) -> None:
        """Until so many tokens, there is nothing to release."""
        if self.released >= self.terms.units_max:
            self._next_tokens = _UNBOUNDED
        else:
            self._next_tokens = self._gauge.compute_tokens(self.released + 1 - self._ahead)


class PayeeMeter:
    """Checks the units an executor is sent, and says whether it goes on."""

    __slots__ = ("_gauge", "_stop_tokens", "paid", "preimage")

    def __init__(self, payment: PayeeTerms) -> None:
        self._gauge = Gauge(payment.terms)
        self._take_hold(payment)

    def _take_hold(self, payment: PayeeTerms) -> None:
        self.paid = 0
        """How deep the newest hold is paid."""
        self.preimage = payment.terms.anchor
        """At that depth; the anchor at depth 0."""
        self._set_stop()

    @property
    def terms(self) -> HoldTerms:
        """Those of the newest hold."""
        return self._gauge.terms

    def take(self, unit: Unit) -> None:
        """A unit came; raises `Refusal` if it pays nothing that was not paid before."""
        if unit.depth <= self.paid:
            raise Refusal("unit-depth", f"depth {unit.depth} where {self.paid} is paid already")
        if unit.depth > self.terms.units_max:
            detail = f"depth {unit.depth} of a hold of {self.terms.units_max} units"
            raise Refusal("unit-depth", detail)
        link = unit.preimage
        for _ in range(unit.depth - self.paid):
            link = compute_link(link)
        if link != self.preimage:
            raise Refusal("unit-preimage", "it does not lead to the unit before")
        self.paid, self.preimage = unit.depth, unit.preimage
        self._set_stop()

    def may_deliver(self, completion_tokens: int) -> bool:
        """Whether another piece may go out where so many tokens have gone out before it."""
        return completion_tokens < self._stop_tokens

    def is_due(self, completion_tokens: int) -> bool:
        """Whether, of an answer that is over, anything is still to be paid."""
        return self.paid < self._gauge.compute_settled(completion_tokens)

    def extend(self, payment: PayeeTerms) -> None:
        """Units from now on are those of another hold.

        Raises `Refusal` where the first one has not even paid the prompt: no other ever would.
        """
        if self.paid == 0:
            raise Refusal("extension-early", "the hold before it has paid nothing yet")
        self._gauge.extend(payment.terms, self.paid)
        self._take_hold(payment)

    def _set_stop(self) -> None:
        """From so many tokens on, a unit is waited for."""
        terms = self.terms
        if self.paid == terms.units_max == 1:
            self._stop_tokens = _UNBOUNDED
        else:
            self._stop_tokens = self._gauge.compute_tokens(self.paid + terms.lead_units + 1)
