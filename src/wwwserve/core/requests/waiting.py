"""Two orders of waiting: requests by when to look at them next, and the queue by who is next.

Both are sorted lists with exact removal, so that nothing stale piles up in them; at their bounds an
insertion moves some 160 kB, which takes microseconds.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator

from wwwserve.core.requests.state import OpenRequest, PlaceKey
from wwwserve.core.requests.turns import Line, Turn
from wwwserve.values.ids import RequestId
from wwwserve.values.moments import NEVER, Moment


class Deadlines:
    """One moment for each request: when it wants to be looked at without any other event."""

    def __init__(self) -> None:
        self._sorted: list[tuple[Moment, RequestId]] = []
        self._moments: dict[RequestId, Moment] = {}

    def set(self, request: RequestId, moment: Moment) -> None:
        """Look at it then; at `NEVER`, not."""
        if self._moments.get(request, NEVER) == moment:
            return
        self.forget(request)
        if moment < NEVER:
            insort(self._sorted, (moment, request))
            self._moments[request] = moment

    def forget(self, request: RequestId) -> None:
        """Do not look at it any more."""
        known = self._moments.pop(request, None)
        if known is not None:
            del self._sorted[bisect_left(self._sorted, (known, request))]

    def get_next(self) -> Moment:
        """The earliest moment."""
        return self._sorted[0][0] if self._sorted else NEVER

    def get_due(self, now: Moment, count: int) -> list[RequestId]:
        """Up to `count` requests whose moment has come, the earliest first; none is forgotten."""
        end = bisect_left(self._sorted, (Moment(now + 1), b""))
        return [request for _, request in self._sorted[: min(end, count)]]


QueueKey = tuple[bool, int, Moment, int, Moment, RequestId]
LineKey = tuple[int, str]
"""A class, and the first own model that could run it; none: an empty name."""


class Queue:
    """Own users' requests without a place: by class, then who is due first, then by arrival.

    Of those who are due at no time, clients take turns. Who will be late wherever it runs comes
    after all who will not; of these the shortest first.
    """

    def __init__(self) -> None:
        self._sorted: list[QueueKey] = []
        self._requests: dict[RequestId, OpenRequest] = {}
        self._waiting: Counter[PlaceKey] = Counter()
        self._places: dict[RequestId, list[PlaceKey]] = {}
        self._late = 0
        self._lines: dict[LineKey, Line] = {}
        """Of those who are due at no time; each has somebody who waits."""

    def __len__(self) -> int:
        return len(self._sorted)

    def __iter__(self) -> Iterator[OpenRequest]:
        """Those waiting, in order, as of now: adding and removing while walking is safe."""
        return (self._requests[key[-1]] for key in list(self._sorted) if key[-1] in self._requests)

    def add(self, request: OpenRequest, places: list[PlaceKey]) -> None:
        """It waits; `places` are the own models that could run it."""
        if _compute_due_at(request) == NEVER:
            self._line_up(request, places)
        insort(self._sorted, _get_key(request))
        self._late += request.is_late
        self._requests[request.request] = request
        self._places[request.request] = places
        self._waiting.update(places)

    def set_places(self, request: OpenRequest, places: list[PlaceKey]) -> None:
        """Other own models could run it now."""
        known = self._places[request.request]
        if places != known:
            self._waiting.subtract(known)
            self._waiting.update(places)
            self._places[request.request] = places

    def begin(self, request: OpenRequest) -> None:
        """It is to run, and then to be removed: its client had its turn."""
        if request.turn is not None:
            request.turn.line.begin(request.turn)

    def remove(self, request: OpenRequest) -> list[PlaceKey]:
        """It waits no more; gives the own models that could have run it."""
        places = self._places[request.request]
        self.set_places(request, [])
        del self._places[request.request]
        self._late -= request.is_late
        del self._sorted[bisect_left(self._sorted, _get_key(request))]
        del self._requests[request.request]
        if request.turn is not None:
            request.turn.line.leave(request.turn)
            self._lines = {key: line for key, line in self._lines.items() if len(line)}
        return places

    def list_for(self, place: PlaceKey) -> Iterator[OpenRequest]:
        """Those an own model could run, in order, as of now."""
        return (request for request in self if place in self._places[request.request])

    def find_surplus(self, newcomer: OpenRequest) -> OpenRequest:
        """Who goes if one is too many: the newcomer, or the last of whose client has most waiting.

        Only among those who are due at no time, and only for a client that has fewer; or as many,
        if it came before: what was tried elsewhere in vain does not lose its place for that.
        """
        if _compute_due_at(newcomer) < NEVER:
            return newcomer
        lined_up = [request for request in self._requests.values() if request.turn is not None]
        counts = Counter(request.client for request in (*lined_up, newcomer))
        most = max(counts.values())
        if counts[newcomer.client] == most:
            alike = (one for one in lined_up if counts[one.client] == most)
            return max((newcomer, *alike), key=_get_arrival)
        client = next(client for client, count in counts.items() if count == most)
        return max((one for one in lined_up if one.client == client), key=_get_key)

    def count_hopeful(self) -> int:
        """How many of those waiting can still be in time, as far as is known."""
        return len(self._sorted) - self._late

    def count_waiting(self, place: PlaceKey) -> int:
        """How many of those waiting an own model could run."""
        return self._waiting[place]

    def _line_up(self, request: OpenRequest, places: list[PlaceKey]) -> None:
        """Its client has one turn more, or one again that came to nothing."""
        key = request.summary.priority, places[0][1] if places else ""
        line = self._lines.setdefault(key, Line())
        if request.turn is not None and request.turn.line is line:
            line.rejoin(request.turn)
        else:
            request.turn = line.join(request.client, request.size_tokens)
        self._pass_younger(request, request.turn)

    def _pass_younger(self, request: OpenRequest, turn: Turn) -> None:
        """A client has its turns by arrival, also for what was tried elsewhere before it waited."""
        younger = [
            (other, its)
            for other in self._requests.values()
            if (its := other.turn) is not None
            and (its.line, its.client) == (turn.line, turn.client)
            and other.arrived_at > request.arrived_at
        ]
        if not younger:
            return
        own = sorted((one for one, _ in younger), key=_get_arrival)
        turns = sorted((turn, *(its for _, its in younger)), key=_get_start)
        for one, its in zip((request, *own), turns, strict=True):
            one.turn = its
        self._sorted = sorted(map(_get_key, self._requests.values()))


def _get_arrival(request: OpenRequest) -> tuple[Moment, RequestId]:
    return request.arrived_at, request.request


def _get_start(turn: Turn) -> int:
    return turn.start


def _compute_due_at(request: OpenRequest) -> Moment:
    """Until when its answer is worth something, or hoped for."""
    return min(request.deadline_at, request.due_at)


def _get_key(request: OpenRequest) -> QueueKey:
    return (
        request.is_late,
        request.summary.priority,
        Moment(request.expected_tokens) if request.is_late else _compute_due_at(request),
        request.turn.start if request.turn is not None else 0,
        *_get_arrival(request),
    )
