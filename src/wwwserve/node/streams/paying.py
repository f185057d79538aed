"""The money of a request stream: an origin's purse, an executor's earnings, and what both sign.

All sums are the meters' (`core.payments`); here units become frames, and waiting is done. Nothing
of it delays output: a unit that finds no room on the link leaves when there is some, and meanwhile
a deeper one takes its place.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from wwwserve.core.events import Event, PaymentProgressed
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.paying import PayeeTerms, PayerTerms
from wwwserve.core.payments import PayeeMeter, PayerMeter
from wwwserve.core.sessions import SessionId
from wwwserve.ports.transport import Stream, StreamEnded
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import (
    EXTENSIONS_MAX,
    FINAL_UNIT_WAIT_US,
    PAYMENT_TOLD_US,
    PAYMENT_WAIT_US,
)
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Extension, Quote, Signer, Unit, Usage, Verifier, encode_frame
from wwwserve.wire.ledger import FeedOpener, Final, PointChecker
from wwwserve.wire.paying import (
    OpenedHold,
    compute_request_commitment,
    compute_response_commitment,
    open_accept,
    open_final,
    open_paid_offer,
    open_quote,
    seal_payment,
)

OPENED_AT_ONCE_BYTES_MAX = 768
"""A longer payment of an offer is opened by a worker, for its feed block may show many claims, a
thousand hashes each; a longer one of an extension is refused, for a wallet signs nothing beside a
hold that extends. A hold with its quote and signatures is 530 bytes."""


class UnitOverdue(Exception):
    """What was delivered was not paid in time."""


@dataclass(frozen=True, slots=True)
class Till:
    """With what the data plane of a paid network checks and signs."""

    signer: Signer
    opener: FeedOpener

    def open_hold(
        self, payment: bytes, *, payer: NodeId, model: str, body_digest: bytes
    ) -> OpenedHold:
        """The hold that an offer or an extension pays with.

        Raises `Refusal` if its payer did not sign it, or not for this request.
        """
        opened = open_paid_offer(payment, payer=payer, opener=self.opener)
        commitment = compute_request_commitment(model, opened.salt, body_digest)
        if opened.hold.req_commit != commitment:
            raise Refusal("offer-commitment", "the hold commits to another request")
        return opened

    def seal_final(self, earnings: "Earnings", usage: Usage, digest: bytes) -> bytes:
        """An executor's signed word on what it delivered: `Ended.payment`."""
        meter = earnings.meter
        final = Final(
            hold_id=meter.terms.hold_id,
            depth=meter.paid,
            response_commit=compute_response_commitment(earnings.salt, digest),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )
        return seal_payment(final, self.signer, self.opener.network_id)


def find_no_till() -> Till | None:
    """The till of a network where nothing is paid: none."""
    return None


@dataclass(slots=True)
class TillFinder:
    """The till of a node, once it knows its network's ledger."""

    signer: Signer
    verifier: Verifier
    points: PointChecker
    get_ledger: Callable[[], AsksLedger | None]
    _till: Till | None = None

    def find(self) -> Till | None:
        """The till; None where nothing is paid, or not yet."""
        if self._till is None and (ledger := self.get_ledger()) is not None:
            memory_log2 = ledger.parameters.puzzle_memory_log2
            opener = FeedOpener(self.verifier, self.points, ledger.network_id, memory_log2)
            self._till = Till(self.signer, opener)
        return self._till

    def check_quote(self, peer: NodeId, quote: Quote) -> None:
        """Raise `Refusal` for a price that the peer did not sign."""
        till = self.find()
        if till is not None and quote.payment:
            opener = till.opener
            open_quote(
                quote.payment,
                executor=peer,
                verifier=opener.verifier,
                network_id=opener.network_id,
            )


class Purse:
    """What an origin pays one execution with."""

    def __init__(self, session: SessionId, payment: PayerTerms, till: Till) -> None:
        self._session = session
        self._till = till
        self._meter = PayerMeter(payment)
        self._salts = {payment.terms.hold_id: payment.salt}
        self._stream: Stream | None = None
        self._waiting: deque[bytes] = deque()
        """Frames for which there was no room."""
        self._is_unit_last = False
        """Whether the last of them is a unit, which a deeper one may replace."""
        self._sender: asyncio.Task[None] | None = None
        self._is_final_good = False
        self._is_low_told = False
        self.is_closed = False
        """Whether it was told that nothing more is paid."""

    @property
    def cost(self) -> int:
        """Micro-credits paid so far."""
        return self._meter.cost

    def attach(self, stream: Stream) -> None:
        """Pay on this stream."""
        self._stream = stream

    def check_accept(self, payment: bytes) -> None:
        """Raise `Refusal` if an accept is not the executor's word for this hold."""
        opener = self._till.opener
        accept = open_accept(
            payment,
            executor=self._meter.terms.payee,
            verifier=opener.verifier,
            network_id=opener.network_id,
        )
        if accept.hold_id != self._meter.terms.hold_id:
            raise Refusal("accept-hold", "it accepts another hold")

    def check_final(self, payment: bytes, digest: bytes) -> None:
        """Look at the executor's word on its whole answer: without a good one, no last unit."""
        opener = self._till.opener
        try:
            final = open_final(
                payment,
                executor=self._meter.terms.payee,
                verifier=opener.verifier,
                network_id=opener.network_id,
            )
        except Refusal:
            return
        # Of the hold before, if the newest had not reached the executor yet.
        salt = self._salts.get(final.hold_id)
        self._is_final_good = salt is not None and (
            final.response_commit == compute_response_commitment(salt, digest)
        )

    def pay(self, completion_tokens: int, *, has_output: bool) -> None:
        """So many tokens have been delivered: send the unit they earn, if they earn one."""
        unit = self._meter.release(completion_tokens, has_output=has_output)
        if unit is not None:
            self._send_unit(unit)

    def settle(self, completion_tokens: int) -> None:
        """The answer is whole, with so many tokens: send the last unit."""
        unit = self._meter.settle(completion_tokens) if self._is_final_good else None
        if unit is not None:
            self._send_unit(unit)

    def note_low(self) -> bool:
        """Whether the hold is nearly used up; said once for each."""
        is_news = self._meter.is_low and not self._is_low_told
        self._is_low_told |= is_news
        return is_news

    def extend(self, frame: bytes, payment: PayerTerms) -> None:
        """Pay with another hold from now on."""
        self._meter.extend(payment)
        self._salts[payment.terms.hold_id] = payment.salt
        self._is_low_told = False
        self._send(encode_frame(Extension(frame)))
        self._is_unit_last = False

    def report(self, *, is_last: bool) -> PaymentProgressed:
        """How deep the newest hold is paid."""
        return _describe_progress(self._session, self._meter, self._meter.released, is_last=is_last)

    async def flush(self) -> None:
        """Return once all is on its way, or cannot be any more."""
        if self._sender is not None:
            await asyncio.wait((self._sender,), timeout=FINAL_UNIT_WAIT_US / SECOND)
            self._sender.cancel()

    def _send_unit(self, unit: Unit) -> None:
        if self._waiting and self._is_unit_last:
            self._waiting.pop()
        self._send(encode_frame(unit))
        self._is_unit_last = True

    def _send(self, frame: bytes) -> None:
        stream = self._stream
        assert stream is not None, "nothing is paid before the offer has left"
        try:
            if not self._waiting and self._sender is None and stream.try_send(frame):
                return
        except StreamEnded:
            return  # Whoever reads the stream hears of it.
        self._waiting.append(frame)
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_waiting(stream))

    async def _send_waiting(self, stream: Stream) -> None:
        try:
            while self._waiting:
                await stream.send(self._waiting.popleft())
        except StreamEnded:
            self._waiting.clear()
        finally:
            self._sender = None


class Earnings:
    """What an executor is paid for one work."""

    def __init__(
        self, session: SessionId, payment: PayeeTerms, tell: Callable[[Event], None]
    ) -> None:
        self._session = session
        self._tell = tell
        self.meter = PayeeMeter(payment)
        self.salt = payment.salt
        self.is_released = payment.is_covered
        """Whether output may leave: the hold is final, or its payer can be made to pay."""
        self._extensions = 0
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def unit_tokens(self) -> int:
        """Completion tokens that a unit of the newest hold pays."""
        return self.meter.terms.unit_tokens

    def take(self, unit: Unit) -> None:
        """A unit came. Raises `Refusal` for one that pays nothing."""
        self.meter.take(unit)
        self._changed.set()
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(PAYMENT_TOLD_US / SECOND, self._report)

    def release(self) -> None:
        """Output may leave."""
        self.is_released = True
        self._changed.set()

    def note_extension(self) -> None:
        """Another hold is offered: the one before is paid as deep as it ever will be.

        Raises `Refusal` for one too many.
        """
        self._report()
        self._extensions += 1
        if self._extensions > EXTENSIONS_MAX:
            raise Refusal("extension-count", f"more than {EXTENSIONS_MAX} extensions")

    def extend(self, payment: PayeeTerms) -> None:
        """Units from now on are those of another hold. Raises `Refusal` if it comes too early."""
        self.meter.extend(payment)
        self.salt = payment.salt
        self.is_released = payment.is_covered
        self._changed.set()

    async def wait_released(self) -> None:
        """Wait until output may leave; the peer ends what waits for too long."""
        await self._wait(lambda: self.is_released)

    async def wait_paid(self, completion_tokens: int) -> None:
        """Wait until another piece may go out after so many tokens.

        Raises `UnitOverdue` where the unit for that does not come in time.
        """
        if self.meter.may_deliver(completion_tokens):
            return
        try:
            async with asyncio.timeout(PAYMENT_WAIT_US / SECOND):
                await self._wait(lambda: self.meter.may_deliver(completion_tokens))
        except TimeoutError as error:
            raise UnitOverdue from error

    async def wait_settled(self, completion_tokens: int) -> None:
        """Wait for the last unit of a whole answer of so many tokens, not for long."""
        try:
            async with asyncio.timeout(FINAL_UNIT_WAIT_US / SECOND):
                await self._wait(lambda: not self.meter.is_due(completion_tokens))
        except TimeoutError:
            return

    def close(self) -> None:
        """No unit comes any more: tell what was paid."""
        if not self._is_closed:
            self._is_closed = True
            self._report(is_last=True)

    async def _wait(self, is_met: Callable[[], bool]) -> None:
        while not is_met():
            self._changed.clear()
            await self._changed.wait()

    def _report(self, *, is_last: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        meter = self.meter
        self._tell(_describe_progress(self._session, meter, meter.paid, is_last=is_last))


def _describe_progress(
    session: SessionId, meter: PayerMeter | PayeeMeter, depth: int, *, is_last: bool
) -> PaymentProgressed:
    preimage = meter.preimage if depth else b""
    return PaymentProgressed(session, meter.terms.hold_id, depth, preimage, is_last)
