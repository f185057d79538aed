"""What the wallet remembers of holds, on both sides, and of money that moved."""

from collections.abc import Mapping, Sequence
from typing import Final

from wwwserve.core.ledger_facts import (
    FeedApplied,
    Fined,
    HoldClosing,
    HoldOpened,
    HoldSettled,
    LedgerFact,
    Transferred,
)
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.wallet.claims import Claims
from wwwserve.core.wallet.closes import Closes
from wwwserve.core.wallet.events import OpDenied
from wwwserve.core.wallet.flow import Flow
from wwwserve.core.wallet.line import Signed
from wwwserve.core.wallet.proofs import Proofs
from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import Claim, Close, Evidence, Hold, Op

NOTHING_DENIED: Final[Mapping[int, OpDenied]] = {}


class Books:
    """Keeps claims, closes, holds and totals in step with what is signed and what is in the log."""

    __slots__ = ("_held", "_ledger", "_own", "claims", "closes", "flow", "proofs")

    def __init__(
        self,
        own: NodeId,
        ledger: AsksLedger,
        claims: Claims,
        closes: Closes,
        held: Mapping[bytes, int],
    ) -> None:
        """`held`: the account's own open holds in the ledger, with what each locks."""
        self._own = own
        self._ledger = ledger
        self._held = dict(held)
        self.claims = claims
        self.closes = closes
        self.proofs = Proofs()
        self.flow = Flow(ledger.time_ms)

    @property
    def held(self) -> int:
        """What the account's open holds lock."""
        return sum(self._held.values())

    @property
    def ready_count(self) -> int:
        """Ops that wait to be signed."""
        return self.claims.ready_count + self.closes.ready_count + self.proofs.ready_count

    def take(self, count_max: int) -> tuple[Op, ...]:
        """Ops to be signed now; claims before closes, for they bring something in.

        A proof is as large as a word may be, and has one to itself.
        """
        if self.proofs.ready_count and count_max:
            return self.proofs.take()
        claims = self.claims.take(count_max)
        return (*claims, *self.closes.take(count_max - len(claims)))

    # -- feed blocks -----------------------------------------------------------------------------

    def note_signed(self, block: Signed) -> None:
        """A feed block waits for the log."""
        for op in block.ops:
            if isinstance(op, Claim):
                self.claims.note_signed(op)

    def note_done(self, block: Signed, denied: Mapping[int, OpDenied]) -> None:
        """A feed block is in the log; of its ops, these were refused."""
        for position, op in enumerate(block.ops):
            match op:
                case Claim() if position in denied:
                    self.claims.note_refused(op)
                case Claim():
                    self.claims.note_unsigned(op)
                case Evidence():
                    self.proofs.forget(op)
                case Close() if position in denied:
                    self.closes.forget(op.hold_id)
                case Hold() if position in denied and block.hold_id:
                    self.closes.forget(block.hold_id)
                case _:
                    pass

    def note_unsigned(self, block: Signed, op: Op) -> None:
        """An op that was signed will not be in the log."""
        match op:
            case Claim():
                self.claims.note_unsigned(op)
            case Close():
                self.closes.note_unsigned(op)
            case Evidence():
                self.proofs.note_unsigned(op)
            case Hold() if block.hold_id:
                self.closes.forget(block.hold_id)
            case _:
                pass

    def is_wanted(self, block: Signed, op: Op) -> bool:
        """Whether an op still makes sense where it has to be signed again."""
        match op:
            case Hold():
                return block.hold_id is not None and not self.closes.is_void(block.hold_id)
            case Claim(hold_id=hold_id):
                return self._ledger.find_hold(hold_id) is not None
            case Close(hold_id=hold_id):
                hold = self._ledger.find_hold(hold_id)
                return hold is not None and hold.close_depth < 0
            case _:
                return True

    # -- what a block told -----------------------------------------------------------------------

    def on_facts(self, facts: Sequence[LedgerFact]) -> None:
        """Take in what concerns this account."""
        self.proofs.note_fined([fact for fact in facts if isinstance(fact, Fined)])
        for fact in facts:
            match fact:
                case FeedApplied() | Transferred():
                    self._on_moved(fact)
                case HoldOpened(hold_id=hold_id, payer=payer, locked=locked):
                    if payer == self._own:
                        self._held[hold_id] = locked
                    self.claims.look_at(hold_id)
                case HoldClosing(hold_id=hold_id):
                    self.claims.look_at(hold_id)
                case HoldSettled():
                    self._on_settled(fact)
                case _:
                    pass

    def _on_moved(self, fact: FeedApplied | Transferred) -> None:
        match fact:
            case FeedApplied(account=account, fee=fee) if account == self._own:
                self.flow.note_spent(fee, self._ledger.time_ms)
            case Transferred(source=source, amount=amount) if source == self._own:
                self.flow.note_spent(amount, self._ledger.time_ms)
            case Transferred(target=target, amount=amount) if target == self._own:
                self.flow.note_earned(amount, self._ledger.time_ms)
            case _:
                pass

    def _on_settled(self, fact: HoldSettled) -> None:
        if fact.payer == self._own:
            self._held.pop(fact.hold_id, None)
            self.closes.forget(fact.hold_id)
            self.flow.note_spent(fact.paid, self._ledger.time_ms)
        elif fact.payee == self._own:
            self.claims.forget(fact.hold_id)
            self.flow.note_earned(fact.paid, self._ledger.time_ms)
