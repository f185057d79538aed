"""What came in and went out: totals since the start, and how long the credits last at this pace."""

from collections import deque
from typing import Final

from wwwserve.values.ledger_parameters import HOUR, MINUTE

FORECAST_SPAN_MS: Final = HOUR
"""The pace is that of so long a time, on the ledger clock."""
_STEP_MS: Final = MINUTE
"""Sums are kept by the minute: 60 of them."""


class Flow:
    """Sums of income and outgo; amounts are micro-credits."""

    __slots__ = ("_since_ms", "_sums", "earned", "spent")

    def __init__(self, time_ms: int) -> None:
        """Begin at an instant of the ledger clock."""
        self._since_ms = time_ms
        self._sums: deque[tuple[int, int]] = deque()
        """For each minute in which something moved: when it began, and what went out in sum."""
        self.earned = 0
        self.spent = 0

    def note_earned(self, amount: int, time_ms: int) -> None:
        """Something was paid to this account."""
        self.earned += amount
        self._add(-amount, time_ms)

    def note_spent(self, amount: int, time_ms: int) -> None:
        """Something was paid by this account."""
        self.spent += amount
        self._add(amount, time_ms)

    def compute_forecast_ms(self, spendable: int, time_ms: int) -> int | None:
        """How long so much lasts; None if it does not become less."""
        self._trim(time_ms)
        outgo = sum(amount for _, amount in self._sums)
        if outgo <= 0:
            return None
        span_ms = max(min(time_ms - self._since_ms, FORECAST_SPAN_MS), _STEP_MS)
        return spendable * span_ms // outgo

    def _add(self, amount: int, time_ms: int) -> None:
        begin_ms = time_ms - time_ms % _STEP_MS
        before = 0
        if self._sums and self._sums[-1][0] == begin_ms:
            before = self._sums.pop()[1]
        self._sums.append((begin_ms, before + amount))
        self._trim(time_ms)

    def _trim(self, time_ms: int) -> None:
        while self._sums and self._sums[0][0] <= time_ms - FORECAST_SPAN_MS:
            self._sums.popleft()
