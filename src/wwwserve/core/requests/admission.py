"""Which of other nodes' requests run here: abilities, engines, room and the policy together."""

from collections import Counter
from typing import assert_never

from msgspec.structs import replace

from wwwserve.core.placing import (
    Accepted,
    Declined,
    LoadView,
    PeerRequest,
    Queued,
    fits_context,
    has_capabilities,
)
from wwwserve.core.requests.capacity import Capacity
from wwwserve.core.requests.questions import Strangers
from wwwserve.core.requests.rules import choose_reason
from wwwserve.core.requests.state import Work, get_place_key
from wwwserve.core.requests.waiting import Queue
from wwwserve.core.sessions import ServedModel
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import WORKS_OPEN_MAX
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import RequestSummary


class Admission:
    """Says which own model may run a request of another node now, or why none may."""

    def __init__(self, capacity: Capacity, queue: Queue, strangers: Strangers) -> None:
        """`queue`: own users' requests that wait, for which others may have to step back."""
        self._capacity = capacity
        self._queue = queue
        self._policy = strangers.policy
        self._strangers = strangers
        self._running: Counter[NodeId] = Counter()
        """Works of each origin."""
        self._works = 0
        """Of all of them, at most `WORKS_OPEN_MAX`."""
        self.is_draining = False
        """Whether no work of others is taken on any more."""

    # -- what it is told -------------------------------------------------------------------------

    def note_start(self, origin: NodeId) -> None:
        """A work of this node begins to run."""
        self._works += 1
        self._running[origin] += 1

    def note_end(self, origin: NodeId) -> None:
        """A work of this node is over."""
        self._works -= 1
        self._running[origin] -= 1
        if self._running[origin] == 0:
            del self._running[origin]

    # -- what it is asked ------------------------------------------------------------------------

    def choose(
        self, peer: NodeId, summary: RequestSummary, models: tuple[str, ...], now: Moment
    ) -> ServedModel | DeclineReason:
        """The first own model that may and can run it now, or the most hopeful reason why none."""
        if self.is_draining:
            return DeclineReason.DRAINING
        if self._works >= WORKS_OPEN_MAX:
            return DeclineReason.BUSY
        reasons: list[DeclineReason] = []
        for model in models:
            for served in self._capacity.list_ranked(model, now):
                reason = self._judge(PeerRequest(peer, summary, served.offer), served, now)
                if reason is None:
                    return served
                if reason is DeclineReason.BUSY:
                    self._capacity.note_refusal(served)
                reasons.append(reason)
        return choose_reason(reasons)

    def can_go_on(self, work: Work, served: ServedModel, now: Moment) -> bool:
        """Whether a work that was taken on already may be run by this own model instead.

        Neither draining nor the policy keeps it from going on, but own users come first there too.
        """
        if not (
            has_capabilities(served.offer, work.summary)
            and fits_context(served.offer, work.summary)
            and self._capacity.is_ready(served, now)
        ):
            return False
        load = self.get_load(work.origin, work.summary, served, now)
        return self._policy.has_room_for_others(load)

    def get_load(
        self, peer: NodeId, summary: RequestSummary, served: ServedModel, now: Moment
    ) -> LoadView:
        """How busy a model is for a request of another node."""
        tokens = self._strangers.predict_tokens(summary, served)
        waiting = self._queue.count_waiting(get_place_key(served))
        return replace(
            self._capacity.get_load(served, tokens, now),
            own_waiting=self._capacity.compute_share(served, waiting, now),
            peer_running=self._works,
            asker_running=self._running[peer],
        )

    def get_load_of_all(self, served: ServedModel, now: Moment) -> LoadView:
        """How busy a model is for a request of the usual size."""
        waiting = self._queue.count_waiting(get_place_key(served))
        return replace(
            self._capacity.get_load(served, 0, now),
            own_waiting=self._capacity.compute_share(served, waiting, now),
        )

    def _judge(
        self, request: PeerRequest, served: ServedModel, now: Moment
    ) -> DeclineReason | None:
        """Why one model does not run it; None if it does."""
        if not has_capabilities(request.offer, request.summary):
            return DeclineReason.UNSUPPORTED
        if not fits_context(request.offer, request.summary):
            return DeclineReason.TOO_LARGE
        load = self.get_load(request.asker, request.summary, served, now)
        match self._policy.decide_offer(request, load, now):
            case Accepted():
                reason = None
            case Declined(said):
                reason = said
            case Queued():
                reason = DeclineReason.BUSY
            case other:
                assert_never(other)
        is_lasting = reason not in {None, DeclineReason.BUSY}
        if is_lasting or self._capacity.is_ready(served, now):
            return reason
        return DeclineReason.ENGINE_DOWN
