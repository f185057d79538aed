"""The wallet as one machine: told of blocks, holds and orders, it signs this account's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from msgspec.structs import replace

from wwwserve.core.effects import Persist
from wwwserve.core.events import DeadlineReached
from wwwserve.core.holding import HoldDraft, SignedHold
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger_facts import FeedApplied, LedgerFact, OpRefused
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.snapshot import WalletView
from wwwserve.core.wallet.books import NOTHING_DENIED, Books
from wwwserve.core.wallet.claims import KEPT_MAX, Claims
from wwwserve.core.wallet.closes import Closes
from wwwserve.core.wallet.events import (
    BlockApplied,
    ClaimHold,
    HeadHeard,
    HoldOver,
    KeepPreimage,
    OpDenied,
    OrderRefused,
    OrderSettled,
    OrderSigned,
    ShowFork,
    SignOps,
    SubmitFeed,
    SubmitHold,
    WalletEffect,
    WalletEvent,
)
from wwwserve.core.wallet.hash_chains import HashChains
from wwwserve.core.wallet.line import Line, Signed
from wwwserve.core.wallet.orders import validate_cover, validate_entry, validate_words
from wwwserve.core.wallet.renewing import choose_renewals
from wwwserve.core.wallet.standing import Standing
from wwwserve.values.moments import MILLISECOND, NEVER, SECOND, Moment, after
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Signer
from wwwserve.wire.ledger import (
    DIGEST_BYTES,
    NO_DIGEST,
    OPS_MAX,
    Bond,
    Hold,
    HoldFlag,
    Op,
    Unbond,
    compute_hold_id,
)

FLUSH_US: Final = 2 * SECOND
"""How long a claim or close waits for others to share its feed block."""
WRITE_US: Final = 100 * MILLISECOND
"""How long a received preimage waits for others to be written with it: what a crash may cost."""
SUBMIT_US: Final = 2 * SECOND
"""How often a feed block that is not in the log is brought to the sequencer, and how long one with
a hold waits for `SubmitHold` at first."""
CLAIMS_WITH_HOLD_MAX: Final = 16
"""Claims that a hold's feed block takes along: a KiB of the offer, and work for who opens it."""


@dataclass(frozen=True, slots=True)
class WalletSetup:
    """What a wallet is born with."""

    signer: Signer
    stored: Mapping[bytes, bytes] = field(default_factory=dict)
    """The `FEED` lane as it was on disk."""
    is_clean_boot: bool = True
    """False if the machine has gone down since the lane was last written, and not in order: then
    the newest writes may be lost."""
    is_sequencer: bool = False
    """Whether this node orders the log itself, so that nobody knows more of it."""
    held: Mapping[bytes, int] = field(default_factory=dict)
    """This account's own open holds in the ledger, with what each locks."""


class Wallet:
    """This node's own account: `AsksWallet` for payments, and a machine for the rest."""

    def __init__(self, setup: WalletSetup, ledger: AsksLedger) -> None:
        """Go on from what is on disk; raises `Refusal` if that is another key's or network's."""
        own, stored = setup.signer.node_id, setup.stored
        self._own = own
        self._ledger = ledger
        self._line = Line(setup.signer, ledger, stored, has_lost=not setup.is_clean_boot)
        self._standing = Standing(own, ledger, self._line, is_sequencer=setup.is_sequencer)
        self._chains = HashChains(setup.signer, ledger.network_id)
        claims, closes = Claims(own, ledger, stored), Closes(self._chains, ledger)
        self._books = Books(own, ledger, claims, closes, setup.held)
        self._number = 0
        self._write_at: Moment | None = None
        self._flush_at: Moment | None = None

    # -- `AsksWallet` ----------------------------------------------------------------------------

    @property
    def spendable(self) -> int:
        """See `AsksWallet`; the fee of the hold is taken off too."""
        return self._standing.compute_budget().spendable if self.is_ready else 0

    @property
    def is_ready(self) -> bool:
        """See `AsksWallet`."""
        return not self._standing.waits_for

    @property
    def is_busy(self) -> bool:
        """See `AsksWallet`."""
        return self._standing.is_busy

    @property
    def is_staking(self) -> bool:
        """Whether an order about the own stake is signed and not in the log, whoever gave it."""
        return any(isinstance(op, Bond | Unbond) for block in self._line.blocks for op in block.ops)

    def sign_hold(self, draft: HoldDraft, now: Moment) -> SignedHold:
        """See `AsksWallet`. Claims that wait are taken along as far as they are paid for.

        Not by a hold that extends another: its payee looks at it while tokens flow.
        """
        budget = self._standing.compute_budget()
        assert self.is_ready
        assert draft.locked <= budget.spendable
        seq, hold = self._line.seq + 1, self._complete(draft)
        links = self._chains.make_links(seq, hold)
        hold = replace(hold, anchor=links[:DIGEST_BYTES])
        paid = (budget.spendable - draft.locked) // budget.op_fee if budget.op_fee else OPS_MAX
        room = 0 if draft.flags & HoldFlag.EXTENDS else CLAIMS_WITH_HOLD_MAX
        claims = self._books.claims.take(min(paid, room))
        block = self._sign((hold, *claims), now)
        hold_id = compute_hold_id(self._own, seq, hold.n)
        self._books.closes.note_hold(hold_id, seq, hold)
        return SignedHold(hold_id, block.sealed, 0, links, tuple(self._write(now)))

    def _complete(self, draft: HoldDraft) -> Hold:
        """A hold without its anchor."""
        return Hold(
            # No two feed blocks of one number have one last instant, so no two holds have one name.
            n=self._standing.view.time_ms + self._ledger.parameters.feed_life_ms,
            payee=draft.payee,
            first=draft.first,
            unit=draft.unit,
            units_max=draft.units_max,
            unit_tokens=draft.unit_tokens,
            anchor=NO_DIGEST,
            req_commit=draft.req_commit,
            quote_hash=draft.quote_hash,
            deadline_ms=draft.deadline_ms,
            seed_epoch=self._ledger.epoch,
            flags=draft.flags,
        )

    # -- a look from outside ---------------------------------------------------------------------

    def get_view(self) -> WalletView:
        """The account as its wallet knows it."""
        account, flow = self._standing.view.account, self._books.flow
        spendable = self.spendable
        signed = sum(block.expense.held for block in self._line.blocks)
        return WalletView(
            is_ready=self.is_ready,
            waits_for=self._standing.waits_for,
            avail=account.avail if account else 0,
            spendable=spendable,
            held=self._books.held + signed,
            bond=account.bond if account else 0,
            unbonding=account.unbonding if account else 0,
            seats=account.seats if account else 0,
            debt=account.debt if account else 0,
            seq=max(self._line.seq, 0),
            waiting=len(self._line.blocks),
            claimable=self._books.claims.compute_worth(),
            earned=flow.earned,
            spent=flow.spent,
            forecast_ms=flow.compute_forecast_ms(spendable, self._standing.view.time_ms),
        )

    # -- the door --------------------------------------------------------------------------------

    def start(self, now: Moment) -> list[WalletEffect]:
        """Compare what is on disk with the ledger, before anything else is asked of the wallet.

        That the machine went down is to be remembered with what is written here, and no later.
        """
        for block in self._line.blocks:
            self._books.note_signed(block)
        self._books.claims.look_round(KEPT_MAX)
        self._write_at = now
        return self._finish(self._follow((), now), now)

    def handle(self, event: WalletEvent, now: Moment) -> list[WalletEffect]:
        """Take in what happened; the answer is what is to be done, in order."""
        effects: list[WalletEffect] = []
        match event:
            case BlockApplied(facts):
                self._standing.on_block()
                effects = self._follow(facts, now)
                self._books.claims.look_round()
                self._books.closes.look(lambda hold_id: bool(self._line.find_hold(hold_id)))
            case HeadHeard(height):
                self._standing.on_head(height)
                effects = self._follow((), now)
            case SubmitHold(hold_id):
                self._hurry(self._line.find_hold(hold_id), now)
            case HoldOver() | KeepPreimage() | ClaimHold():
                self._on_hold(event)
            case ShowFork(account, seq, entered, void):
                self._books.proofs.add(account, seq, (entered, void))
            case SignOps():
                effects = self._on_order(event, now)
            case DeadlineReached():
                pass
            case _:
                assert_never(event)
        return self._finish(effects, now)

    def next_deadline(self) -> Moment:
        """When to call `handle(DeadlineReached(), now)`, if nothing happens before."""
        moments = [block.submit_at for block in self._line.blocks] if self._can_submit() else []
        if self._write_at is not None:
            moments.append(self._write_at)
        if self._flush_at is not None and self._standing.can_flush:
            moments.append(self._flush_at)
        return min(moments, default=NEVER)

    def _finish(self, effects: list[WalletEffect], now: Moment) -> list[WalletEffect]:
        """Do all that is due. What was signed is written before anything else is done."""
        if self._line.is_dead and self._standing.can_renew:
            effects += self._renew(now)
        self._flush(now)
        effects += self._submit(now)
        if self._write_at is None and (self._line.has_changes or self._books.claims.has_changes):
            self._write_at = after(now, WRITE_US)
        is_due = self._write_at is not None and self._write_at <= now
        return [*self._write(now), *effects] if is_due else effects

    def _on_hold(self, event: HoldOver | KeepPreimage | ClaimHold) -> None:
        match event:
            case HoldOver(hold_id, depth):
                self._books.closes.note_over(hold_id, depth)
            case KeepPreimage():
                self._books.claims.keep(event)
            case ClaimHold(hold_id):
                self._books.claims.finish(hold_id)
            case _:
                assert_never(event)

    # -- following the log -----------------------------------------------------------------------

    def _follow(self, facts: Sequence[LedgerFact], now: Moment) -> list[WalletEffect]:
        """Take in where the log stands, and what became of this account's words."""
        applied = [fact.feed_id for fact in facts if isinstance(fact, FeedApplied)]
        denied = self._list_denied(facts)
        standing = self._standing
        synced = self._line.sync(standing.view, applied, is_caught_up=standing.is_caught_up)
        effects: list[WalletEffect] = []
        for block in synced.done:
            effects += self._on_done(block, denied.get(block.feed_id, NOTHING_DENIED))
        for block in synced.lost:
            effects += self._on_lost(block)
        self._books.on_facts(facts)
        return effects

    def _list_denied(self, facts: Sequence[LedgerFact]) -> dict[bytes, dict[int, OpDenied]]:
        """Refused ops of this wallet's feed blocks, by feed block and place."""
        denied: dict[bytes, dict[int, OpDenied]] = {}
        for fact in facts:
            if isinstance(fact, OpRefused) and self._line.find(fact.feed_id):
                op = OpDenied(fact.position, fact.rule, fact.detail)
                denied.setdefault(fact.feed_id, {})[fact.position] = op
        return denied

    def _on_done(self, block: Signed, denied: Mapping[int, OpDenied]) -> list[WalletEffect]:
        """A feed block is in the log."""
        self._books.note_done(block, denied)
        if block.order is None:
            return []
        return [OrderSettled(block.order, block.feed_id, block.seq, tuple(denied.values()))]

    def _on_lost(self, block: Signed) -> list[WalletEffect]:
        """A feed block's number was used for another word, by a copy of this node's key."""
        for op in block.ops:
            self._books.note_unsigned(block, op)
        if block.order is None:
            return []
        detail = "another word of this account has its number; look at the balance before repeating"
        return [OrderRefused(block.order, "feed-replaced", detail)]

    # -- signing ---------------------------------------------------------------------------------

    def _sign(self, ops: tuple[Op, ...], now: Moment, order: int | None = None) -> Signed:
        """Sign a feed block; one that only opens a hold leaves when its offer is answered."""
        block = self._line.sign(ops, order)
        self._books.note_signed(block)
        block.submit_at = after(now, SUBMIT_US)
        if block.hold_id is None:
            self._hurry(block, now)
        self._write_at = now
        return block

    def _on_order(self, event: SignOps, now: Moment) -> list[WalletEffect]:
        try:
            self._validate_order(event.ops)
        except Refusal as refusal:
            return [OrderRefused(event.order, refusal.rule, refusal.detail)]
        block = self._sign(event.ops, now, event.order)
        if event.stake is not None:
            self._line.note_stake_order(event.stake)
        return [OrderSigned(event.order, block.feed_id, block.seq, Lane.FEED)]

    def _validate_order(self, ops: tuple[Op, ...]) -> None:
        account, parameters = self._standing.view.account, self._ledger.parameters
        validate_words(ops, parameters)
        if obstacle := self._standing.find_obstacle():
            raise Refusal("wallet-waits", f"the wallet waits for {obstacle}")
        if account is not None:
            validate_cover(ops, account, self._standing.compute_budget(), parameters)
            return
        validate_entry(ops)
        if self._line.blocks:
            raise Refusal("wallet-waits", "a first word is signed already, and not in the log yet")

    def _flush(self, now: Moment) -> None:
        """Sign claims and closes when they have company enough, or have waited enough."""
        count = self._books.ready_count
        if not count:
            self._flush_at = None
            return
        if self._flush_at is None:
            self._flush_at = after(now, FLUSH_US)
        if (now >= self._flush_at or count >= OPS_MAX) and self._standing.can_flush:
            ops = self._books.take(self._standing.compute_budget().count_ops(OPS_MAX))
            self._sign(ops, now)
            self._flush_at = after(now, FLUSH_US) if count > len(ops) else None

    def _renew(self, now: Moment) -> list[WalletEffect]:
        """Sign again, under the same numbers, what can never enter the log as it was signed."""
        dead = self._line.take_dead()
        first_seq, epoch = self._line.seq + 1, self._ledger.epoch
        renewals = choose_renewals(dead, first_seq, epoch, self._books.is_wanted)
        holds = [renewal.hold_id for renewal in renewals]
        for block in dead:
            for op in block.ops:
                if not isinstance(op, Hold) or block.hold_id not in holds:
                    self._books.note_unsigned(block, op)
        effects: list[WalletEffect] = []
        for renewal in renewals:
            block = self._sign(renewal.ops, now, renewal.order)
            self._hurry(block, now)
            if block.order is not None:
                effects.append(OrderSigned(block.order, block.feed_id, block.seq, Lane.FEED))
        return effects

    # -- what leaves -----------------------------------------------------------------------------

    def _hurry(self, block: Signed | None, now: Moment) -> None:
        """Have a feed block, and all before it, brought to the sequencer now.

        Those that are on their way there need no hurry.
        """
        if block is not None:
            for earlier in self._line.blocks:
                if earlier.seq <= block.seq and not earlier.is_submitted:
                    earlier.submit_at = min(earlier.submit_at, now)

    def _can_submit(self) -> bool:
        return not self._line.is_dead and not self._ledger.is_halted

    def _submit(self, now: Moment) -> list[WalletEffect]:
        if not self._can_submit():
            return []
        due = [block for block in self._line.blocks if block.submit_at <= now]
        for block in due:
            block.submit_at = after(now, SUBMIT_US)
            block.is_submitted = True
        return [SubmitFeed(block.sealed, Lane.FEED) for block in due]

    def _write(self, now: Moment) -> list[Persist]:
        """What is not on disk yet, as one write: all that was signed, and preimages."""
        changes = {**self._line.take_changes(), **self._books.claims.take_changes()}
        self._write_at = now if self._books.claims.has_changes else None
        if not changes:
            return []
        self._number += 1
        return [Persist(Lane.FEED, self._number, tuple(changes.items()))]
