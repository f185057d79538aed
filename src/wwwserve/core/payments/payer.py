"""The payer's side: what a quote would cost, the hold that pays for it, and its further holds."""

from dataclasses import dataclass, field
from typing import Final

from wwwserve.core.effects import ExtendPayment
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import HoldRunsOut, PaymentProgressed, StreamEnded, StreamFailed
from wwwserve.core.holding import HoldDraft, Payment, SignedHold
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.paying import (
    AHEAD,
    HoldTerms,
    Payable,
    PayerTerms,
    PayOrder,
    Unpayable,
)
from wwwserve.core.payments.counts import (
    LENGTH_PRIOR_TOKENS,
    AnswerLengths,
    CompletionCounts,
    PromptCounts,
)
from wwwserve.core.payments.effects import HoldOver, PaymentsEffect, SubmitHold
from wwwserve.core.payments.prices import (
    HoldPlan,
    compute_cost,
    plan_extension,
    plan_hold,
)
from wwwserve.core.payments.questions import AsksWallet
from wwwserve.core.pricing import Prices
from wwwserve.core.sessions import SessionId
from wwwserve.values.credits import credits_text
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import REQUESTS_OPEN_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import MILLISECOND, Moment
from wwwserve.values.refusals import DeclineReason, Refusal
from wwwserve.wire import Endpoint, Quote, RequestSummary, encode
from wwwserve.wire.ledger import FirmQuote, HoldFlag
from wwwserve.wire.paying import (
    SALT_BYTES,
    PaidOffer,
    compute_quote_hash,
    compute_request_commitment,
    read_quote,
)

RUNS_MAX: Final = REQUESTS_OPEN_MAX
"""Runs of own requests that are paid at once: no more can be open; of more, the oldest is over."""
EXTENSIONS_MAX: Final = 64
"""Further holds of one run; then no more is paid, and its executor goes no further."""


@dataclass(slots=True)
class _Run:
    """An own request at an executor, and what pays for it."""

    order: PayOrder
    firm: FirmQuote
    plan: HoldPlan
    req_commit: bytes
    salt: bytes
    terms: HoldTerms
    """Of the newest hold."""
    covered_tokens: int
    """Completion tokens that the holds so far pay for, at least."""
    depths: dict[bytes, int] = field(default_factory=dict)
    """How deep each hold is paid, as far as it was told."""
    spent: int = 0
    """On holds before the newest."""
    extensions: int = 0
    is_answered: bool = False
    """Whether its offer was answered, so that the ledger was told of the hold."""
    is_over: bool = False


class Payer:
    """Pays for own users' requests at other nodes."""

    def __init__(
        self,
        own: NodeId,
        *,
        ledger: AsksLedger,
        wallet: AsksWallet,
        prompts: PromptCounts,
        lengths: AnswerLengths,
        entropy: Entropy,
    ) -> None:
        self._own = own
        self._ledger = ledger
        self._wallet = wallet
        self._prompts = prompts
        self._lengths = lengths
        self._completions = CompletionCounts()
        self._entropy = entropy
        self._runs: dict[SessionId, _Run] = {}
        self.effects: list[PaymentsEffect] = []

    # -- what is asked ---------------------------------------------------------------------------

    def weigh(
        self, peer: NodeId, quote: Quote, summary: RequestSummary, cost_max: int
    ) -> Payable | Unpayable:
        """Whether a quote can be paid, and what the request is expected to cost."""
        found = self._find_plan(peer, quote, summary, cost_max)
        if isinstance(found, Unpayable):
            return found
        _, plan = found
        model = ModelId(quote.model)
        expected = self._completions.convert(model, peer, self._predict_tokens(summary, model))
        return Payable(compute_cost(plan, expected), plan.locked)

    def pay(self, order: PayOrder, now: Moment) -> Payment | None:
        """Open a hold for a quote; None if it cannot be paid any more."""
        found = self._find_plan(order.executor, order.quote, order.summary, order.cost_max)
        if isinstance(found, Unpayable):
            return None
        firm, plan = found
        salt = self._entropy.bytes(SALT_BYTES)
        commit = compute_request_commitment(order.quote.model, salt, order.body_digest)
        signed = self._wallet.sign_hold(self._draft(order, firm, plan, commit), now)
        terms = _make_terms(self._own, firm, plan, signed)
        if len(self._runs) >= RUNS_MAX:
            self._finish(next(iter(self._runs)))
        self._runs[order.session] = _Run(
            order=order,
            firm=firm,
            plan=plan,
            req_commit=commit,
            salt=salt,
            terms=terms,
            covered_tokens=(plan.units_max - 1) * plan.unit_tokens,
            depths={terms.hold_id: 0},
        )
        return Payment(
            _seal_offer(signed, firm, salt), PayerTerms(terms, signed.links, salt), signed.writes
        )

    # -- what is told ----------------------------------------------------------------------------

    def open(self, session: SessionId) -> None:
        """An executor accepted: the ledger is to know of the hold."""
        run = self._runs.get(session)
        if run is not None:
            self._submit(run)

    def end(self, event: StreamEnded) -> None:
        """An answer is whole: it teaches how long prompts, answers and this node's tokens are."""
        run = self._runs.get(event.session)
        if run is None:
            return
        run.is_over = True
        summary, model = run.order.summary, ModelId(run.firm.model)
        tokens = event.usage.completion_tokens
        self._lengths.learn(model, tokens)
        differ = self._completions.learn(model, run.terms.payee, event.text_bytes or 0, tokens)
        if differ is not None:
            self.effects.append(differ)
        if "vision" not in summary.needs:
            prompt_tokens = event.usage.prompt_tokens
            self._prompts.learn(model, summary.body_bytes, prompt_tokens, is_own=False)

    def fail(self, event: StreamFailed) -> None:
        """A run came to nothing. A hold that was declined is in the feed all the same."""
        run = self._runs.get(event.session)
        if run is None:
            return
        run.is_over = True
        self._submit(run)
        if event.decline is DeclineReason.UNPAID:
            summary, model = run.order.summary, ModelId(run.firm.model)
            counted = self._count_prompt(summary, model)
            self._prompts.note_shortfall(model, summary.body_bytes, counted)

    def progress(self, event: PaymentProgressed) -> None:
        """So deep is a hold of a run paid."""
        run = self._runs.get(event.session)
        if run is None or event.hold_id not in run.depths:
            return
        run.depths[event.hold_id] = event.depth
        if event.is_last:
            self._finish(event.session)

    def extend(self, event: HoldRunsOut, now: Moment) -> None:
        """A hold is nearly used up: another pays for the rest, if there is one and it is paid."""
        run = self._runs.get(event.session)
        if run is None or run.is_over or run.extensions >= EXTENSIONS_MAX:
            return
        plan = self._plan_extension(run, event.completion_tokens)
        if plan is None:
            return
        draft = self._draft(run.order, run.firm, plan, run.req_commit, HoldFlag.EXTENDS)
        signed = self._wallet.sign_hold(draft, now)
        run.spent += run.terms.first + (run.terms.units_max - 1) * run.terms.unit
        run.terms = _make_terms(self._own, run.firm, plan, signed)
        run.plan = plan
        run.extensions += 1
        run.depths[run.terms.hold_id] = 0
        covered = event.completion_tokens + (plan.units_max - 1) * plan.unit_tokens
        run.covered_tokens = covered
        self.effects.extend(signed.writes)
        frame = _seal_offer(signed, run.firm, run.salt)
        payment = PayerTerms(run.terms, signed.links, run.salt)
        self.effects.append(ExtendPayment(event.session, frame, payment, Lane.FEED))
        self.effects.append(SubmitHold(signed.hold_id))

    # -- plans -----------------------------------------------------------------------------------

    def _find_plan(
        self, peer: NodeId, quote: Quote, summary: RequestSummary, cost_max: int
    ) -> tuple[FirmQuote, HoldPlan] | Unpayable:
        if self._ledger.is_halted or not self._wallet.is_ready:
            detail = "this node's wallet cannot sign anything now; try again"
            return Unpayable(detail, is_out_of_credits=True, is_passing=self._wallet.is_busy)
        try:
            firm = read_quote(quote.payment)
            self._validate_quote(peer, quote, firm)
        except Refusal as refusal:
            return Unpayable(refusal.detail, is_out_of_credits=False)
        plan = self._plan(firm, summary, min(self._wallet.spendable, cost_max))
        return plan if isinstance(plan, Unpayable) else (firm, plan)

    def _validate_quote(self, peer: NodeId, quote: Quote, firm: FirmQuote) -> None:
        """Refuse a quote that says something else than it should, or that nobody could pay."""
        if (firm.executor, firm.peer, firm.model) != (peer, self._own, quote.model):
            raise Refusal("quote-names", "the quote is another's, for another or of another model")
        if firm.expiry_ms < self._ledger.time_ms:
            raise Refusal("quote-expiry", "the quote holds no longer")
        if not _read_prices(firm).is_payable:
            raise Refusal("quote-price", "the price is beyond any bound")
        account = self._ledger.find_account(peer)
        if account is None:
            raise Refusal("quote-account", "the node has no account and cannot be paid")
        if firm.lead_units <= 0 and account.seats == 0:
            raise Refusal("quote-lead", "a node without a seat is not paid ahead")

    def _plan(self, firm: FirmQuote, summary: RequestSummary, budget: int) -> HoldPlan | Unpayable:
        """A hold for the expected answer; where it turns out longer, another follows."""
        expected = self._predict_tokens(summary, ModelId(firm.model))
        prompt = self._count_prompt(summary, ModelId(firm.model))
        parameters = self._ledger.parameters
        plan = plan_hold(_read_prices(firm), prompt, expected, expected, parameters)
        if plan.locked <= budget:
            return plan
        needed, can = credits_text(plan.locked), credits_text(budget)
        detail = f"it needs {needed}, and {can} can be spent; fewer max_tokens need less"
        return Unpayable(detail, is_out_of_credits=True)

    def _plan_extension(self, run: _Run, completion_tokens: int) -> HoldPlan | None:
        """A hold for the rest; None if nothing is left to pay, or nothing to pay it with."""
        summary = run.order.summary
        longest = summary.completion_tokens_max
        # Several choices together may be longer than the most that one may be.
        is_bounded = completion_tokens < longest
        if (is_bounded and run.covered_tokens > longest) or not self._wallet.is_ready:
            return None
        further = max(completion_tokens, run.plan.unit_tokens)
        if is_bounded:
            further = min(further, longest - completion_tokens)
        newest = run.terms.first + (run.terms.units_max - 1) * run.terms.unit
        budget = min(self._wallet.spendable, run.order.cost_max - run.spent - newest)
        plan = plan_extension(run.plan, further, self._ledger.parameters)
        return plan if plan.locked <= budget and not self._ledger.is_halted else None

    def _predict_tokens(self, summary: RequestSummary, model: ModelId) -> int:
        """How long an answer will be, no longer than its user allows."""
        if summary.endpoint is Endpoint.EMBEDDINGS:
            return 0
        expected = self._lengths.find(model) or LENGTH_PRIOR_TOKENS
        return min(expected, summary.completion_tokens_max or expected)

    def _count_prompt(self, summary: RequestSummary, model: ModelId) -> int:
        if "vision" in summary.needs:
            return summary.prompt_tokens
        return self._prompts.count(model, summary.body_bytes, summary.prompt_tokens)

    # -- holds -----------------------------------------------------------------------------------

    def _draft(
        self,
        order: PayOrder,
        firm: FirmQuote,
        plan: HoldPlan,
        commit: bytes,
        flags: int = 0,
    ) -> HoldDraft:
        most_ms = self._ledger.parameters.deadline_ms_max
        deadline_ms = order.summary.deadline_us // MILLISECOND or most_ms
        return HoldDraft(
            payee=order.executor,
            first=plan.first,
            unit=plan.unit,
            units_max=plan.units_max,
            unit_tokens=plan.unit_tokens,
            req_commit=commit,
            quote_hash=compute_quote_hash(firm),
            deadline_ms=max(1, min(deadline_ms, most_ms)),
            flags=flags,
        )

    def _submit(self, run: _Run) -> None:
        if not run.is_answered:
            run.is_answered = True
            self.effects.append(SubmitHold(run.terms.hold_id))

    def _finish(self, session: SessionId) -> None:
        run = self._runs.pop(session)
        self._submit(run)
        self.effects.extend(HoldOver(hold_id, depth) for hold_id, depth in run.depths.items())


def _read_prices(firm: FirmQuote) -> Prices:
    return Prices(firm.prompt_price, firm.completion_price)


def _make_terms(own: NodeId, firm: FirmQuote, plan: HoldPlan, signed: SignedHold) -> HoldTerms:
    return HoldTerms(
        hold_id=signed.hold_id,
        payer=own,
        payee=NodeId(firm.executor),
        first=plan.first,
        unit=plan.unit,
        units_max=plan.units_max,
        unit_tokens=plan.unit_tokens,
        anchor=signed.links[:32],
        lead_units=firm.lead_units if firm.lead_units > 0 else AHEAD,
    )


def _seal_offer(signed: SignedHold, firm: FirmQuote, salt: bytes) -> bytes:
    return encode(PaidOffer(signed.feed, signed.position, firm, salt))
