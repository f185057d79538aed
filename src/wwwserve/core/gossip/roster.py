"""Whose turn it is: everybody once in each round, in an order nobody can foresee (SWIM 4.3)."""

from collections.abc import Callable

from wwwserve.core.entropy import Entropy
from wwwserve.values.ids import NodeId


class Roster:
    """A list shuffled while it is walked: each draw swaps a random one of the rest to the front.

    So a newcomer's turn comes at a random place of the round it joined in, and no call walks all.
    """

    __slots__ = ("_entropy", "_known", "_order", "_served")

    def __init__(self, entropy: Entropy) -> None:
        """Nobody yet."""
        self._entropy = entropy
        self._order: list[NodeId] = []
        self._known: dict[NodeId, None] = {}
        self._served = 0

    def add(self, node: NodeId) -> None:
        """Give a node its turns; nothing if it has them."""
        if node not in self._known:
            self._known[node] = None
            self._order.append(node)

    def draw(self, is_wanted: Callable[[NodeId], bool]) -> NodeId | None:
        """The next one, or None if nobody is left; those no longer wanted are struck off."""
        while self._order:
            if self._served >= len(self._order):
                self._served = 0
            order = self._order
            chosen = self._served + self._entropy.below(len(order) - self._served)
            order[chosen], order[self._served] = order[self._served], order[chosen]
            node = order[self._served]
            if is_wanted(node):
                self._served += 1
                return node
            order[self._served] = order[-1]
            order.pop()
            del self._known[node]
        return None
