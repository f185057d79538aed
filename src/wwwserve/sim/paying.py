"""The pretend data plane's money: the same meters as a real node's, without waiting of its own.

`sim.streams` has the rules; here are the two sides of one paid session.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from wwwserve.core.events import HoldRunsOut, PaymentProgressed
from wwwserve.core.paying import PayeeTerms, PayerTerms
from wwwserve.core.payments import PayeeMeter, PayerMeter
from wwwserve.sim.ends import End
from wwwserve.sim.money_checker import PaidStream
from wwwserve.sim.world import Action
from wwwserve.values.limits import FINAL_UNIT_WAIT_US, PAYMENT_TOLD_US, PAYMENT_WAIT_US
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Unit


class Purse:
    """What an origin pays one session with (rules 15 and 18)."""

    def __init__(
        self, end: End, payment: PayerTerms, truth: PaidStream, send: Callable[[Unit], None]
    ) -> None:
        """`truth` is told all that happens; `send` puts a unit on its way to the executor."""
        self._end = end
        self._meter = PayerMeter(payment)
        self._truth = truth
        self._send = send
        self._is_low_told = False
        self._is_closed = False

    def pay(self, completion_tokens: int, *, has_output: bool) -> None:
        """So many tokens have arrived."""
        if has_output:
            self._truth.note_arrived(completion_tokens)
        if not self._end.host.pays:
            return
        self._release(self._meter.release(completion_tokens, has_output=has_output))
        if self._meter.is_low and not self._is_low_told:
            self._is_low_told = True
            self._end.tell(HoldRunsOut(self._end.session, completion_tokens))

    def settle(self, completion_tokens: int) -> None:
        """The answer is whole."""
        self._truth.note_arrived(completion_tokens)
        if self._end.host.pays:
            self._release(self._meter.settle(completion_tokens))

    def extend(self, payment: PayerTerms) -> None:
        """Pay with another hold from now on."""
        self._report(is_last=False)
        self._meter.extend(payment)
        self._is_low_told = False

    def close(self) -> None:
        """Nothing more is paid. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._report(is_last=True)

    def _release(self, unit: Unit | None) -> None:
        if unit is not None:
            self._truth.note_released(self._meter.terms, unit.depth)
            self._send(unit)

    def _report(self, *, is_last: bool) -> None:
        report(self._end, self._meter, self._meter.released, is_last=is_last)


@dataclass(slots=True)
class _Piece:
    """A part of an answer that may have to wait."""

    before: int
    """Tokens that went out before it."""
    leave: Action


@dataclass(slots=True, eq=False)
class Earnings:
    """What an executor is paid for one work, and what waits for that (rules 16 to 18)."""

    end: End
    meter: PayeeMeter
    truth: PaidStream
    is_released: bool
    on_overdue: Action
    """A unit did not come in time."""
    _held: deque[_Piece] = field(default_factory=deque)
    _is_report_due: bool = False
    _is_closed: bool = False

    def give(self, before: int, leave: Action) -> None:
        """Let a piece leave after all that wait, as soon as it may."""
        self._held.append(_Piece(before, leave))
        self._flush()

    def drop(self) -> None:
        """What waits will not leave any more."""
        self._held.clear()

    def release(self) -> None:
        """The hold is final."""
        self.is_released = True
        self._flush()

    def take(self, unit: Unit) -> None:
        """A unit came. Raises `Refusal`."""
        self.meter.take(unit)
        self.truth.note_taken(self.meter.terms, unit.depth)
        if not self._is_report_due and not self._is_closed:
            self._is_report_due = True
            self.end.host.do_later(PAYMENT_TOLD_US, self._report_due)
        self._flush()

    def extend(self, payment: PayeeTerms) -> None:
        """Units from now on are those of another hold. Raises `Refusal`."""
        self.meter.extend(payment)
        self.is_released = payment.is_covered
        self._flush()

    def note_extension(self) -> None:
        """Another hold is offered: the one before is paid as deep as it ever will be."""
        self._report(is_last=False)

    def await_last(self, completion_tokens: int) -> None:
        """The answer has left: wait for its last unit, not for long."""
        if not self.meter.is_due(completion_tokens):
            self.close()
        else:
            self.end.host.do_later(FINAL_UNIT_WAIT_US, self.close)

    def close(self) -> None:
        """No unit comes any more. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._held.clear()
            self._report(is_last=True)

    def _flush(self) -> None:
        while self._held and self.is_released:
            piece = self._held[0]
            if not self.meter.may_deliver(piece.before):
                self._watch(piece)
                return
            self._held.popleft()
            piece.leave()

    def _watch(self, piece: _Piece) -> None:
        def look() -> None:
            if self._held and self._held[0] is piece and not self._is_closed:
                self.on_overdue()

        self.end.host.do_later(PAYMENT_WAIT_US, look)

    def _report_due(self) -> None:
        self._is_report_due = False
        if not self._is_closed:
            self._report(is_last=False)

    def _report(self, *, is_last: bool) -> None:
        report(self.end, self.meter, self.meter.paid, is_last=is_last)


def report(end: End, meter: PayerMeter | PayeeMeter, depth: int, *, is_last: bool) -> None:
    """Tell a peer how deep a hold is paid, if the life of its process that began it still lasts."""
    preimage = meter.preimage if depth else b""
    news = PaymentProgressed(end.session, meter.terms.hold_id, depth, preimage, is_last)
    if end.host.life == end.life:
        end.host.later(0, news)


def is_good(take: Action) -> bool:
    """Whether what came on a stream was taken, or broke a rule."""
    try:
        take()
    except Refusal:
        return False
    return True
