"""Whose turn it is among own users' clients, when requests wait that are due at no time.

Start-time fair queueing: the requests of one client stand in line at the distance of their sizes in
tokens, and who begins to wait stands where those who begin to run stand now. So a client that asks
for much waits behind its own requests, not others behind them.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass

from wwwserve.values.limits import QUEUE_LENGTH_MAX

CLIENTS_MAX = QUEUE_LENGTH_MAX
"""Clients of whom a line remembers how much they had; of more, who had least counts as new."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a request stands, also when what it began came to nothing and it waits again.

    Both are tokens asked for since the line began: whole numbers without a bound, as nothing but
    memory bounds Python's; at a million a second they would have 19 digits in 100,000 years.
    """

    line: "Line"
    client: str
    start: int
    """The least is next."""
    end: int
    """Its client's next request stands here at the earliest."""


class Line:
    """Those who wait for the same, from the first of them until nobody is left.

    Then the line is forgotten, and with it who had how much: nobody was kept waiting for that.
    """

    def __init__(self) -> None:
        self._now = 0
        """Where those who began last stood: nobody who waits stands before it."""
        self._starts: list[int] = []
        """Of all who wait, sorted."""
        self._ends: dict[str, list[int]] = {}
        """The same by client, for those with a request that waits."""
        self._begun: dict[str, int] = {}
        """By client, the last end of those of its requests that began."""

    def __len__(self) -> int:
        return len(self._starts)

    def join(self, client: str, tokens: int) -> Turn:
        """A client's next request waits, of so many tokens."""
        behind = self._ends[client][-1] if client in self._ends else 0
        start = max(self._now, self._begun.get(client, 0), behind)
        turn = Turn(self, client, start, start + max(tokens, 1))
        self._add(turn)
        return turn

    def rejoin(self, turn: Turn) -> None:
        """One that began came to nothing: it waits where it stood, and is not counted."""
        if self._begun.get(turn.client) == turn.end:
            self._begun[turn.client] = turn.start
        self._add(turn)

    def begin(self, turn: Turn) -> None:
        """One that waits is to run: its client had so much."""
        self._now = max(self._now, self._starts[0])
        if turn.client not in self._begun and len(self._begun) >= CLIENTS_MAX:
            del self._begun[min(self._begun, key=self._begun.__getitem__)]
        self._begun[turn.client] = max(self._begun.get(turn.client, 0), turn.end)

    def leave(self, turn: Turn) -> None:
        """One waits no more; if it did not begin, its client's next may stand in its place."""
        del self._starts[bisect_left(self._starts, turn.start)]
        ends = self._ends[turn.client]
        del ends[bisect_left(ends, turn.end)]
        if not ends:
            del self._ends[turn.client]

    def _add(self, turn: Turn) -> None:
        insort(self._starts, turn.start)
        insort(self._ends.setdefault(turn.client, []), turn.end)
