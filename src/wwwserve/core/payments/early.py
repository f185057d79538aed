"""Holds for this node that were in the log before their payer's own word of them came.

A payer brings a hold to the log and to the node it pays at once, and either may be first. What is
in the log pays for certain; but for one work only, so each counts once.
"""

from typing import Final

from wwwserve.core.ledger_view import AsksLedger
from wwwserve.values.ids import NodeId
from wwwserve.wire.paying import OpenedHold

EARLY_MAX: Final = 1_024
"""Holds remembered whose payer has not told of them. Of more, the oldest is forgotten of the payer
that has most of them, so that nobody pushes out another's by opening many."""


class EarlyHolds:
    """The holds of which the log alone told so far."""

    def __init__(self, own: NodeId, ledger: AsksLedger) -> None:
        self._own = own
        self._ledger = ledger
        self._holds: dict[NodeId, dict[bytes, int]] = {}
        """By payer: when each was heard of, by the ledger's clock, in milliseconds."""
        self._count = 0

    def note(self, hold_id: bytes) -> None:
        """A hold is in the log of which nobody has told; it counts if it pays this node."""
        view = self._ledger.find_hold(hold_id)
        if view is None or view.payee != self._own:
            return
        self._holds.setdefault(view.payer, {})[hold_id] = self._ledger.time_ms
        self._count += 1
        if self._count > EARLY_MAX:
            most = max(self._holds, key=lambda payer: len(self._holds[payer]))
            self._forget(most, next(iter(self._holds[most])))

    def has(self, hold: OpenedHold) -> bool:
        """Whether the log has this very hold, lately and open, and nobody has worked for it."""
        heard_ms = self._holds.get(hold.opened.account, {}).get(hold.hold_id)
        wait_ms = self._ledger.parameters.hold_wait_ms
        if heard_ms is None or self._ledger.time_ms > heard_ms + wait_ms:
            # One that was kept back ends by itself before its work could be paid.
            return False
        view = self._ledger.find_hold(hold.hold_id)
        # Of two feed blocks of one number only one is in the log.
        return view is not None and view.close_depth < 0 and view.anchor == hold.hold.anchor

    def take(self, hold: OpenedHold) -> bool:
        """The same, and from now on it does not count any more."""
        is_early = self.has(hold)
        if is_early:
            self._forget(hold.opened.account, hold.hold_id)
        return is_early

    def _forget(self, payer: NodeId, hold_id: bytes) -> None:
        del self._holds[payer][hold_id]
        self._count -= 1
        if not self._holds[payer]:
            del self._holds[payer]
