"""Own users' requests: what each event means for one of them."""

from collections import deque

from wwwserve.core.effects import Report, RequestError, RequestErrorCode
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import CancelRequest, StreamEnded, StreamFailed, SubmitRequest
from wwwserve.core.facts import PeerRefused
from wwwserve.core.placing import Objective
from wwwserve.core.requests.book import Book
from wwwserve.core.requests.capacity import Capacity
from wwwserve.core.requests.events import ProbeFailed, QuoteReceived, RoomHeard
from wwwserve.core.requests.placement import Placement
from wwwserve.core.requests.questions import Strangers
from wwwserve.core.requests.redispatch import Redispatch
from wwwserve.core.requests.rounds import Rounds
from wwwserve.core.requests.rules import (
    DECLINES_TRUSTED,
    LOOKED_AT_MAX,
    OFFERS_MAX,
    REPROBE_JITTER_PERMILLE,
    REPROBE_PERIOD_US,
    REPROBES_MAX,
    RETRY_HERE_US,
    RETRY_MAX_US,
    ROOM_PROBES_MAX,
    ROOM_SPACING_US,
    STEPS_MAX,
    USER_DEADLINE_MAX_US,
    USER_RETRY_US,
    compute_excluded_until,
    compute_failed_until,
    compute_user_deadline,
    describe_no_place,
    is_engine_fault,
    is_node_fault,
    is_retried,
)
from wwwserve.core.requests.state import START, OpenRequest, Phase, Run, Tally, get_place_key
from wwwserve.core.sessions import ServedModel
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import ATTEMPTS_MAX, MEMBERS_MAX, REQUESTS_OPEN_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, Moment, after
from wwwserve.values.refusals import FailureKind


class Origin:
    """The origin's half of the machine; it adds its effects to the book's."""

    def __init__(
        self,
        own: NodeId,
        *,
        capacity: Capacity,
        strangers: Strangers,
        entropy: Entropy,
        tally: Tally,
    ) -> None:
        self._own = own
        self._capacity = capacity
        self._routing = strangers.routing
        self._entropy = entropy
        self._rounds = Rounds(entropy)
        self.book = Book(own, capacity, self._rounds, strangers, tally)
        self._placement = Placement(
            own,
            book=self.book,
            capacity=capacity,
            rounds=self._rounds,
            strangers=strangers,
        )
        self.redispatch = Redispatch(self.book, self._placement, self._rounds, strangers)
        self._decidable: deque[RequestId] = deque()
        """Requests whose round was completed by the loss of a node."""
        self._rooms: dict[NodeId, Moment] = {}
        """When each node was last heard to have room."""
        self._reprobe_at = NEVER
        self._has_room_news = False
        """Whether a slot may have become free since the queue was last served."""
        self.is_leaving = False
        """Whether no request is taken on any more."""

    # -- commands --------------------------------------------------------------------------------

    def leave(self) -> None:
        """No request is taken on any more."""
        self.is_leaving = True

    def submit(self, event: SubmitRequest, now: Moment) -> None:
        """Take on a request, and find it a place."""
        name = RequestId(event.summary.request)
        if self.book.get(name) is not None:
            # A second end under the same name would end the first one's user.
            fact = PeerRefused(self._own, "request-id", "a request of this id is open already")
            self.book.effects.append(Report(fact))
            return
        request = OpenRequest(
            request=name,
            summary=self._routing.expect(event.client, event.summary),
            route=event.route,
            allowed=event.allowed_executors,
            arrived_at=now,
            deadline_at=compute_user_deadline(event.summary, now),
            objective=event.objective,
            body_digest=event.body_digest,
            cost_max=event.cost_max,
            price_max=event.price_max,
            client=event.client,
        )
        if request.objective is not None:
            self._note_due(request, request.objective)
        error = self._judge_submission(request)
        self.book.open(request)
        if error is not None:
            self.book.end(request, error, now)
        else:
            self._placement.waive_context(request)
            self._place(request, now)

    def _place(self, request: OpenRequest, now: Moment) -> None:
        self._placement.place(request, now)
        if request.phase is Phase.QUEUED and request.objective is None:
            # It stands behind others, who may not be able to use the room there is.
            self._has_room_news = True

    def _note_due(self, request: OpenRequest, objective: Objective) -> None:
        """By when its user hopes for an answer as long as is expected."""
        summary = request.summary
        tokens = self._routing.predict_tokens(summary, ModelId(summary.models[0]))
        request.expected_tokens = tokens - summary.prompt_tokens
        bound_us = objective.compute_bound_us(summary.prompt_tokens, request.expected_tokens)
        request.due_at = after(request.arrived_at, min(bound_us, USER_DEADLINE_MAX_US))

    def cancel(self, event: CancelRequest, now: Moment) -> None:
        """The user has gone."""
        request = self.book.get(event.request)
        if request is not None:
            error = RequestError(RequestErrorCode.CANCELLED, "the user went away")
            self._end(request, error, now)

    # -- quotes ----------------------------------------------------------------------------------

    def take_quote(self, event: QuoteReceived, now: Moment) -> None:
        """An answer to a probe came, perhaps the last one waited for."""
        request = self._rounds.take_quote(event.peer, event.quote, now)
        if request is not None:
            self._decide(request, now)

    def take_probe_failure(self, event: ProbeFailed, now: Moment) -> None:
        """A probe could not be sent: its answer is not waited for."""
        request = self._rounds.take_failure(event.peer, event.probe.probe)
        if request is not None:
            self._decide(request, now)

    def take_room(self, event: RoomHeard, now: Moment) -> None:
        """A node that had no room has some: ask it for the first of those who wait."""
        heard_at = self._rooms.pop(event.peer, START)
        if len(self.book.queue) == 0 or now < after(heard_at, ROOM_SPACING_US):
            return
        if len(self._rooms) >= MEMBERS_MAX:
            del self._rooms[next(iter(self._rooms))]
        self._rooms[event.peer] = now
        self._rounds.forget_quote(event.peer)
        asked = 0
        for request in self.book.queue:
            if asked == ROOM_PROBES_MAX:
                return
            if request.round is None and not set(event.models).isdisjoint(request.summary.models):
                asked += self._placement.ask_one(request, event.peer, now)

    def is_asking(self, peer: NodeId) -> bool:
        """Whether a peer has yet to answer a probe."""
        return self._rounds.is_asking(peer)

    def lose_peer(self, peer: NodeId) -> None:
        """A peer answers nothing any more; what runs there has its own event."""
        self._decidable.extend(self._rounds.lose_node(peer))

    # -- runs ------------------------------------------------------------------------------------

    def finish_run(self, run: Run, event: StreamEnded, now: Moment) -> None:
        """An answer is whole."""
        self._note_room(run)
        if run.served is not None:
            self._capacity.note_success(run.served, event.usage)
        self.book.end_well(run, event, now)

    def fail_run(self, run: Run, event: StreamFailed, now: Moment) -> None:
        """An execution came to nothing: another place, unless the user would notice."""
        self._note_room(run)
        request = self.book.fail_run(run, event, now)
        self._note_failure(request, run, event, now)
        error = _judge_failure(request, event)
        if error is not None:
            self.book.end(request, error, now)
        else:
            self._place(request, now)

    def _note_failure(
        self, request: OpenRequest, run: Run, event: StreamFailed, now: Moment
    ) -> None:
        """Remember who failed it, and how long to keep it away from there."""
        self._rounds.forget_quote(run.executor)
        if event.kind is FailureKind.DECLINED:
            declines = request.declines.get(run.executor, 0) + 1
            request.declines[run.executor] = declines
            retry_us = event.retry_after_us if declines < DECLINES_TRUSTED else RETRY_MAX_US
            request.excluded[run.executor] = compute_excluded_until(now, retry_us)
            return
        request.failures += 1
        if run.served is not None:
            request.avoided[run.served.engine] = after(now, RETRY_HERE_US)
            if is_engine_fault(event.kind):
                self._capacity.note_failure(run.served, now)
        elif is_retried(event.kind):
            request.excluded[run.executor] = compute_failed_until(now, event.kind)
            if is_node_fault(event.kind):
                self.book.blame(run)

    # -- room and time ---------------------------------------------------------------------------

    def note_waiting(self, engine: str) -> None:
        """An engine is about to be read: it is to know whether requests wait for it."""
        for served in self._capacity.list_on(engine):
            if self.book.queue.count_waiting(get_place_key(served)):
                self._capacity.note_refusal(served)

    def note_room(self) -> None:
        """A slot may have become free: the queue is to be served."""
        self._has_room_news = True

    def get_next_deadline(self, now: Moment) -> Moment:
        """When to be called again; at once while something is left over."""
        if self._decidable or self.book.is_placing:
            return now
        if not len(self.book.queue):
            return self.book.get_next_deadline()
        return now if self._has_room_news else min(self.book.get_next_deadline(), self._reprobe_at)

    def work(self, now: Moment) -> None:
        """Move on what is due, at most `STEPS_MAX` requests of each kind."""
        if self.book.get_next_deadline() <= now or self._decidable:
            self._work_on_due(now)
        if not len(self.book.queue):
            # Nobody waits, as mostly: who comes next finds out by itself whether there is room.
            self._has_room_news, self._reprobe_at = False, NEVER
            return
        if self.book.is_placing:
            self.book.place_some()
        if self._has_room_news:
            self._serve_queue(now)
        self._probe_for_queue(now)

    def _work_on_due(self, now: Moment) -> None:
        for _ in range(min(len(self._decidable), STEPS_MAX)):
            request = self.book.get(self._decidable.popleft())
            if request is not None and request.round is not None and not request.round.waiting:
                self._decide(request, now)
        for request in self.book.get_due(now, STEPS_MAX):
            self._look_at(request, now)

    def _look_at(self, request: OpenRequest, now: Moment) -> None:
        if now >= request.deadline_at:
            error = RequestError(RequestErrorCode.DEADLINE, "the request's own deadline passed")
            self._end(request, error, now)
        elif request.phase is Phase.QUEUED and now >= request.queue_until:
            self._placement.end_wait(request, now)
        elif request.round is not None and now >= request.round.until:
            self._decide(request, now)
        elif not self.redispatch.look(request, now):
            self.book.set_deadline(request)

    def _serve_queue(self, now: Moment) -> None:
        """Give free slots to those waiting, in order."""
        started = 0
        for served in self._capacity.list_roomy(now):
            started += self._serve_from(served, STEPS_MAX - started, now)
            if started == STEPS_MAX:
                return
        self._has_room_news = self.book.is_placing

    def _serve_from(self, served: ServedModel, starts_max: int, now: Moment) -> int:
        """Give an own model's free slots to those waiting; returns how many started."""
        place = get_place_key(served)
        if self.book.queue.count_waiting(place) == 0:
            return 0
        started = looked = 0
        for request in self.book.queue.list_for(place):
            is_done = started == starts_max or looked == LOOKED_AT_MAX
            if is_done or not self._capacity.has_room(served):
                break
            if request.avoided.get(served.engine, START) > now:
                continue
            is_large = not self._placement.fits_here(request, served, now)
            if is_large and not request.is_late:
                # It would never start if all smaller ones behind it went first.
                break
            has_started = not is_large and self._placement.start_queued(request, now)
            started += has_started
            looked += not has_started
        return started

    def _probe_for_queue(self, now: Moment) -> None:
        """Look for other nodes for the first of the queue, now and then."""
        if not len(self.book.queue):
            self._reprobe_at = NEVER
            return
        if self._reprobe_at == NEVER:
            self._reprobe_at = self._compute_next_reprobe(now)
        if now < self._reprobe_at:
            return
        self._reprobe_at = self._compute_next_reprobe(now)
        looked = 0
        for request in self.book.queue:
            if looked == REPROBES_MAX:
                return
            if request.round is None and request.probe_from <= now:
                looked += 1
                self._placement.probe_again(request, now)

    def _compute_next_reprobe(self, now: Moment) -> Moment:
        # Jitter keeps the queues of many nodes from asking the same idle node in step.
        return after(now, self._entropy.jitter(REPROBE_PERIOD_US, REPROBE_JITTER_PERMILLE))

    # -- what the events share -------------------------------------------------------------------

    def _decide(self, request: OpenRequest, now: Moment) -> None:
        was = request.phase
        if was is Phase.RUNNING:
            self.redispatch.decide(request, now)
            return
        self._placement.decide(request, now)
        if was is Phase.QUEUED and request.run is not None:
            # There is a place somewhere: the next in the queue need not wait for its period.
            self._reprobe_at = now

    def _judge_submission(self, request: OpenRequest) -> RequestError | None:
        """Why a request cannot be taken on, if so."""
        if self.is_leaving:
            detail = "this node is shutting down; try another"
            return RequestError(RequestErrorCode.LEAVING, detail, USER_RETRY_US)
        if len(self.book) >= REQUESTS_OPEN_MAX:
            detail = f"{REQUESTS_OPEN_MAX} requests are open here already; try again later"
            return RequestError(RequestErrorCode.QUEUE_FULL, detail, USER_RETRY_US)
        if not self._routing.is_known(request.summary.models):
            detail = f"no node known serves {request.summary.models[0]}; see /v1/models"
            return RequestError(RequestErrorCode.MODEL_UNKNOWN, detail)
        return None

    def _note_room(self, run: Run) -> None:
        if run.served is not None:
            self._has_room_news = True

    def _end(self, request: OpenRequest, error: RequestError, now: Moment) -> None:
        run = self.book.get_run(request.run) if request.run is not None else None
        if run is not None:
            self._note_room(run)
        self.book.end(request, error, now)


def _judge_failure(request: OpenRequest, event: StreamFailed) -> RequestError | None:
    """Why a failed execution ends its request, if so; otherwise another is tried."""
    if not is_retried(event.kind):
        return RequestError(RequestErrorCode.REJECTED, event.detail, session=event.session)
    if event.is_delivered:
        detail = f"the answer broke off: {request.last_failure}"
        return RequestError(RequestErrorCode.FAILED, detail)
    if request.failures >= ATTEMPTS_MAX:
        detail = f"{request.failures} executions failed; the last one: {request.last_failure}"
        return RequestError(RequestErrorCode.FAILED, detail)
    if request.attempts >= OFFERS_MAX:
        return describe_no_place(request.summary)
    return None
