"""Holds of this node's that will be paid no deeper: closed if their payees do not claim.

A close frees what is left of a hold half an hour later, where nobody claims it. All this is
forgotten with the process: then the payee claims, or the hold comes back at its time to live.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.wallet.hash_chains import HashChains
from wwwserve.values.ledger_parameters import MINUTE
from wwwserve.wire.ledger import Close, Hold

CLAIM_PATIENCE_MS: Final = MINUTE
"""How long, on the ledger clock, a payee may take to claim before its hold is closed; where the
window of a close is short, half of that."""
OWN_HOLDS_MAX: Final = 8_192
"""Own holds remembered: twice what the ledger lets one payer have open. The oldest is forgotten."""


@dataclass(slots=True)
class _Own:
    seq: int
    hold: Hold
    depth: int | None = None
    """Where it ended; None while it is being paid."""


class Closes:
    """Remembers own holds until they are settled."""

    __slots__ = ("_chains", "_due", "_ledger", "_own", "_ready")

    def __init__(self, chains: HashChains, ledger: AsksLedger) -> None:
        self._chains = chains
        self._ledger = ledger
        self._own: dict[bytes, _Own] = {}
        self._due: dict[bytes, int] = {}
        """When to look whether it was claimed, in the order of these instants."""
        self._ready: dict[bytes, None] = {}

    @property
    def ready_count(self) -> int:
        """Closes that could be signed now."""
        return len(self._ready)

    def note_hold(self, hold_id: bytes, seq: int, hold: Hold) -> None:
        """A hold was signed."""
        self._own[hold_id] = _Own(seq, hold)
        while len(self._own) > OWN_HOLDS_MAX:
            self.forget(next(iter(self._own)))

    def note_over(self, hold_id: bytes, depth: int) -> None:
        """A hold will be paid no deeper."""
        own = self._own.get(hold_id)
        if own is not None and own.depth is None:
            own.depth = depth
            self._due[hold_id] = self._compute_due_ms()

    def is_void(self, hold_id: bytes) -> bool:
        """Whether nothing was ever paid with a hold, and nothing will be."""
        own = self._own.get(hold_id)
        return own is not None and own.depth == 0

    def forget(self, hold_id: bytes) -> None:
        """A hold is settled, or will never be in the log."""
        self._own.pop(hold_id, None)
        self._due.pop(hold_id, None)
        self._ready.pop(hold_id, None)

    def look(self, is_waiting: Callable[[bytes], bool]) -> None:
        """Find what is due; `is_waiting` tells holds that may still enter the log."""
        while self._due:
            hold_id, due_ms = next(iter(self._due.items()))
            if due_ms > self._ledger.time_ms:
                return
            del self._due[hold_id]
            hold = self._ledger.find_hold(hold_id)
            if hold is not None and hold.close_depth < 0:
                self._ready[hold_id] = None
            elif hold is None and is_waiting(hold_id):
                self._due[hold_id] = self._compute_due_ms()
            else:
                self.forget(hold_id)

    def take(self, count_max: int) -> tuple[Close, ...]:
        """Closes to be signed now, the oldest first."""
        taken = list(self._ready)[:count_max]
        for hold_id in taken:
            del self._ready[hold_id]
        return tuple(self._write(hold_id) for hold_id in taken)

    def note_unsigned(self, close: Close) -> None:
        """A signed close will not enter the log."""
        if close.hold_id in self._own:
            self._due.setdefault(close.hold_id, self._compute_due_ms())

    def _compute_due_ms(self) -> int:
        window_ms = self._ledger.parameters.claim_window_ms
        return self._ledger.time_ms + min(CLAIM_PATIENCE_MS, window_ms // 2)

    def _write(self, hold_id: bytes) -> Close:
        own = self._own[hold_id]
        assert own.depth is not None
        preimage = self._chains.compute_preimage(own.seq, own.hold, own.depth)
        return Close(hold_id, own.depth, preimage)
