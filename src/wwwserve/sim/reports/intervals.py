"""What a handful of seeds tells of a mean: 95 % intervals, of one strategy and of two compared.

Runs are paired by seed: the same requests, so what differs is the strategy. Student's t, two-sided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""The 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom."""
_NORMAL95 = 1.960


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where it lies with 95 % confidence; of one seed nothing is known but itself."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


def compute_interval(values: Sequence[float]) -> Interval:
    """The interval of the mean of at least one value."""
    count = len(values)
    mean = sum(values) / count
    if count == 1:
        return Interval(mean, None, None, 1)
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    half = get_t95(count - 1) * sqrt(variance / count)
    return Interval(mean, mean - half, mean + half, count)


def get_t95(degrees: int) -> float:
    """The quantile by which a standard error is multiplied; slightly wide above 30 degrees."""
    if degrees <= len(_T95):
        return _T95[degrees - 1]
    # The last of the table shrinks to the normal one as 1 over the degrees.
    return _NORMAL95 + (_T95[-1] - _NORMAL95) * len(_T95) / degrees


def compute_paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """The interval of the mean difference of runs with the same seeds."""
    return compute_interval([one - other for one, other in zip(ours, theirs, strict=True)])
