"""Whose turn it is: everybody once in each round, in an order nobody can foresee (SWIM 4.3)."""

from collections.abc import Iterator

from wwwserve.core.entropy import Entropy
from wwwserve.values.ids import NodeId


class Roster:
    """A list shuffled while it is walked: each draw swaps a random one of the rest to the front.

    So a newcomer's turn comes at a random place of the round it joined in, and no call walks all.
    """

    __slots__ = ("_entropy", "_order", "_places", "_served")

    def __init__(self, entropy: Entropy) -> None:
        """Nobody yet."""
        self._entropy = entropy
        self._order: list[NodeId] = []
        self._places: dict[NodeId, int] = {}
        """Where in the order each stands."""
        self._served = 0
        """How many at its beginning have had their turn in this round."""

    def __len__(self) -> int:
        """How many have turns."""
        return len(self._order)

    def __iter__(self) -> Iterator[NodeId]:
        """All who have turns."""
        return iter(self._order)

    def add(self, node: NodeId) -> None:
        """Give a node its turns; nothing if it has them."""
        if node not in self._places:
            self._places[node] = len(self._order)
            self._order.append(node)

    def remove(self, node: NodeId) -> None:
        """Take a node's turns away; nothing if it has none."""
        place = self._places.get(node)
        if place is None:
            return
        if place < self._served:
            self._served -= 1
            self._swap(place, self._served)
            place = self._served
        self._swap(place, len(self._order) - 1)
        del self._places[self._order.pop()]

    def draw(self) -> NodeId | None:
        """Whose turn it is now, or None if nobody has any."""
        order = self._order
        if not order:
            return None
        if self._served >= len(order):
            self._served = 0
        self._swap(self._served, self._served + self._entropy.below(len(order) - self._served))
        self._served += 1
        return order[self._served - 1]

    def _swap(self, one: int, other: int) -> None:
        order = self._order
        order[one], order[other] = order[other], order[one]
        self._places[order[one]], self._places[order[other]] = one, other
