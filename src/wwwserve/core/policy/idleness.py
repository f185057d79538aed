"""Whether anybody uses this machine, from what its host reads of it every few seconds.

Rules:

- Until it was read, and when it was not read for `READING_LIFE_US`, it is not idle.
- Work done for other nodes is no use of the machine, but it keeps processor and graphics card busy
  all the same. So while any runs, those two say nothing, and own users' requests alone count.
  After `BLIND_US` of that the machine does not count as idle until one reading without such work
  has shown that nobody came meanwhile.
"""

from typing import Final

from wwwserve.values.moments import SECOND, Moment

READING_LIFE_US: Final = 30 * SECOND
"""A host that reads every five seconds has then failed to for six times."""
BLIND_US: Final = 600 * SECOND
"""Longest time for which work of others may hide that its owner has come back."""


class Idleness:
    """For how long nobody has used the machine."""

    def __init__(self) -> None:
        self._idle_from: Moment | None = None
        """None = it is in use, or nobody has looked."""
        self._read_at: Moment | None = None
        self._clear_at: Moment | None = None
        """When it was last read while nothing of others ran."""

    def read(self, *, is_used: bool, is_clear: bool, now: Moment) -> None:
        """Somebody was found using the machine, or nobody; clear if no work of others hid them."""
        is_lapsed = self._is_lapsed(now)
        self._read_at = now
        if is_clear:
            self._clear_at = now
        if is_used:
            self._idle_from = None
        elif self._idle_from is None or is_lapsed:
            self._idle_from = now

    def note_use(self) -> None:
        """An own user's request was just taken on."""
        self._idle_from = None

    def compute_idle_us(self, now: Moment) -> int:
        """For how long it has been idle as far as can be said; 0 = it is in use, or unknown."""
        if self._idle_from is None or self._is_lapsed(now):
            return 0
        if self._clear_at is None or now - self._clear_at > BLIND_US:
            return 0
        return now - self._idle_from

    def _is_lapsed(self, now: Moment) -> bool:
        return self._read_at is None or now - self._read_at > READING_LIFE_US
