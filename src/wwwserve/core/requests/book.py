"""The open requests of own users, and the few steps by which each of them moves.

Every change of a request's phase is one method here, which also says what follows from it: so what
is queued, probed for, running, timed and counted cannot disagree.
"""

from collections import deque
from typing import assert_never

from wwwserve.core.effects import (
    EndRequest,
    Report,
    RequestError,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.events import StreamEnded, StreamFailed
from wwwserve.core.facts import (
    Alternative,
    AttemptFailed,
    AttemptStarted,
    RequestFinished,
    RequestQueued,
    RequestReceived,
    StartReason,
)
from wwwserve.core.lanes import Lane
from wwwserve.core.paying import PayOrder
from wwwserve.core.placing import (
    ExecutorFailed,
    OfferSent,
    RunMeasured,
    compute_text_bytes,
)
from wwwserve.core.requests.beginning import describe_own
from wwwserve.core.requests.capacity import Capacity
from wwwserve.core.requests.choosing import Choice, Place, compute_remaining
from wwwserve.core.requests.effects import RequestsEffect
from wwwserve.core.requests.patience import compute_wait_until
from wwwserve.core.requests.questions import Strangers
from wwwserve.core.requests.rounds import Rounds
from wwwserve.core.requests.rules import PLACINGS_MAX, describe_full
from wwwserve.core.requests.state import (
    OpenRequest,
    Phase,
    PlaceKey,
    Run,
    Tally,
    get_place_key,
)
from wwwserve.core.requests.waiting import Deadlines, Queue
from wwwserve.core.sessions import Role, Route, SessionId
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import ACCEPT_WAIT_US, QUEUE_LENGTH_MAX, QUEUE_WAIT_US
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, Moment, after
from wwwserve.wire import OFFER_VERSION, Offer, Usage


class Book:
    """All own users' requests, by phase."""

    def __init__(
        self, own: NodeId, capacity: Capacity, rounds: Rounds, strangers: Strangers, tally: Tally
    ) -> None:
        self._own = own
        self._strangers = strangers
        self._routing = strangers.routing
        self._capacity = capacity
        self._rounds = rounds
        self._tally = tally
        self._session = 0
        self._requests: dict[RequestId, OpenRequest] = {}
        self._runs: dict[SessionId, Run] = {}
        self._deadlines = Deadlines()
        self.queue = Queue()
        self._unplaced: deque[RequestId] = deque()
        """Queued requests for which the models served have changed since they were looked at."""
        self.effects: list[RequestsEffect] = []
        """What the steps since the last `take_effects` ask for."""

    def __len__(self) -> int:
        return len(self._requests)

    def get(self, request: RequestId) -> OpenRequest | None:
        """An open request."""
        return self._requests.get(request)

    def get_run(self, session: SessionId) -> Run | None:
        """A running execution; None once it was stopped or is over."""
        return self._runs.get(session)

    def get_next_deadline(self) -> Moment:
        """When the next request wants to be looked at."""
        return self._deadlines.get_next()

    def get_due(self, now: Moment, count: int) -> list[OpenRequest]:
        """Up to `count` requests that want to be looked at."""
        return [self._requests[request] for request in self._deadlines.get_due(now, count)]

    def take_effects(self) -> list[RequestsEffect]:
        """What was asked for since last time, in order."""
        effects, self.effects = self.effects, []
        return effects

    # -- the steps -------------------------------------------------------------------------------

    def open(self, request: OpenRequest) -> None:
        """A request was taken on."""
        self._requests[request.request] = request
        self._tally.requests += 1
        summary = request.summary
        self.effects.append(
            Report(RequestReceived(request.request, summary.models[0], summary.prompt_tokens))
        )
        self.set_deadline(request)

    def seek(self, request: OpenRequest, nodes: tuple[NodeId, ...], now: Moment) -> None:
        """These nodes are asked about it; one that is queued, or runs, stays so."""
        summary = compute_remaining(request, now)
        self.effects.extend(self._rounds.start(request, summary, nodes, now))
        self.set_deadline(request)

    def wait(self, request: OpenRequest, now: Moment) -> None:
        """It waits in the queue, for the first time until the bound of all its waiting is set."""
        assert request.phase is Phase.SEEKING
        assert request.round is None
        request.phase = Phase.QUEUED
        request.queue_until = min(request.queue_until, after(now, QUEUE_WAIT_US))
        model = ModelId(request.summary.models[0])
        request.size_tokens = self._routing.predict_tokens(request.summary, model)
        self.queue.add(request, self._list_places(request))
        self.effects.append(Report(RequestQueued(request.request, len(self.queue))))
        self.set_deadline(request)

    def make_room(self, request: OpenRequest, now: Moment) -> bool:
        """Whether the queue has a place for it; where it is full, one of them is told so."""
        if len(self.queue) < QUEUE_LENGTH_MAX:
            return True
        surplus = self.queue.find_surplus(request)
        self.end(surplus, describe_full(), now)
        return surplus is not request

    def extend_wait(self, request: OpenRequest, now: Moment) -> None:
        """A place is to come: it waits on for it."""
        request.queue_until = compute_wait_until(request, now)
        self.set_deadline(request)

    def note_late(self, request: OpenRequest, *, is_late: bool) -> None:
        """Whether it can still be in time: if not, those who can go first."""
        if request.phase is not Phase.QUEUED or request.is_late == is_late:
            request.is_late = is_late
            return
        places = self.queue.remove(request)
        request.is_late = is_late
        self.queue.add(request, places)

    def start_here(self, request: OpenRequest, place: Place, now: Moment) -> None:
        """It runs on an own engine."""
        served = place.served
        run = self._begin(request, self._own, served.offer.model, now)
        run.served = served
        run.tokens = place.tokens
        self._capacity.occupy(served, Role.ORIGIN, place.tokens)
        summary = compute_remaining(request, now)
        begun = describe_own(run.session, served, summary, request.client, now)
        self._routing.begin_run(begun, now)
        self._report_start(run, place.alternatives, place.reason, request.due_at)
        self.effects.append(StartLocal(run.session, request.request, served))

    def start_there(self, request: OpenRequest, choice: Choice, now: Moment) -> None:
        """It is offered to another node, with a hold that pays for it."""
        quote = choice.quote
        peer = choice.bid.node
        run = self._begin(request, peer, quote.model, now)
        run.quoted_us = quote.finish_us
        run.expected = choice.bid
        summary = compute_remaining(request, now)
        order = PayOrder(
            session=run.session,
            executor=peer,
            quote=quote,
            summary=summary,
            body_digest=request.body_digest,
            cost_max=request.cost_max,
        )
        paid = self._strangers.payments.pay(order, now)
        offer = Offer(
            version=OFFER_VERSION,
            summary=summary,
            attempt=request.attempts,
            model=quote.model,
            payment=paid.frame if paid is not None else b"",
        )
        if paid is not None:
            self.effects.extend(paid.writes)
            self._strangers.policy.note_hold(run.session, paid.terms.terms, now)
        self._report_start(run, choice.alternatives, choice.reason, request.due_at)
        self.effects.append(
            StartRemote(
                session=run.session,
                request=request.request,
                peer=peer,
                offer=offer,
                accept_wait_us=ACCEPT_WAIT_US,
                payment=paid.terms if paid is not None else None,
                lane=Lane.FEED if paid is not None else None,
            )
        )
        self.effects.append(OfferSent(peer))

    def fail_run(self, run: Run, event: StreamFailed, now: Moment) -> OpenRequest:
        """An execution came to nothing; its request is without a place again."""
        request = self._finish_run(run, now)
        self.effects.append(
            Report(
                AttemptFailed(
                    request.request,
                    run.session,
                    run.executor,
                    event.kind,
                    event.decline,
                    event.detail,
                )
            )
        )
        request.last_failure = event.detail or event.kind.name.lower()
        request.phase = Phase.SEEKING
        request.rounds = 0
        self.set_deadline(request)
        return request

    def blame(self, run: Run) -> None:
        """The node that ran it is at fault."""
        if run.served is None:
            self.effects.append(ExecutorFailed(run.executor))

    def end_well(self, run: Run, event: StreamEnded, now: Moment) -> None:
        """The whole answer was delivered."""
        served = run.served
        run.completion_tokens = event.usage.completion_tokens
        request = self._finish_run(run, now, is_whole=True)
        first_output_at = run.first_output_at if run.first_output_at is not None else now
        self.effects.append(
            RunMeasured(
                node=run.executor,
                engine=served.engine if served is not None else "",
                model=ModelId(run.model),
                prompt_tokens=event.usage.prompt_tokens or request.summary.prompt_tokens,
                completion_tokens=event.usage.completion_tokens,
                completion_tokens_max=request.summary.completion_tokens_max,
                first_output_us=first_output_at - run.started_at,
                total_us=now - run.started_at,
                quoted_us=run.quoted_us,
                body_bytes=compute_text_bytes(request.summary),
                prefixes=request.summary.prefixes,
                cached_tokens=event.usage.cached_tokens,
                kv_tokens=self._capacity.get_kv_tokens(served) if served is not None else 0,
                client=request.client,
                expected_tokens=request.summary.completion_tokens_expected,
            )
        )
        self._tally.answered += 1
        self._tally.offloaded += run.served is None
        self._end(request, None, event.usage, now)

    def end(self, request: OpenRequest, error: RequestError, now: Moment) -> None:
        """It ends without (the rest of) an answer, from whatever phase it is in."""
        self.leave_queue(request)
        run = self._runs.get(request.run) if request.run is not None else None
        if run is not None:
            self._finish_run(run, now)
            self.effects.append(StopSession(run.session))
        last = request.last_run
        usage = Usage(0, last.completion_tokens if last is not None else 0)
        self._tally.failed += 1
        self._end(request, error, usage, now)

    def leave_queue(self, request: OpenRequest) -> None:
        """It waits for nothing any more: neither for its turn nor for quotes."""
        self._rounds.end(request)
        if request.phase is Phase.QUEUED:
            self.queue.remove(request)
            request.phase = Phase.SEEKING

    def set_deadline(self, request: OpenRequest) -> None:
        """When it wants to be looked at next, from all it waits for."""
        moment = request.deadline_at
        if request.round is not None:
            moment = min(moment, request.round.until)
        match request.phase:
            case Phase.QUEUED:
                moment = min(moment, request.queue_until)
            case Phase.RUNNING:
                run = self._runs.get(request.run) if request.run is not None else None
                moment = min(moment, run.look_at if run is not None else NEVER)
            case Phase.SEEKING:
                pass
            case _:
                assert_never(request.phase)
        self._deadlines.set(request.request, moment)

    def note_models(self) -> None:
        """Other models are served: which of them could run those waiting may have changed."""
        self._unplaced = deque(request.request for request in self.queue)

    @property
    def is_placing(self) -> bool:
        """Whether it has yet to be seen which of the models could run some of those waiting."""
        return len(self._unplaced) > 0

    def place_some(self) -> None:
        """See it for the next `PLACINGS_MAX` of them."""
        for _ in range(min(len(self._unplaced), PLACINGS_MAX)):
            request = self.get(self._unplaced.popleft())
            if request is not None and request.phase is Phase.QUEUED:
                self.queue.set_places(request, self._list_places(request))

    # -- what the steps share --------------------------------------------------------------------

    def _list_places(self, request: OpenRequest) -> list[PlaceKey]:
        if request.route is Route.NETWORK:
            return []
        able = self._capacity.list_able(request.summary, any_context=request.any_context)
        return [get_place_key(served) for served in able]

    def _begin(self, request: OpenRequest, executor: NodeId, model: str, now: Moment) -> Run:
        assert request.run is None
        if request.phase is Phase.QUEUED:
            self.queue.begin(request)
        self.leave_queue(request)
        self._session += 1
        session = SessionId(Role.ORIGIN, self._session)
        run = Run(session, request.request, executor, model, started_at=now)
        self._runs[session] = run
        request.attempts += 1
        request.phase = Phase.RUNNING
        request.run = session
        request.last_run = run
        self.set_deadline(request)
        return run

    def _report_start(
        self,
        run: Run,
        alternatives: tuple[Alternative, ...],
        reason: StartReason,
        due_at: Moment,
    ) -> None:
        fact = AttemptStarted(
            request=run.request,
            session=run.session,
            executor=run.executor,
            model=run.model,
            alternatives=alternatives,
            reason=reason,
            due_us=max(due_at - run.started_at, 1) if due_at < NEVER else 0,
        )
        self.effects.append(Report(fact))

    def _finish_run(self, run: Run, now: Moment, *, is_whole: bool = False) -> OpenRequest:
        del self._runs[run.session]
        if run.served is not None:
            self._capacity.release(run.served, Role.ORIGIN, run.tokens)
            self._routing.end_run(run.session, run.completion_tokens, now, is_whole=is_whole)
        request = self._requests[run.request]
        # Of one whose first token is late, others may have been asked.
        self._rounds.end(request)
        request.run = None
        return request

    def _end(
        self,
        request: OpenRequest,
        error: RequestError | None,
        usage: Usage,
        now: Moment,
    ) -> None:
        del self._requests[request.request]
        self._deadlines.forget(request.request)
        run = request.last_run
        first_output_at = run.first_output_at if run is not None else None
        fact = RequestFinished(
            request=request.request,
            endpoint=request.summary.endpoint,
            model=run.model if run is not None else request.summary.models[0],
            executor=run.executor if run is not None else None,
            error=error.code.value if error is not None else "",
            attempts=request.attempts,
            wait_us=(run.started_at if run is not None else now) - request.arrived_at,
            first_output_us=(
                first_output_at - request.arrived_at if first_output_at is not None else 0
            ),
            total_us=now - request.arrived_at,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )
        self.effects.append(Report(fact))
        self.effects.append(EndRequest(request.request, error))
