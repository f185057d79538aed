"""The paid half of a peer: introduces the log, the wallet and payments to each other.

What a block changed is news for the wallet and for payments; what payments ask of the wallet is
passed on to it; what the wallet signed is opened by the shell, as any feed block, and then brought
to whoever orders the log. None of the three knows of another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from wwwserve.core.chain import (
    ChainDesk,
    DeskEffect,
    DeskEvent,
    LedgerTold,
    LedgerView,
    Loaded,
    pick_facts,
)
from wwwserve.core.deciding import Holdings, KeepsStake
from wwwserve.core.effects import (
    AnswerOrder,
    ExtendPayment,
    OpenFeed,
    Persist,
    PublishBlock,
    ReleaseOutput,
    Report,
    SendMessage,
    TakeExtension,
)
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    DeadlineReached,
    ExtensionReceived,
    FirstOutput,
    HoldRunsOut,
    OrderOps,
    PaymentProgressed,
    SetPrices,
    StreamEnded,
    StreamFailed,
    StreamOpened,
)
from wwwserve.core.facts import TokenCountsDiffer
from wwwserve.core.holding import HoldDraft, SignedHold
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger import Ledger
from wwwserve.core.ledger_facts import HoldSettled, LedgerFact
from wwwserve.core.log_news import BlockTold, FeedTold, HeadTold
from wwwserve.core.paying import WorkUnpaid
from wwwserve.core.payments import BlockApplied as PaymentsBlock
from wwwserve.core.payments import (
    ClaimHold,
    CountsDiffer,
    ForwardHold,
    HoldOver,
    KeepPreimage,
    OfferDeclined,
    Payments,
    PaymentsEffect,
    PaymentsEvent,
    PaymentsSetup,
    ProveFork,
    SubmitHold,
)
from wwwserve.core.placing import RunMeasured
from wwwserve.core.pricing import PriceTable
from wwwserve.core.setup import WalletChoices
from wwwserve.core.snapshot import LedgerStatus, WalletView
from wwwserve.core.wallet import (
    BlockApplied,
    HeadHeard,
    OrderRefused,
    OrderSettled,
    OrderSigned,
    ShowFork,
    SignOps,
    SubmitFeed,
    Wallet,
    WalletEffect,
    WalletEvent,
    WalletSetup,
    read_stake_order,
)
from wwwserve.core.wallet import ClaimHold as ClaimKept
from wwwserve.core.wallet import HoldOver as CloseHold
from wwwserve.core.wallet import KeepPreimage as WritePreimage
from wwwserve.core.wallet import SubmitHold as SubmitSigned
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.wire import Signer
from wwwserve.wire.ledger import Bond, Unbond

PaidEvent = (
    StreamOpened
    | FirstOutput
    | StreamEnded
    | StreamFailed
    | PaymentProgressed
    | HoldRunsOut
    | ExtensionReceived
    | OfferDeclined
    | RunMeasured
    | SetPrices
)
"""What payments are told as it is."""
AccountingEvent = DeskEvent | PaidEvent | OrderOps
AccountingEffect = (
    Persist
    | PublishBlock
    | SendMessage
    | Report
    | OpenFeed
    | AnswerOrder
    | ReleaseOutput
    | ExtendPayment
    | TakeExtension
    | WorkUnpaid
)
"""`WorkUnpaid` is for requests; all others go out."""
STAKE_ORDER: Final = 0
"""The number of the policy's own orders; an operator's are counted from 1."""


@dataclass(frozen=True, slots=True)
class AccountingSetup:
    """What the paid half of a peer is born with."""

    signer: Signer
    entropy: Entropy
    wallet: WalletChoices
    prices: PriceTable
    stake: KeepsStake
    """Decides, with each block, how much of the account is staked."""


class _Purse:
    """The wallet as requests may spend of it (`AsksWallet`): its owner's reserve stays."""

    __slots__ = ("_wallet", "reserve")

    def __init__(self, wallet: Wallet, reserve: int) -> None:
        self._wallet = wallet
        self.reserve = reserve

    @property
    def spendable(self) -> int:
        return max(self._wallet.spendable - self.reserve, 0)

    @property
    def is_ready(self) -> bool:
        return self._wallet.is_ready

    @property
    def is_busy(self) -> bool:
        return self._wallet.is_busy

    def sign_hold(self, draft: HoldDraft, now: Moment) -> SignedHold:
        return self._wallet.sign_hold(draft, now)


class Accounting:
    """The log, this node's account in it, and what requests cost."""

    def __init__(self, setup: AccountingSetup, loaded: Loaded, now: Moment) -> None:
        """Go on from what is on disk, or begin. Raises `Refusal` if that is another key's."""
        self._own = setup.signer.node_id
        self._stake = setup.stake
        self._stake_order = read_stake_order(setup.wallet.stored)
        """The policy's newest, as it was on disk."""
        self._desk = ChainDesk(loaded, setup.signer, now)
        wallet = WalletSetup(
            signer=setup.signer,
            stored=setup.wallet.stored,
            is_clean_boot=setup.wallet.is_clean_boot,
            is_sequencer=self._desk.is_sequencer,
            held=_list_held(self._desk.state, self._own),
        )
        self._wallet = Wallet(wallet, self._desk.ledger)
        self._purse = _Purse(self._wallet, setup.wallet.reserve)
        self._payments = Payments(
            PaymentsSetup(setup.signer, setup.entropy, setup.prices),
            ledger=self._desk.ledger,
            wallet=self._purse,
        )

    # -- a look from outside ---------------------------------------------------------------------

    @property
    def ledger(self) -> LedgerView:
        """The ledger as it is here now."""
        return self._desk.ledger

    @property
    def payments(self) -> Payments:
        """What requests ask (`AsksPayments`)."""
        return self._payments

    @property
    def seats(self) -> Mapping[NodeId, int]:
        """The seats by which executors are drawn: a live view, of this epoch's snapshot."""
        return self._desk.seats

    def get_status(self, now: Moment) -> LedgerStatus:
        """Where the ledger stands."""
        return self._desk.get_status(now)

    def get_wallet(self) -> WalletView:
        """This node's own account, as its wallet knows it."""
        return self._wallet.get_view()

    # -- the doors -------------------------------------------------------------------------------

    def start(self, links: tuple[NodeId, ...], now: Moment) -> list[AccountingEffect]:
        """Begin, with these links open already."""
        if self._stake_order is not None:
            self._stake.resume_stake(self._stake_order, now)
        effects = self._pass_all(self._desk.start(links, now), now)
        return effects + self._carry_wallet(self._wallet.start(now), now)

    def handle(self, event: AccountingEvent, now: Moment) -> list[AccountingEffect]:
        """Take in what happened; the answer is what is to be done, in order."""
        match event:
            case DeadlineReached():
                return self._on_deadline(event, now)
            case FeedTold(sender=sender, feed=feed) if sender == self._own:
                return self._pass_all(self._desk.bring(feed, now), now)
            case HeadTold(head=head) | BlockTold(block=head):
                effects = self._pass_all(self._desk.handle(event, now), now)
                if head.leader != self._desk.sequencer:
                    return effects
                return effects + self._tell_wallet(HeadHeard(head.header.height), now)
            case SetPrices(reserve=reserve):
                self._purse.reserve = reserve
                return self._tell_payments(event, now)
            case OrderOps(order, ops):
                return self._tell_wallet(SignOps(order, ops), now)
            case _ if isinstance(event, DeskEvent):
                return self._pass_all(self._desk.handle(event, now), now)
            case _:
                return self._tell_payments(event, now)

    def take_effects(self, now: Moment) -> list[AccountingEffect]:
        """What answers to questions of requests ask of others."""
        return self._carry_payments(self._payments.take_effects(), now)

    def next_deadline(self) -> Moment:
        """When to call `handle(DeadlineReached(), now)`, if nothing happens before."""
        return min(
            self._desk.next_deadline(),
            self._wallet.next_deadline(),
            self._payments.next_deadline(),
        )

    def _on_deadline(self, event: DeadlineReached, now: Moment) -> list[AccountingEffect]:
        effects: list[AccountingEffect] = []
        if now >= self._desk.next_deadline():
            effects += self._pass_all(self._desk.handle(event, now), now)
        if now >= self._wallet.next_deadline():
            effects += self._tell_wallet(event, now)
        if now >= self._payments.next_deadline():
            effects += self._tell_payments(event, now)
        return effects

    def _tell_wallet(self, event: WalletEvent, now: Moment) -> list[AccountingEffect]:
        return self._carry_wallet(self._wallet.handle(event, now), now)

    def _tell_payments(self, event: PaymentsEvent, now: Moment) -> list[AccountingEffect]:
        return self._carry_payments(self._payments.handle(event, now), now)

    # -- who hears of whose answers --------------------------------------------------------------

    def _pass_all(self, answers: list[DeskEffect], now: Moment) -> list[AccountingEffect]:
        effects: list[AccountingEffect] = []
        for answer in answers:
            if isinstance(answer, LedgerTold):
                effects += self._on_block(answer, now)
            else:
                effects.append(answer)
        return effects

    def _on_block(self, told: LedgerTold, now: Moment) -> list[AccountingEffect]:
        """A block is applied: payments first, so that the wallet claims what they are done with."""
        effects = self._tell_payments(PaymentsBlock(told.facts, told.feeds), now)
        effects += self._tell_wallet(BlockApplied(told.facts), now)
        effects += self._keep_stake(told.facts, now)
        news = pick_facts(told.facts, self._own, self._desk.state)
        return [*effects, *(Report(fact) for fact in news)]

    def _keep_stake(self, facts: tuple[LedgerFact, ...], now: Moment) -> list[AccountingEffect]:
        """Have the policy look at what was earned, and at the account as it is now."""
        if not self._stake.keeps_stake:
            return []
        settled = [one for one in facts if isinstance(one, HoldSettled) and one.payee == self._own]
        if settled:
            self._stake.note_income(sum(one.paid for one in settled), now)
        ledger = self._desk.ledger
        account = ledger.find_account(self._own)
        if account is None or not self._wallet.is_ready or self._wallet.is_staking:
            return []
        holdings = Holdings(
            epoch=ledger.epoch,
            free=self._wallet.spendable,
            bond=account.bond,
            seat_price=ledger.parameters.seat_price,
        )
        seats = self._stake.decide_stake(holdings, now)
        if not seats:
            return []
        op = Bond(seats) if seats > 0 else Unbond(-seats)
        return self._tell_wallet(SignOps(STAKE_ORDER, (op,), self._stake.stake_order), now)

    def _carry_wallet(self, answers: list[WalletEffect], now: Moment) -> list[AccountingEffect]:
        effects: list[AccountingEffect] = []
        for answer in answers:
            match answer:
                case OrderSigned(order) if order == STAKE_ORDER:
                    pass  # What comes of it is what counts.
                case OrderRefused(order) if order == STAKE_ORDER:
                    self._stake.end_stake_order(now, is_done=False)
                case OrderSettled(order, denied=denied) if order == STAKE_ORDER:
                    self._stake.end_stake_order(now, is_done=not denied)
                case _:
                    effects.append(_translate(answer))
        return effects

    def _carry_payments(self, answers: list[PaymentsEffect], now: Moment) -> list[AccountingEffect]:
        effects: list[AccountingEffect] = []
        for answer in answers:
            match answer:
                case SubmitHold() | KeepPreimage() | ClaimHold() | HoldOver() | ProveFork():
                    effects += self._tell_wallet(_translate_hold(answer), now)
                case ForwardHold(feed):
                    effects += self._pass_all(self._desk.bring_until_final(feed, now), now)
                case CountsDiffer(executor, model, permille):
                    effects.append(Report(TokenCountsDiffer(executor, model, permille)))
                case _:
                    effects.append(answer)
        return effects


def _translate(answer: WalletEffect) -> AccountingEffect:
    """What the wallet asks, in the peer's words."""
    match answer:
        case Persist():
            return answer
        case SubmitFeed(feed, lane):
            return OpenFeed(feed, lane)
        case OrderSigned(order, feed_id, seq, lane):
            return AnswerOrder(order, feed_id, seq, is_final=False, refusal="", lane=lane)
        case OrderRefused(order, rule, detail):
            refusal = f"{rule}: {detail}"
            return AnswerOrder(order, b"", 0, is_final=False, refusal=refusal, lane=Lane.FEED)
        case OrderSettled(order, feed_id, seq, denied):
            refusal = "; ".join(f"op {one.position + 1}: {one.detail}" for one in denied)
            return AnswerOrder(order, feed_id, seq, is_final=True, refusal=refusal, lane=Lane.FEED)
        case _:
            assert_never(answer)


def _translate_hold(
    answer: SubmitHold | KeepPreimage | ClaimHold | HoldOver | ProveFork,
) -> WalletEvent:
    """What payments ask of the wallet, in the wallet's words."""
    match answer:
        case SubmitHold(hold_id):
            return SubmitSigned(hold_id)
        case KeepPreimage(hold_id, depth, preimage, worth):
            return WritePreimage(hold_id, depth, preimage, worth)
        case ClaimHold(hold_id):
            return ClaimKept(hold_id)
        case HoldOver(hold_id, depth):
            return CloseHold(hold_id, depth)
        case ProveFork(payer, seq, entered, void):
            return ShowFork(payer, seq, entered, void)
        case _:
            assert_never(answer)


def _list_held(ledger: Ledger, own: NodeId) -> Mapping[bytes, int]:
    """This account's own open holds, with what each locks."""
    return {hold_id: hold.locked for hold_id, hold in ledger.holds.items() if hold.payer == own}
