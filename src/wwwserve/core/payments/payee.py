"""The payee's side: what is quoted to whom, which holds are worked for, and what is claimed."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from wwwserve.core.effects import ReleaseOutput, Report, TakeExtension
from wwwserve.core.events import ExtensionReceived, PaymentProgressed, StreamEnded, StreamFailed
from wwwserve.core.facts import PeerRefused
from wwwserve.core.ledger_facts import HoldSettled
from wwwserve.core.ledger_view import AccountView, AsksLedger
from wwwserve.core.paying import PayeeTerms, WorkUnpaid
from wwwserve.core.payments.admission import (
    refuse,
    validate_amounts,
    validate_extension,
    validate_hold,
)
from wwwserve.core.payments.counts import PromptCounts, count_completion
from wwwserve.core.payments.early import EarlyHolds
from wwwserve.core.payments.effects import ClaimHold, ForwardHold, KeepPreimage, PaymentsEffect
from wwwserve.core.payments.forks import Forks
from wwwserve.core.payments.meters import Gauge
from wwwserve.core.payments.prices import choose_lead
from wwwserve.core.payments.quoting import QUOTE_LIFE_MS, Quotes
from wwwserve.core.payments.risk import Risk
from wwwserve.core.payments.trust import PendingHold
from wwwserve.core.payments.works import Wait, Work, make_terms
from wwwserve.core.pricing import PriceTable
from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import WORKS_OPEN_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import MILLISECOND, NEVER, Moment, after
from wwwserve.values.refusals import DeclineReason, FailureKind, Refusal
from wwwserve.wire import RequestSummary
from wwwserve.wire.ledger import FirmQuote, HoldAccept, OpenedFeed
from wwwserve.wire.paying import OpenedHold, seal_payment
from wwwserve.wire.signing import Signer

WORKS_MAX: Final = 2 * WORKS_OPEN_MAX
"""Works that are paid at once, with those that are over and wait for their last unit; of more, the
oldest is claimed as it stands."""
EXTENSIONS_MAX: Final = 64
"""Further holds of one work; one more, and it is ended."""
WAITS_PER_CALL: Final = 256
"""Waits looked at in one call; with more it asks to be called again at once."""


class Payee:
    """Is paid for other nodes' requests."""

    def __init__(
        self,
        signer: Signer,
        prices: PriceTable,
        *,
        ledger: AsksLedger,
        prompts: PromptCounts,
    ) -> None:
        self._signer = signer
        self._own = signer.node_id
        self._prices = prices
        self._ledger = ledger
        self._prompts = prompts
        self._quotes = Quotes()
        self._risk = Risk(ledger, prices.line_max)
        self._works: dict[SessionId, Work] = {}
        self._sessions: dict[bytes, SessionId] = {}
        """Whose newest hold it is."""
        self._forks = Forks(ledger)
        self._early = EarlyHolds(self._own, ledger)
        self._waits: deque[Wait] = deque()
        """All wait equally long, so the first is the next to be looked at."""
        self.effects: list[PaymentsEffect] = []

    def set_prices(self, prices: PriceTable) -> None:
        """From now on this is asked; what was quoted holds."""
        self._prices = prices
        self._risk.line_max = prices.line_max

    # -- what is asked ---------------------------------------------------------------------------

    def refuse(self, peer: NodeId) -> DeclineReason | None:
        """Why nothing is quoted to a peer, if so."""
        account = self._ledger.find_account(peer)
        is_able = account is not None and account.spendable > 0 and not account.debt
        is_own_open = self._ledger.find_account(self._own) is not None
        is_open = is_able and is_own_open and not self._ledger.is_halted
        return None if is_open else DeclineReason.UNPAID

    def quote(self, peer: NodeId, model: ModelId, first_token_us: int, ask_permille: int) -> bytes:
        """The price for a peer, signed and remembered."""
        prices = self._prices.find(model).scale(ask_permille)
        parameters = self._ledger.parameters
        quote = FirmQuote(
            executor=self._own,
            peer=peer,
            model=model,
            prompt_tokens=0,
            prompt_price=prices.prompt,
            completion_price=prices.completion,
            lead_units=choose_lead(
                parameters,
                is_trusted=self._risk.is_trusted(peer),
                is_seated=self._is_seated(),
            ),
            first_token_ms=-(-first_token_us // MILLISECOND),
            expiry_ms=self._ledger.time_ms + QUOTE_LIFE_MS + parameters.height_ms_max,
        )
        self._quotes.remember(quote)
        return seal_payment(quote, self._signer, self._ledger.network_id)

    def admit(
        self,
        session: SessionId,
        peer: NodeId,
        summary: RequestSummary,
        model: ModelId,
        hold: OpenedHold | None,
        now: Moment,
    ) -> PayeeTerms | DeclineReason:
        """The terms of work for a hold, or why it is not worked for."""
        self._risk.note_time(now)
        if hold is None:
            return DeclineReason.UNPAID
        try:
            quote = self._find_quote(peer, hold)
            account = self._validate_hold(peer, hold)
            if quote.model != model:
                raise refuse("hold-quote", f"it pays for {quote.model}")
            validate_amounts(hold.hold, quote, summary, self._count_prompt(summary, model))
            is_covered = self._early.has(hold) or self._risk.judge(peer, account, hold, now)
        except Refusal as refusal:
            self._report(peer, refusal)
            self.give_back(hold)
            return DeclineReason.UNPAID
        if len(self._works) >= WORKS_MAX:
            self._finish(next(iter(self._works)))
        terms = make_terms(hold, quote)
        self._works[session] = Work(
            payer=peer,
            quote=quote,
            summary=summary,
            hold_id=hold.hold_id,
            op=hold.hold,
            gauge=Gauge(terms),
            is_released=is_covered,
        )
        self._take_on(session, hold, now, is_covered=is_covered)
        accept = HoldAccept(hold.hold_id, self._ledger.time_ms + hold.hold.deadline_ms)
        sealed = seal_payment(accept, self._signer, self._ledger.network_id)
        return PayeeTerms(terms, is_covered, hold.salt, sealed)

    # -- what is told of works -------------------------------------------------------------------

    def extend(self, event: ExtensionReceived, now: Moment) -> None:
        """A payer goes on with another hold: from now on units are of it, or the work ends."""
        work, hold = self._works.get(event.session), event.hold
        if work is None:
            self.give_back(hold)
            return
        self._risk.note_time(now)
        try:
            if work.extensions >= EXTENSIONS_MAX:
                raise refuse("hold-extends", f"{EXTENSIONS_MAX} holds extend it already")
            account = self._validate_hold(work.payer, hold)
            validate_extension(hold.hold, work.op)
            is_covered = self._early.has(hold) or self._risk.judge(work.payer, account, hold, now)
        except Refusal as refusal:
            self._report(work.payer, refusal)
            self.give_back(hold)
            self._stop(event.session, work)
            return
        self._claim(work)
        terms = make_terms(hold, work.quote)
        work.gauge.extend(terms, work.depth)
        work.hold_id, work.op, work.depth = hold.hold_id, hold.hold, 0
        work.extensions += 1
        work.is_released = is_covered
        self._take_on(event.session, hold, now, is_covered=is_covered)
        payment = PayeeTerms(terms, is_covered, hold.salt, accept=b"")
        self.effects.append(TakeExtension(event.session, payment))

    def note_output(self, session: SessionId) -> None:
        """A work has delivered something."""
        work = self._works.get(session)
        if work is not None:
            work.has_output = True

    def end(self, event: StreamEnded) -> None:
        """A work is done and delivered; its last unit may still come."""
        work = self._works.get(event.session)
        if work is None:
            return
        tokens = count_completion(event.usage.completion_tokens, event.text_bytes)
        work.completion_tokens = tokens

    def fail(self, event: StreamFailed) -> None:
        """A work broke off."""
        work = self._works.get(event.session)
        if work is not None and event.kind is FailureKind.UNPAID:
            work.is_overdue = True

    def progress(self, event: PaymentProgressed) -> None:
        """So much was shown of a hold: keep it, and claim when no more comes."""
        work = self._works.get(event.session)
        if work is None:
            return
        if event.hold_id == work.hold_id and event.depth > work.depth:
            work.depth = event.depth
            worth = work.gauge.terms.compute_pay(event.depth)
            kept = KeepPreimage(event.hold_id, event.depth, event.preimage, worth)
            self.effects.append(kept)
        if event.is_last:
            self._finish(event.session)

    def give_back(self, hold: OpenedHold) -> None:
        """Nobody works for a hold: if the log opens it all the same, its payer gets it back."""
        payer, quote_hash = hold.opened.account, hold.hold.quote_hash
        is_quoted = self._quotes.find(payer, quote_hash, self._ledger.time_ms) is not None
        if not is_quoted or hold.hold.payee != self._own:
            return
        if self._early.take(hold):
            self._settle_unused(hold.hold_id, hold.hold.anchor)
        else:
            self._risk.note_declined(hold)

    # -- what is told of the ledger --------------------------------------------------------------

    def note_entered(self, feeds: Sequence[OpenedFeed]) -> None:
        """These feed blocks are in the block whose changes are told next."""
        self._forks.begin_block(feeds)

    def note_opened(self, hold_id: bytes) -> None:
        """A hold is in the log."""
        pending = self._risk.note_final(hold_id)
        if pending is None:
            self._early.note(hold_id)
            return
        view = self._ledger.find_hold(hold_id)
        if view is None or view.payee != self._own or view.anchor != pending.op.anchor:
            # Another hold has its name: two in one feed block, or two feed blocks of one number.
            self._lose(pending)
        elif not pending.is_worked_for:
            self._settle_unused(hold_id, pending.op.anchor)
        else:
            self._release(hold_id)

    def note_feed(self, payer: NodeId, seq: int) -> None:
        """A payer's feed went on: its holds up to there that were not opened never will be."""
        for pending in self._risk.take_lost(payer, seq):
            self._lose(pending)

    def note_settled(self, fact: HoldSettled) -> None:
        """A hold is over: it has paid, and no further unit of it is worth anything."""
        self._risk.note_paid(fact.payer, fact.paid)
        self._stop_paid_by(fact.hold_id)

    def note_block(self, now: Moment) -> None:
        """The ledger went on; what was signed to enter it before now cannot any more."""
        self._forks.end_block()
        self._risk.note_block(now)
        for pending in self._risk.take_expired():
            self._stop_paid_by(pending.hold_id)

    # -- time ------------------------------------------------------------------------------------

    def next_deadline(self) -> Moment:
        """When a hold will have taken too long to be final."""
        return self._waits[0].until if self._waits else NEVER

    def work(self, now: Moment) -> None:
        """End what has waited too long for its hold."""
        for _ in range(WAITS_PER_CALL):
            if self.next_deadline() > now:
                return
            wait = self._waits.popleft()
            if wait.is_covered:
                self._end_covered(wait, now)
            else:
                self._end_buffered(wait, now)

    def _end_buffered(self, wait: Wait, now: Moment) -> None:
        """Nothing was delivered, nor will be, unless the ledger stands still for a good payer."""
        if self._sessions.get(wait.hold_id) != wait.session:
            return
        work = self._works[wait.session]
        if work.is_released:
            return
        if self._risk.is_stalled(now) and self._risk.is_within_line(work.payer):
            self._release(wait.hold_id)
        else:
            self._stop(wait.session, work)

    def _end_covered(self, wait: Wait, now: Moment) -> None:
        """Output has left: if the ledger goes on without its hold, its payer has kept it back.

        No two signatures prove that, so no stake pays for it; it is known here, and not again.
        """
        pending = self._risk.find_pending(wait.hold_id)
        if pending is None:
            return
        if self._risk.has_gone_on(wait.since):
            self._lose(pending)
        else:
            self._waits.append(replace(wait, until=self._compute_wait_end(now)))

    # -- what these share ------------------------------------------------------------------------

    def _find_quote(self, peer: NodeId, hold: OpenedHold) -> FirmQuote:
        quote = self._quotes.find(peer, hold.hold.quote_hash, self._ledger.time_ms)
        if quote is None:
            raise refuse("hold-quote", "it pays no quote of this node's that still holds")
        return quote

    def _validate_hold(self, peer: NodeId, hold: OpenedHold) -> AccountView:
        """Refuse a hold that is not this node's, or that the ledger would not open."""
        if hold.hold.payee != self._own:
            raise refuse("hold-payee", "it pays somebody else")
        if hold.opened.account != peer:
            raise refuse("hold-payer", "somebody else pays it")
        account = self._ledger.find_account(peer)
        if account is None or self.refuse(peer) is not None:
            raise refuse("hold-account", "its payer has no account, or can spend nothing")
        validate_hold(hold, account, self._ledger, is_final=self._early.has(hold))
        return account

    def _count_prompt(self, summary: RequestSummary, model: ModelId) -> int | None:
        has_media = "vision" in summary.needs
        return None if has_media else self._prompts.check(model, summary.body_bytes)

    def _is_seated(self) -> bool:
        account = self._ledger.find_account(self._own)
        return account is not None and account.seats > 0

    def _take_on(
        self, session: SessionId, hold: OpenedHold, now: Moment, *, is_covered: bool
    ) -> None:
        self._sessions[hold.hold_id] = session
        if self._early.take(hold):
            return
        self._risk.note_taken(hold)
        self.effects.append(ForwardHold(hold.opened))
        until = self._compute_wait_end(now)
        self._waits.append(Wait(until, session, hold.hold_id, now, is_covered))

    def _compute_wait_end(self, now: Moment) -> Moment:
        return after(now, self._ledger.parameters.hold_wait_ms * MILLISECOND)

    def _release(self, hold_id: bytes) -> None:
        session = self._sessions.get(hold_id)
        if session is not None and not self._works[session].is_released:
            self._works[session].is_released = True
            self.effects.append(ReleaseOutput(session))

    def _lose(self, pending: PendingHold) -> None:
        """A hold can never be final, and that is its payer's doing."""
        self._risk.note_unpaid(pending.payer)
        self._stop_paid_by(pending.hold_id)
        proof = self._forks.find(pending)
        if proof is not None:
            self.effects.append(proof)

    def _stop_paid_by(self, hold_id: bytes) -> None:
        session = self._sessions.get(hold_id)
        if session is not None:
            self._stop(session, self._works[session])

    def _stop(self, session: SessionId, work: Work) -> None:
        if not work.is_stopped:
            work.is_stopped = True
            self.effects.append(WorkUnpaid(session))

    def _claim(self, work: Work) -> None:
        """No unit of a work's newest hold comes any more."""
        self._sessions.pop(work.hold_id, None)
        if work.depth == 0:
            self._settle_unused(work.hold_id, work.op.anchor)
        else:
            self.effects.append(ClaimHold(work.hold_id))

    def _settle_unused(self, hold_id: bytes, anchor: bytes) -> None:
        self.effects.append(KeepPreimage(hold_id, 0, anchor, 0))
        self.effects.append(ClaimHold(hold_id))

    def _finish(self, session: SessionId) -> None:
        work = self._works.pop(session)
        self._claim(work)
        if work.is_unpaid:
            self._risk.note_unpaid(work.payer)

    def _report(self, peer: NodeId, refusal: Refusal) -> None:
        self.effects.append(Report(PeerRefused(peer, refusal.rule, refusal.detail)))
