"""The seats of this epoch's snapshot, as a table that computes itself: nothing is ever copied."""

from collections.abc import Iterator, Mapping

from wwwserve.core.ledger.money import get_seats
from wwwserve.core.ledger.state import State
from wwwserve.values.ids import NodeId


class SeatSnapshot(Mapping[NodeId, int]):
    """Seats by node, of those that have any, as they were when the epoch began."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        """A view of the ledger's state."""
        self._state = state

    def __getitem__(self, node: NodeId) -> int:
        seats = get_seats(self._state, node)
        if not seats:
            raise KeyError(node)
        return seats

    def __iter__(self) -> Iterator[NodeId]:
        return (node for node in self._state.accounts if get_seats(self._state, node))

    def __len__(self) -> int:
        return sum(1 for _ in self)
