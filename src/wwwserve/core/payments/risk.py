"""What an executor stakes on its payers: who pays after, what is covered, and who has a line."""

from typing import Final

from wwwserve.core.ledger_view import AccountView, AsksLedger
from wwwserve.core.payments.admission import refuse
from wwwserve.core.payments.trust import STRANGERS_SHARE, Exposure, PendingHold, Trust
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import MILLISECOND, Moment, after
from wwwserve.wire.paying import OpenedHold

STALL_GRACE_MS: Final = 10_000
"""The ledger stands still if no block comes for two idle heights and this."""


class Risk:
    """Own experience with payers, and the holds of theirs that are not final."""

    def __init__(self, ledger: AsksLedger, line_max: int) -> None:
        self._ledger = ledger
        self.line_max = line_max
        """The most one payer is lent, by this node's operator."""
        self._trust = Trust()
        self._exposure = Exposure()
        self._block_at: Moment | None = None
        """When the ledger last went on; None before anything was told."""

    # -- what is told ----------------------------------------------------------------------------

    def note_time(self, now: Moment) -> None:
        """A stall is counted from the first moment anybody cares."""
        if self._block_at is None:
            self._block_at = now

    def note_block(self, now: Moment) -> None:
        """The ledger went on."""
        self._block_at = now

    def note_taken(self, hold: OpenedHold) -> None:
        """A hold that was judged is worked for."""
        self._add(hold, is_worked_for=True)

    def note_declined(self, hold: OpenedHold) -> None:
        """A hold is not worked for, and yet may become final."""
        has_room = self._exposure.has_room(hold.opened.account)
        if has_room and self._exposure.find(hold.hold_id) is None:
            self._add(hold, is_worked_for=False)

    def note_final(self, hold_id: bytes) -> PendingHold | None:
        """A hold is in the log; answers with what was known of it."""
        return self._exposure.drop(hold_id)

    def note_paid(self, payer: NodeId, amount: int) -> None:
        """A payer's hold was settled, and paid this node so much."""
        if amount > 0:
            self._trust.add_volume(payer, amount, self._ledger.time_ms)

    def note_unpaid(self, payer: NodeId) -> None:
        """A payer left work unpaid."""
        self._trust.add_unpaid(payer, self._ledger.time_ms)

    def take_lost(self, payer: NodeId, seq: int) -> list[PendingHold]:
        """A payer's feed went on to a number: what was not opened up to there never will be."""
        lost = [hold for hold in self._exposure.list_of(payer) if hold.seq <= seq]
        for hold in lost:
            self._exposure.drop(hold.hold_id)
        return lost

    def take_expired(self) -> list[PendingHold]:
        """Holds whose feed blocks can enter the log no more."""
        expired = self._exposure.list_expired(self._ledger.time_ms)
        for hold in expired:
            self._exposure.drop(hold.hold_id)
        return expired

    # -- what is asked ---------------------------------------------------------------------------

    def is_trusted(self, payer: NodeId) -> bool:
        """Whether a payer may pay after."""
        account = self._ledger.find_account(payer)
        time_ms = self._ledger.time_ms
        return account is not None and self._trust.is_trusted(payer, account, time_ms)

    def find_pending(self, hold_id: bytes) -> PendingHold | None:
        """A hold that was offered and is not in the log."""
        return self._exposure.find(hold_id)

    def has_gone_on(self, since: Moment) -> bool:
        """Whether the ledger went on for so long after a moment that what was brought is in it."""
        halfway = after(since, self._ledger.parameters.hold_wait_ms * MILLISECOND // 2)
        return self._block_at is not None and self._block_at >= halfway

    def judge(self, payer: NodeId, account: AccountView, hold: OpenedHold, now: Moment) -> bool:
        """Whether output may leave before a hold is final; raises `Refusal` if it is no good.

        A stake covers what its owner has pending, but not for one that has left work unpaid: what
        is promised twice is fined less than all that it would get of many executors.
        """
        if self._exposure.find(hold.hold_id) is not None:
            raise refuse("hold-again", "it was offered before")
        if not self._exposure.has_room(payer):
            raise refuse("hold-count", "too many holds of its payer are not final")
        locked = _compute_locked(hold)
        total = self._exposure.compute_total(payer) + locked
        if total > account.spendable:
            detail = f"{total} in holds that are not final, and {account.spendable} can be spent"
            raise refuse("hold-balance", detail)
        if not self.is_stalled(now):
            has_left_unpaid = self._trust.has_left_unpaid(payer, self._ledger.time_ms)
            return total <= account.stake and not has_left_unpaid
        if not self._is_lent(payer, account, locked):
            raise refuse("hold-stall", "the ledger stands still, and its payer's line is used up")
        return True

    def is_stalled(self, now: Moment) -> bool:
        """Whether the ledger has stood still for so long that credit lines hold."""
        patience_ms = 2 * self._ledger.parameters.height_ms_idle + STALL_GRACE_MS
        return self._block_at is not None and now - self._block_at > patience_ms * MILLISECOND

    def is_within_line(self, payer: NodeId) -> bool:
        """Whether a payer's pending holds are within what it is lent."""
        account = self._ledger.find_account(payer)
        return account is not None and self._is_lent(payer, account, 0)

    def _is_lent(self, payer: NodeId, account: AccountView, more: int) -> bool:
        line = self._compute_line(payer, account)
        if line > 0:
            return self._exposure.compute_total(payer) + more <= min(line, self.line_max)
        budget = min(self._ledger.parameters.stall_line_max, self.line_max) // STRANGERS_SHARE
        return self._exposure.strangers_total + more <= budget

    def _compute_line(self, payer: NodeId, account: AccountView) -> int:
        parameters = self._ledger.parameters
        return self._trust.compute_line(payer, account, parameters, self._ledger.time_ms)

    def _add(self, hold: OpenedHold, *, is_worked_for: bool) -> None:
        payer, header = hold.opened.account, hold.opened.header
        account = self._ledger.find_account(payer)
        pending = PendingHold(
            hold_id=hold.hold_id,
            payer=payer,
            seq=header.seq,
            op=hold.hold,
            locked=_compute_locked(hold),
            valid_until_ms=header.valid_until_ms,
            signed=hold.opened.signed,
            is_worked_for=is_worked_for,
            is_stranger=account is None or self._compute_line(payer, account) == 0,
        )
        self._exposure.add(pending)


def _compute_locked(hold: OpenedHold) -> int:
    return hold.hold.first + (hold.hold.units_max - 1) * hold.hold.unit
