"""Who was turned away here for want of room, so that they hear when there is some.

Their requests wait at their origins, which would otherwise learn of room only by asking again and
again. A node hears once for each time it was turned away, those who wait longest first and few at a
time: what became free is taken by the first of them.
"""

from wwwserve.core.requests.rules import INVITED_AT_ONCE_MAX, INVITED_MAX, TURNED_AWAY_US
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment, after


class Invitations:
    """The nodes that were turned away lately, the longest waiting first; at most `INVITED_MAX`."""

    def __init__(self) -> None:
        self._since: dict[NodeId, Moment] = {}

    def __len__(self) -> int:
        return len(self._since)

    def note(self, node: NodeId, now: Moment) -> None:
        """A node was turned away, though not for the first time perhaps."""
        if node not in self._since and len(self._since) >= INVITED_MAX:
            del self._since[next(iter(self._since))]
        # One that is known keeps its place, and is not taken for gone.
        self._since[node] = now

    def take_next(self, now: Moment) -> list[NodeId]:
        """Those to be told now that there is room; they are forgotten, as are the long silent."""
        taken: list[NodeId] = []
        for node, since in list(self._since.items()):
            if len(taken) == INVITED_AT_ONCE_MAX:
                break
            del self._since[node]
            if now < after(since, TURNED_AWAY_US):
                taken.append(node)
        return taken
