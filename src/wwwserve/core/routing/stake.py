"""How many seats each node has, and draws in proportion to them."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from wwwserve.core.entropy import Entropy
from wwwserve.values.ids import NodeId

EXPLORED_PERMILLE = 30
"""Draws in which one without seats takes the place of the last one drawn: who is new would else
never have the work by which it could earn some."""
EQUAL_SEATS = 1
"""What a node has whose seats nobody recorded: all weigh the same until the ledger tells."""

_PERMILLE = 1000


class StakeTable:
    """Who is drawn how often: the seam by which the ledger will weigh the draw of candidates."""

    def __init__(self, seats: Mapping[NodeId, int] | None = None) -> None:
        """`seats` None: everybody has equal seats. Otherwise who is not in it has none."""
        self._seats = seats

    def get_seats(self, node: NodeId) -> int:
        """The seats of one node."""
        return EQUAL_SEATS if self._seats is None else self._seats.get(node, 0)

    def draw(self, count: int, entropy: Entropy, eligible: Sequence[NodeId]) -> tuple[NodeId, ...]:
        """Up to `count` different nodes, each in proportion to its seats among those left.

        Nodes without seats are drawn when the seated do not suffice, and else in the share of
        `EXPLORED_PERMILLE`, all equally likely.
        """
        seated = [node for node in eligible if self.get_seats(node) > 0]
        unseated = [node for node in eligible if self.get_seats(node) == 0]
        drawn = self._draw_seated(count, entropy, seated)
        if not unseated:
            return tuple(drawn)
        missing = min(count, len(eligible)) - len(drawn)
        if drawn and not missing and entropy.below(_PERMILLE) < EXPLORED_PERMILLE:
            # It is only asked: what it is given, its quote decides.
            drawn.pop()
            missing = 1
        return (*drawn, *entropy.shuffle(unseated)[:missing])

    def _draw_seated(self, count: int, entropy: Entropy, seated: list[NodeId]) -> list[NodeId]:
        drawn: list[NodeId] = []
        sums = list(accumulate(self.get_seats(node) for node in seated))
        for _ in range(min(count, len(seated))):
            place = bisect_right(sums, entropy.below(sums[-1]))
            node = seated.pop(place)
            drawn.append(node)
            # The seats of those behind it move up by its own; it is drawn without replacement.
            seats = self.get_seats(node)
            sums[place:] = [total - seats for total in sums[place + 1 :]]
        return drawn
