"""What this node was paid and has not claimed yet: the deepest preimage of each hold that pays it.

A claim is final at once, and frees what it does not take; so a hold is claimed when nothing more
will be received for it, or earlier if its payer has closed it or its time runs out. A preimage is
forgotten when its hold is settled, or when its hold has not become final for so long that it never
will.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wwwserve.core.ledger_view import AsksLedger, HoldView
from wwwserve.core.wallet.events import KeepPreimage
from wwwserve.core.wallet.line import Changes
from wwwserve.core.wallet.places import KeptPreimage, kept_place, read_kept
from wwwserve.values.ids import NodeId
from wwwserve.wire import encode
from wwwserve.wire.ledger import Claim

KEPT_MAX: Final = 8_192
"""Holds with preimages not claimed yet: twice the works that may be open. Of one more nothing is
kept; none is reached while claims are taken."""
CLAIM_TRIES_MAX: Final = 3
"""Refusals of a claim after which it is not tried again: each cost its fee."""
WRITTEN_AT_ONCE_MAX: Final = 1_024
"""Preimages in one write; of more, the rest is written by the next call."""
LOOKED_AT_MAX: Final = 64
"""Kept preimages looked at again at each block, in turn: what no news led to is found so."""


@dataclass(slots=True)
class _Kept:
    depth: int
    preimage: bytes
    worth: int
    since_ms: int
    is_over: bool = False
    """Whether nothing more will be received for the hold."""
    is_claimed: bool = False
    """Whether a claim for it is signed and its fate is open."""
    tries: int = 0


class Claims:
    """Keeps preimages, and says which can be claimed."""

    __slots__ = ("_changes", "_kept", "_ledger", "_own", "_ready")

    def __init__(self, own: NodeId, ledger: AsksLedger, stored: Mapping[bytes, bytes]) -> None:
        """Go on from what is on disk: the streams of those holds ended with the last process."""
        self._own = own
        self._ledger = ledger
        self._changes: dict[bytes, None] = {}
        """Holds whose preimage is not on disk as it is here."""
        self._kept = {
            hold_id: _Kept(kept.depth, kept.preimage, kept.worth, kept.since_ms, is_over=True)
            for hold_id, kept in read_kept(stored).items()
        }
        self._ready: dict[bytes, None] = {}

    @property
    def ready_count(self) -> int:
        """Claims that could be signed now."""
        return len(self._ready)

    @property
    def has_changes(self) -> bool:
        """Whether something is to be written."""
        return bool(self._changes)

    def compute_worth(self) -> int:
        """What all preimages here are worth."""
        return sum(kept.worth for kept in self._kept.values())

    # -- what is received ------------------------------------------------------------------------

    def keep(self, event: KeepPreimage) -> None:
        """Keep a preimage, if it is deeper than the one before."""
        kept = self._kept.get(event.hold_id)
        if kept is None and len(self._kept) < KEPT_MAX:
            since_ms = self._ledger.time_ms
            self._kept[event.hold_id] = _Kept(event.depth, event.preimage, event.worth, since_ms)
        elif kept is not None and event.depth > kept.depth:
            kept.depth, kept.preimage, kept.worth = event.depth, event.preimage, event.worth
        else:
            return
        self._changes[event.hold_id] = None

    def finish(self, hold_id: bytes) -> None:
        """Nothing more will be received for a hold."""
        kept = self._kept.get(hold_id)
        if kept is not None:
            kept.is_over = True
            self.look_at(hold_id)

    # -- what the ledger says --------------------------------------------------------------------

    def look_at(self, hold_id: bytes) -> None:
        """See whether a kept preimage can be claimed now, or is worth nothing any more."""
        kept = self._kept.get(hold_id)
        if kept is None:
            return
        hold = self._ledger.find_hold(hold_id)
        if hold is None:
            self._ready.pop(hold_id, None)
            if self._ledger.time_ms > kept.since_ms + self._compute_patience_ms():
                self.forget(hold_id)
        elif self._is_claimable(kept, hold):
            self._ready[hold_id] = None
        else:
            self._ready.pop(hold_id, None)

    def look_round(self, count_max: int = LOOKED_AT_MAX) -> None:
        """Look at some again, each in its turn."""
        for hold_id in list(self._kept)[:count_max]:
            # To the end of the line.
            self._kept[hold_id] = self._kept.pop(hold_id)
            self.look_at(hold_id)

    def forget(self, hold_id: bytes) -> None:
        """A hold is settled, or never will be."""
        if self._kept.pop(hold_id, None) is not None:
            self._ready.pop(hold_id, None)
            self._changes[hold_id] = None

    def _is_claimable(self, kept: _Kept, hold: HoldView) -> bool:
        is_late = hold.ttl_ms - self._ledger.time_ms <= self._ledger.parameters.claim_window_ms
        return (
            not kept.is_claimed
            and kept.tries < CLAIM_TRIES_MAX
            and hold.payee == self._own
            and max(hold.close_depth, 0) <= kept.depth <= hold.units_max
            and (kept.is_over or is_late or hold.close_depth >= 0)
        )

    def _compute_patience_ms(self) -> int:
        """How long a payer may take to have its hold in the log: it may have to sign it anew."""
        parameters = self._ledger.parameters
        return 2 * parameters.epoch_ms + parameters.claim_window_ms

    # -- what is signed --------------------------------------------------------------------------

    def take(self, count_max: int) -> tuple[Claim, ...]:
        """Claims to be signed now, the oldest first."""
        taken = list(self._ready)[:count_max]
        for hold_id in taken:
            del self._ready[hold_id]
        return tuple(self._write(hold_id) for hold_id in taken)

    def note_signed(self, claim: Claim) -> None:
        """A claim waits for the log."""
        kept = self._kept.get(claim.hold_id)
        if kept is not None:
            kept.is_claimed = True
            self._ready.pop(claim.hold_id, None)

    def note_unsigned(self, claim: Claim) -> None:
        """A signed claim will not enter the log."""
        kept = self._kept.get(claim.hold_id)
        if kept is not None:
            kept.is_claimed = False
            self.look_at(claim.hold_id)

    def note_refused(self, claim: Claim) -> None:
        """The ledger refused a claim."""
        kept = self._kept.get(claim.hold_id)
        if kept is not None:
            kept.tries += 1
            self.note_unsigned(claim)

    def _write(self, hold_id: bytes) -> Claim:
        kept = self._kept[hold_id]
        kept.is_claimed = True
        return Claim(hold_id, kept.depth, kept.preimage)

    def take_changes(self) -> Changes:
        """What is to be written: of much, the first part."""
        changes: Changes = {}
        for hold_id in list(self._changes)[:WRITTEN_AT_ONCE_MAX]:
            del self._changes[hold_id]
            kept = self._kept.get(hold_id)
            place = kept_place(hold_id)
            changes[place] = None if kept is None else _encode(kept)
        return changes


def _encode(kept: _Kept) -> bytes:
    return encode(KeptPreimage(kept.depth, kept.preimage, kept.worth, kept.since_ms))
