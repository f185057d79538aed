"""What was measured of an engine at different loads, and what follows for the others."""

from bisect import bisect

BATCHING_SLOTS_MIN = 16
"""An engine that takes so many at once computes them together: shared out, its speed would be of
use to nobody."""
_BATCHING_STEPS = 8
"""It slows down by one of so many parts each time its runs double, until that was measured."""
_SHIFT = 3


class Curve:
    """One whole number for each power of two of runs at once: 1, 2, 3-4, 5-8 ... share one."""

    __slots__ = ("_cold", "_known")

    def __init__(self, cold: int) -> None:
        """`cold` holds until anything was measured."""
        self._cold = cold
        self._known: dict[int, int] = {}

    def learn(self, runs: int, sample: int) -> None:
        """So it was with so many runs at once: an eighth of what is held of them from now on."""
        level = _get_level(runs)
        known = self._known.get(level)
        self._known[level] = sample if known is None else known + ((sample - known) >> _SHIFT)

    def read(self, runs: int, slots: int) -> int:
        """What to expect of so many runs at once, on an engine that takes `slots`."""
        level = _get_level(runs)
        if level in self._known:
            return self._known[level]
        if not self._known:
            return self._cold
        levels = sorted(self._known)
        above = bisect(levels, level)
        if above == 0:
            return self._extrapolate(levels[0], level, slots)
        if above == len(levels):
            return self._extrapolate(levels[-1], level, slots)
        low, high = levels[above - 1], levels[above]
        rise = self._known[high] - self._known[low]
        return self._known[low] + rise * (level - low) // (high - low)

    def _extrapolate(self, measured: int, wanted: int, slots: int) -> int:
        """Beyond all that was measured, from the nearest."""
        value = self._known[measured]
        if slots >= BATCHING_SLOTS_MIN:
            steps = _BATCHING_STEPS + abs(wanted - measured)
            if wanted > measured:
                return value * steps // _BATCHING_STEPS
            return value * _BATCHING_STEPS // steps
        # Between batching for free (no change) and sharing (in proportion) the middle is assumed.
        return value * ((1 << measured) + (1 << wanted)) // (2 << measured)


def _get_level(runs: int) -> int:
    """The power of two nearest above, as its exponent."""
    return (max(runs, 1) - 1).bit_length()
