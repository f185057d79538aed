"""Waiting times and lengths, drawn with whole numbers only: the same on every machine."""

from wwwserve.core.entropy import Entropy
from wwwserve.sim.plans import LengthPlan

_RESOLUTION = 2**32
_PERMILLE = 1000


def draw_exponential(entropy: Entropy, mean_us: int) -> int:
    """A waiting time of a Poisson process, exactly distributed (von Neumann, 1951).

    Uniform draws are compared, nothing is rounded but the result: the length of a falling run
    decides whether its first draw is taken.
    """
    whole = 0
    while True:
        first = last = entropy.below(_RESOLUTION)
        length = 1
        while (draw := entropy.below(_RESOLUTION)) < last:
            last = draw
            length += 1
        if length % 2:
            return mean_us * (whole * _RESOLUTION + first) // _RESOLUTION
        whole += 1


def draw_length(entropy: Entropy, plan: LengthPlan) -> int:
    """A number of tokens: even within each of the plan's stretches."""
    points = plan.get_points()
    share = entropy.below(_PERMILLE) if plan.quantiles else entropy.below(10) * _PERMILLE // 10
    after = next(index for index, (below, _) in enumerate(points) if share < below)
    low, high = points[after - 1][1], points[after][1]
    return low + entropy.below(high - low + 1)
