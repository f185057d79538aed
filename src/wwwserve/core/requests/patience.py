"""How long a request without a place waits on.

After `QUEUE_WAIT_US` it is told that there is none, unless one is to come; it then waits on, for
`DEFERRED_WAIT_US` at most in all. With an objective it is to come where a place is known, good
enough or not. Without one, where an own engine that could run it works through others, or where
another node that could has just said that it is only busy.
"""

from collections.abc import Sequence

from wwwserve.core.placing import Bid
from wwwserve.core.requests.capacity import Capacity
from wwwserve.core.requests.hearing import Heard
from wwwserve.core.requests.state import OpenRequest
from wwwserve.core.sessions import Route
from wwwserve.values.limits import DEFERRED_WAIT_US, QUEUE_WAIT_US
from wwwserve.values.moments import Moment, after


def compute_wait_until(request: OpenRequest, now: Moment) -> Moment:
    """Until when it waits if a place is to come as of now."""
    return min(after(now, QUEUE_WAIT_US), after(request.arrived_at, DEFERRED_WAIT_US))


def is_encouraged(request: OpenRequest, heard: Heard, ranked: Sequence[Bid]) -> bool:
    """Whether a place is to come after what was heard and bid for it."""
    return bool(ranked) if request.objective is not None else heard.is_busy


def may_wait_on(request: OpenRequest, capacity: Capacity, now: Moment) -> bool:
    """Whether an own place is to come for a request whose wait has reached its bound."""
    if request.route is Route.NETWORK or now >= after(request.arrived_at, DEFERRED_WAIT_US):
        return False
    able = capacity.list_able(request.summary, any_context=request.any_context)
    return any(request.objective is not None or capacity.is_working(served, now) for served in able)
