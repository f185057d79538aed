"""How many seats each node has, and draws in proportion to them."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from wwwserve.core.entropy import Entropy
from wwwserve.values.ids import NodeId

EQUAL_SEATS = 1
"""What a node has whose seats nobody recorded: all weigh the same until the ledger tells."""


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

        Nodes without seats are drawn last, all equally likely, when the seated do not suffice: who
        is new is not turned away while nobody else is there.
        """
        seated = [node for node in eligible if self.get_seats(node) > 0]
        drawn = self._draw_seated(count, entropy, seated)
        missing = min(count, len(eligible)) - len(drawn)
        if missing > 0:
            unseated = [node for node in eligible if self.get_seats(node) == 0]
            drawn += entropy.shuffle(unseated)[:missing]
        return tuple(drawn)

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
