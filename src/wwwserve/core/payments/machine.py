"""Payments as one machine: asked by requests, told by the ledger and the data plane."""

from dataclasses import dataclass
from typing import assert_never

from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    DeadlineReached,
    ExtensionReceived,
    FirstOutput,
    HoldRunsOut,
    PaymentProgressed,
    SetPrices,
    StreamEnded,
    StreamFailed,
    StreamOpened,
)
from wwwserve.core.holding import Payment
from wwwserve.core.ledger_facts import FeedApplied, HoldOpened, HoldSettled
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.paying import Payable, PayeeTerms, PayOrder, Unpayable
from wwwserve.core.payments.counts import AnswerLengths, PromptCounts
from wwwserve.core.payments.effects import PaymentsEffect
from wwwserve.core.payments.events import (
    BlockApplied,
    OfferDeclined,
    PaymentsEvent,
    SessionEvent,
)
from wwwserve.core.payments.payee import Payee
from wwwserve.core.payments.payer import Payer
from wwwserve.core.payments.questions import AsksWallet
from wwwserve.core.placing import RunMeasured
from wwwserve.core.pricing import PRICE_TABLE_DEFAULT, PriceTable
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Quote, RequestSummary, Signer
from wwwserve.wire.paying import OpenedHold


@dataclass(frozen=True, slots=True)
class PaymentsSetup:
    """What payments are born with."""

    signer: Signer
    """Quotes and accepts are signed with the node's key."""
    entropy: Entropy
    prices: PriceTable = PRICE_TABLE_DEFAULT


class Payments:
    """What is charged and paid: `AsksPayments` for requests, and a machine for the rest.

    What its answers to questions ask of others is in the effects of the next `handle`, or earlier
    by `take_effects`.
    """

    def __init__(self, setup: PaymentsSetup, *, ledger: AsksLedger, wallet: AsksWallet) -> None:
        self._own = setup.signer.node_id
        self._prompts = PromptCounts()
        self._lengths = AnswerLengths()
        self._payer = Payer(
            self._own,
            ledger=ledger,
            wallet=wallet,
            prompts=self._prompts,
            lengths=self._lengths,
            entropy=setup.entropy,
        )
        self._payee = Payee(
            setup.signer,
            setup.prices,
            ledger=ledger,
            prompts=self._prompts,
        )

    # -- `AsksPayments` --------------------------------------------------------------------------

    def quote(
        self, peer: NodeId, model: ModelId, first_token_us: int, ask_permille: int = 1000
    ) -> bytes:
        """The price for a peer, as `Quote.payment` says it: that share of what is asked."""
        return self._payee.quote(peer, model, first_token_us, ask_permille)

    def refuse(self, peer: NodeId) -> DeclineReason | None:
        """Why nothing is quoted to a peer, if so: it has no account, or nothing to pay with."""
        return self._payee.refuse(peer)

    def weigh(
        self, peer: NodeId, quote: Quote, summary: RequestSummary, cost_max: int
    ) -> Payable | Unpayable:
        """Whether this node can pay a quote, and what the request would cost."""
        return self._payer.weigh(peer, quote, summary, cost_max)

    def pay(self, order: PayOrder, now: Moment) -> Payment | None:
        """Open a hold for a quote that was just weighed.

        None if the credits went elsewhere meanwhile: the offer leaves without a hold, and its
        executor sends it back.
        """
        return self._payer.pay(order, now)

    def admit(
        self,
        session: SessionId,
        peer: NodeId,
        summary: RequestSummary,
        model: ModelId,
        hold: OpenedHold | None,
        now: Moment,
    ) -> PayeeTerms | DeclineReason | None:
        """The terms of work for another node's hold, or why not."""
        return self._payee.admit(session, peer, summary, model, hold, now)

    # -- the machine -----------------------------------------------------------------------------

    def handle(self, event: PaymentsEvent, now: Moment) -> list[PaymentsEffect]:
        """Take in what happened; answer with what should be done."""
        match event:
            case DeadlineReached():
                pass
            case BlockApplied():
                self._on_block(event, now)
            case OfferDeclined(hold):
                self._payee.give_back(hold)
            case SetPrices(prices):
                self._payee.set_prices(prices)
            case RunMeasured():
                self._on_measured(event)
            case _:
                self._on_session(event, now)
        self._payee.work(now)
        return self.take_effects()

    def take_effects(self) -> list[PaymentsEffect]:
        """What was asked for since last time, in order."""
        effects = self._payer.effects + self._payee.effects
        self._payer.effects, self._payee.effects = [], []
        return effects

    def next_deadline(self) -> Moment:
        """When this machine wants to be called again."""
        return self._payee.next_deadline()

    def _on_session(self, event: SessionEvent, now: Moment) -> None:
        if event.session.role is Role.ORIGIN:
            self._on_run(event, now)
        else:
            self._on_work(event, now)

    def _on_run(self, event: SessionEvent, now: Moment) -> None:
        match event:
            case StreamOpened(session):
                self._payer.open(session)
            case PaymentProgressed():
                self._payer.progress(event)
            case HoldRunsOut():
                self._payer.extend(event, now)
            case StreamEnded():
                self._payer.end(event)
            case StreamFailed():
                self._payer.fail(event)
            case FirstOutput() | ExtensionReceived():
                pass
            case _:
                assert_never(event)

    def _on_work(self, event: SessionEvent, now: Moment) -> None:
        match event:
            case FirstOutput(session):
                self._payee.note_output(session)
            case PaymentProgressed():
                self._payee.progress(event)
            case ExtensionReceived():
                self._payee.extend(event, now)
            case StreamEnded():
                self._payee.end(event)
            case StreamFailed():
                self._payee.fail(event)
            case StreamOpened() | HoldRunsOut():
                pass
            case _:
                assert_never(event)

    def _on_measured(self, event: RunMeasured) -> None:
        """What own engines say is believed; another node's word was told as the end of a run."""
        if event.node == self._own:
            self._lengths.learn(event.model, event.completion_tokens)
            self._prompts.learn(event.model, event.body_bytes, event.prompt_tokens, is_own=True)

    def _on_block(self, block: BlockApplied, now: Moment) -> None:
        """Holds that were opened first: what else a feed block had in it came to nothing."""
        self._payee.note_entered(block.feeds)
        for fact in block.facts:
            if isinstance(fact, HoldOpened):
                self._payee.note_opened(fact.hold_id)
        for fact in block.facts:
            match fact:
                case FeedApplied(account=account, seq=seq):
                    self._payee.note_feed(account, seq)
                case HoldSettled(payee=payee) if payee == self._own:
                    self._payee.note_settled(fact)
                case _:
                    pass  # Nothing of it changes who pays whom here.
        self._payee.note_block(now)
