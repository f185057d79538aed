"""Two orders of waiting: requests by when to look at them next, and the queue by who is due first.

Both are sorted lists with exact removal, so that nothing stale piles up in them; at their bounds an
insertion moves some 160 kB, which takes microseconds.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator

from wwwserve.core.requests.state import OpenRequest, PlaceKey
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


QueueKey = tuple[bool, int, Moment, Moment, RequestId]


class Queue:
    """Own users' requests without a place: by class, then who is due first, then by arrival.

    Who will be late wherever it runs comes after all who will not; of these the shortest first.
    """

    def __init__(self) -> None:
        self._sorted: list[QueueKey] = []
        self._requests: dict[RequestId, OpenRequest] = {}
        self._waiting: Counter[PlaceKey] = Counter()
        self._places: dict[RequestId, list[PlaceKey]] = {}
        self._late = 0

    def __len__(self) -> int:
        return len(self._sorted)

    def __iter__(self) -> Iterator[OpenRequest]:
        """Those waiting, in order, as of now: adding and removing while walking is safe."""
        return (self._requests[key[-1]] for key in list(self._sorted) if key[-1] in self._requests)

    def add(self, request: OpenRequest, places: list[PlaceKey]) -> None:
        """It waits; `places` are the own models that could run it."""
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

    def remove(self, request: OpenRequest) -> list[PlaceKey]:
        """It waits no more; gives the own models that could have run it."""
        places = self._places[request.request]
        self.set_places(request, [])
        del self._places[request.request]
        self._late -= request.is_late
        del self._sorted[bisect_left(self._sorted, _get_key(request))]
        del self._requests[request.request]
        return places

    def list_for(self, place: PlaceKey) -> Iterator[OpenRequest]:
        """Those an own model could run, in order, as of now."""
        return (request for request in self if place in self._places[request.request])

    def count_hopeful(self) -> int:
        """How many of those waiting can still be in time, as far as is known."""
        return len(self._sorted) - self._late

    def count_waiting(self, place: PlaceKey) -> int:
        """How many of those waiting an own model could run."""
        return self._waiting[place]


def _get_key(request: OpenRequest) -> QueueKey:
    if request.is_late:
        due_at = Moment(request.expected_tokens)
    else:
        due_at = min(request.deadline_at, request.due_at)
    return request.is_late, request.summary.priority, due_at, request.arrived_at, request.request
