"""Drawing nodes by their weights."""

from collections.abc import Mapping
from itertools import accumulate

from wwwserve.core.entropy import Entropy


def draw_weighted(entropy: Entropy, weights: Mapping[int, int], count: int) -> list[int]:
    """Up to `count` different nodes, each in proportion to its weight among those left.

    In this order; who weighs nothing is never drawn. The order has the same distribution as that
    of Efraimidis and Spirakis (2006), from whole numbers.
    """
    left = {node: weight for node, weight in weights.items() if weight > 0}
    drawn: list[int] = []
    while left and len(drawn) < count:
        point = entropy.below(sum(left.values()))
        ends = accumulate(left.values())
        node = next(node for node, end in zip(left, ends, strict=True) if point < end)
        drawn.append(node)
        del left[node]
    return drawn
