"""Which node should run a request.

Rules of the machine:

- Membership records say who could run it; fresh quotes decide (stale load makes everybody run to
  the same node).
- Candidates are drawn without replacement in proportion to seats (`StakeTable`).
- The place that costs everybody the least time wins: its finish for the request, round trip
  included, and how much later all others there end because of it. This node wins ties.
- Every send counts at once against the quotes that do not know of it yet.
- Who ran a prompt's beginning last is asked beside those drawn; what its engine saves shortens its
  quote, which it has to keep like any other.
- A node that failed is left alone for a while, and longer each time.
- Every answer is a pure function of what it was told; nothing in here sends or starts anything.
"""

from wwwserve.core.routing.catalogue import MODELS_FOUND_MAX, SUGGESTIONS_MAX, Catalogue
from wwwserve.core.routing.choice import weigh
from wwwserve.core.routing.estimates import ESTIMATE_MAX_US, Estimates
from wwwserve.core.routing.forecast import Forecast, Load, Pace, Prospect, Room
from wwwserve.core.routing.history import (
    PENALTY_FIRST_US,
    PENALTY_MAX_US,
    PROMISE_FADE_US,
    SENDS_REMEMBERED_MAX,
    History,
)
from wwwserve.core.routing.lengths import Lengths, Sample, Statements
from wwwserve.core.routing.machine import Routing
from wwwserve.core.routing.prefixes import (
    CACHE_TOKENS_UNTOLD,
    PREFIX_FADE_US,
    PREFIXES_HELD_MAX,
    PREFIXES_RUN_MAX,
    Prefixes,
)
from wwwserve.core.routing.stake import EQUAL_SEATS, StakeTable

__all__ = [
    "CACHE_TOKENS_UNTOLD",
    "EQUAL_SEATS",
    "ESTIMATE_MAX_US",
    "MODELS_FOUND_MAX",
    "PENALTY_FIRST_US",
    "PENALTY_MAX_US",
    "PREFIXES_HELD_MAX",
    "PREFIXES_RUN_MAX",
    "PREFIX_FADE_US",
    "PROMISE_FADE_US",
    "SENDS_REMEMBERED_MAX",
    "SUGGESTIONS_MAX",
    "Catalogue",
    "Estimates",
    "Forecast",
    "History",
    "Lengths",
    "Load",
    "Pace",
    "Prefixes",
    "Prospect",
    "Room",
    "Routing",
    "Sample",
    "StakeTable",
    "Statements",
    "weigh",
]
