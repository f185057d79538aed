"""What the requests machine asks of the two strangers, which `core.peer` hands to it.

Both answer at once and from what they already know; asking changes nothing in them but the next
draw of chance.
"""

from collections.abc import Sequence
from typing import Protocol

from wwwserve.core.placing import (
    Bid,
    Estimate,
    LoadView,
    Partners,
    PeerRequest,
    Verdict,
    Wanted,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.wire import RequestSummary


class AsksPolicy(Protocol):
    """What this provider allows (`core.policy.Policy`)."""

    def decide_own(self, summary: RequestSummary, load: LoadView | None) -> Verdict:
        """Whether an own user's request runs here, looks for another node, or waits here."""
        ...

    def decide_wait(self, summary: RequestSummary) -> Verdict:
        """Whether an own user's request for which no place was found waits here."""
        ...

    def decide_offer(self, request: PeerRequest, load: LoadView) -> Verdict:
        """Whether another node's request runs here."""
        ...

    def compute_closed_us(self, now: Moment) -> int:
        """For how long nothing of other nodes is taken, whatever it is; 0 = it is taken now."""
        ...

    def get_partners(self, summary: RequestSummary, allowed: tuple[NodeId, ...]) -> Partners:
        """The nodes an own user's request may be sent to."""
        ...


class AsksRouting(Protocol):
    """Where a request could run (`core.routing.Routing`)."""

    def is_known(self, models: Sequence[str]) -> bool:
        """Whether anybody, dead or alive, offers one of these models."""
        ...

    def is_hopeful(self, wanted: Wanted) -> bool:
        """Whether another node could run it, now or soon."""
        ...

    def draw(self, wanted: Wanted, count: int, now: Moment) -> tuple[NodeId, ...]:
        """Up to `count` candidates that could run it now."""
        ...

    def predict_tokens(self, summary: RequestSummary, model: ModelId) -> int:
        """What a request will come to in an engine's cache: its prompt and its answer."""
        ...

    def estimate(self, summary: RequestSummary, model: ModelId, load: LoadView) -> Estimate:
        """When a request would begin and finish on this node."""
        ...

    def rank(self, bids: Sequence[Bid], now: Moment) -> tuple[Bid, ...]:
        """The bids with what they really mean, best first."""
        ...
