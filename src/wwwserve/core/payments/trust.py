"""Whom an executor trusts, and with how much: its own experience and what the ledger shows.

Nobody else's word counts, so nobody can buy another trust or spoil another's name.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from wwwserve.core.ledger_view import AccountView
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import DAY, LedgerParameters
from wwwserve.wire.ledger import Hold, SignedFeed

PAYERS_KNOWN_MAX: Final = 4_096
"""Payers remembered; of more, the one longest unheard of is a stranger again."""
VOLUME_DAYS: Final = 7
"""Settled volume counts for so long, in days of the ledger clock."""
TRUSTED_VOLUME: Final = CREDIT
"""Settled volume that makes a payer without a seat no stranger: more than the first and three units
of a usual request, so that to earn it and then not pay is a loss."""
LINE_SHARE: Final = 10
"""The part of a payer's volume that it is lent in a stall: a tenth."""
STRANGERS_SHARE: Final = 10
"""All strangers together are lent a tenth of the most that one payer is."""
PENDING_MAX: Final = 4_096
"""Holds known that are not in the log yet; one more is not taken."""
PENDING_PER_PAYER_MAX: Final = 64
"""The same for one payer."""


@dataclass(slots=True)
class _Record:
    """What is remembered of one payer."""

    days: deque[tuple[int, int]] = field(default_factory=deque)
    """Settled volume by day of the ledger clock, at most `VOLUME_DAYS` of them."""
    unpaid_day: int | None = None
    """When it last left something unpaid."""


class Trust:
    """Own experience with payers."""

    def __init__(self) -> None:
        self._records: dict[NodeId, _Record] = {}

    def add_volume(self, payer: NodeId, amount: int, time_ms: int) -> None:
        """A payer's hold was settled, and paid this node so much."""
        day, record = time_ms // DAY, self._refresh(payer)
        if record.days and record.days[-1][0] == day:
            amount += record.days.pop()[1]
        record.days.append((day, amount))
        if len(record.days) > VOLUME_DAYS:
            record.days.popleft()

    def add_unpaid(self, payer: NodeId, time_ms: int) -> None:
        """A payer left work unpaid: it pays ahead until the week is over."""
        self._refresh(payer).unpaid_day = time_ms // DAY

    def get_volume(self, payer: NodeId, time_ms: int) -> int:
        """What a payer has paid this node in the last week."""
        record = self._records.get(payer)
        if record is None:
            return 0
        since = time_ms // DAY - VOLUME_DAYS
        return sum(amount for day, amount in record.days if day > since)

    def has_left_unpaid(self, payer: NodeId, time_ms: int) -> bool:
        """Whether a payer has left work unpaid in the last week."""
        record = self._records.get(payer)
        unpaid_day = record.unpaid_day if record is not None else None
        return unpaid_day is not None and time_ms // DAY - unpaid_day < VOLUME_DAYS

    def is_trusted(self, payer: NodeId, account: AccountView, time_ms: int) -> bool:
        """Whether a payer may pay after."""
        if self.has_left_unpaid(payer, time_ms):
            return False
        return account.seats > 0 or self.get_volume(payer, time_ms) >= TRUSTED_VOLUME

    def compute_line(
        self, payer: NodeId, account: AccountView, parameters: LedgerParameters, time_ms: int
    ) -> int:
        """What a payer is lent while the ledger stands still; 0: it is a stranger."""
        volume = self.get_volume(payer, time_ms)
        return min(parameters.stall_line_max, volume // LINE_SHARE, account.bond)

    def _refresh(self, payer: NodeId) -> _Record:
        record = self._records.pop(payer, None) or _Record()
        if len(self._records) >= PAYERS_KNOWN_MAX:
            del self._records[next(iter(self._records))]
        self._records[payer] = record
        return record


class PendingHold(msgspec.Struct, frozen=True):
    """A hold this node knows of that is not in the log."""

    hold_id: bytes
    payer: NodeId
    seq: int
    op: Hold
    locked: int
    valid_until_ms: int
    signed: SignedFeed
    """The feed block it is in."""
    is_worked_for: bool
    """False: it was declined, and is only to be given back."""
    is_stranger: bool
    """Whether its payer had no line of its own when it was offered."""


class Exposure:
    """Holds known and not final: what their payers may have promised twice."""

    def __init__(self) -> None:
        self._payers: dict[NodeId, dict[bytes, PendingHold]] = {}
        self._holds: dict[bytes, PendingHold] = {}
        self.strangers_total = 0
        """What the pending holds of strangers lock together."""

    def find(self, hold_id: bytes) -> PendingHold | None:
        """A hold, if it is known and pending."""
        return self._holds.get(hold_id)

    def has_room(self, payer: NodeId) -> bool:
        """Whether another hold of a payer can be remembered."""
        of_payer = len(self._payers.get(payer, ()))
        return len(self._holds) < PENDING_MAX and of_payer < PENDING_PER_PAYER_MAX

    def add(self, hold: PendingHold) -> None:
        """A hold was offered."""
        assert self.has_room(hold.payer), "no room was looked for"
        self._holds[hold.hold_id] = hold
        self._payers.setdefault(hold.payer, {})[hold.hold_id] = hold
        self.strangers_total += hold.locked if hold.is_stranger else 0

    def drop(self, hold_id: bytes) -> PendingHold | None:
        """A hold is final, or will never be."""
        hold = self._holds.pop(hold_id, None)
        if hold is not None:
            of_payer = self._payers[hold.payer]
            del of_payer[hold_id]
            if not of_payer:
                del self._payers[hold.payer]
            self.strangers_total -= hold.locked if hold.is_stranger else 0
        return hold

    def compute_total(self, payer: NodeId) -> int:
        """What a payer's pending holds lock together."""
        return sum(hold.locked for hold in self._payers.get(payer, {}).values())

    def list_of(self, payer: NodeId) -> list[PendingHold]:
        """A payer's pending holds."""
        return list(self._payers.get(payer, {}).values())

    def list_expired(self, time_ms: int) -> list[PendingHold]:
        """Holds whose feed blocks can enter the log no more."""
        return [hold for hold in self._holds.values() if hold.valid_until_ms < time_ms]
