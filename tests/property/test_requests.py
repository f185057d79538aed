"""Whatever happens in whatever order, requests keep their promises.

Hypothesis drives one node (`tests/unit/core/desk.py`): submissions, quotes, offers, ends, failures,
stale and repeated news, engines that come and go, members in every state, changing policies and
passing time. After each step the rules of `spec/requests.md` are checked from outside, by counting
effects; `AcceptOffer` is checked against the policy in force when it was given.
"""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.core.desk import (
    MODEL,
    Desk,
    ended,
    failed,
    member,
    node,
    offer,
    probe,
    reading,
    request_id,
    served,
    summary,
)
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    Effect,
    EndRequest,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.engines import EngineHealth
from wwwserve.core.events import (
    CancelRequest,
    DeadlineReached,
    Depart,
    Departure,
    EngineRead,
    FirstOutput,
    OfferCancelled,
    SetModels,
    StreamOpened,
    StreamProgressed,
    SubmitRequest,
)
from wwwserve.core.facts import MemberStatus, RequestQueued
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests import PeersLost, ProbeFailed, QuoteReceived, RequestsEvent
from wwwserve.core.sessions import Role, Route, SessionId
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import QUEUE_LENGTH_MAX, QUEUE_WAIT_US
from wwwserve.values.moments import NEVER, SECOND
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Probe, Quote

SLOTS = 2
PEERS = st.integers(min_value=1, max_value=4)
REQUESTS = st.integers(min_value=0, max_value=40)
SESSIONS = st.integers(min_value=1, max_value=60)
WHICH = st.integers(min_value=0, max_value=1_000)
PERMILLES = st.sampled_from([0, 500, 1000])
NODES = st.lists(PEERS.map(node), max_size=2).map(tuple)
POLICIES = st.builds(
    PolicySettings,
    accept_permille=PERMILLES,
    offload_permille=PERMILLES,
    queue_permille=PERMILLES,
    target_utilisation_permille=PERMILLES,
    own_first=st.booleans(),
    concurrent_max=st.integers(min_value=0, max_value=2),
    concurrent_per_peer_max=st.integers(min_value=0, max_value=2),
    prompt_tokens_max=st.sampled_from([50, 1_000_000]),
    allow_nodes=NODES,
    deny_nodes=NODES,
    offload_nodes=NODES,
)
_FORGIVEN = (None, FailureKind.DECLINED, FailureKind.LINK_LOST)
"""Who declined, or whose link was lost, may get the same request again a while later."""


class Requests(RuleBasedStateMachine):
    """One node and everything that can happen to it."""

    @initialize()
    def start(self) -> None:
        self.desk = Desk(served(SLOTS))
        self.submitted: Counter[RequestId] = Counter()
        self.open: dict[RequestId, SubmitRequest] = {}
        self.failed_at: dict[RequestId, list[NodeId]] = {}
        self.running: dict[SessionId, RequestId | NodeId] = {}
        self.local: dict[SessionId, bool] = {}
        self.asked: list[tuple[NodeId, Probe]] = []
        self.statuses: dict[NodeId, MemberStatus] = {}
        self.health = EngineHealth.READY
        self.has_model = True
        self.is_used_by_others = False
        self.queued: dict[RequestId, bool] = {}
        self.failed_here: list[RequestId] = []

    # -- what happens ----------------------------------------------------------------------------

    @rule(
        number=REQUESTS,
        route=st.sampled_from(Route),
        allowed=NODES,
        deadline_us=st.sampled_from([0, SECOND, 60 * SECOND]),
        priority=st.integers(min_value=0, max_value=2),
    )
    def submit(
        self,
        number: int,
        route: Route,
        allowed: tuple[NodeId, ...],
        deadline_us: int,
        priority: int,
    ) -> None:
        name = request_id(number)
        event = SubmitRequest(
            summary(number, deadline_us=deadline_us, priority=priority), route, allowed
        )
        if name not in self.open:
            self.submitted[name] += 1
            self.open[name] = event
            self.failed_at[name] = []
        self.tell(event)

    @rule(number=REQUESTS)
    def cancel(self, number: int) -> None:
        self.tell(CancelRequest(request_id(number)))
        assert request_id(number) not in self.open

    @rule(
        which=st.integers(min_value=0, max_value=200),
        finish_us=st.sampled_from([0, 1_000, 100 * SECOND]),
        decline=st.sampled_from([None, None, DeclineReason.BUSY, DeclineReason.POLICY]),
        is_forged=st.booleans(),
    )
    def quote(
        self, which: int, finish_us: int, decline: DeclineReason | None, *, is_forged: bool
    ) -> None:
        if not self.asked:
            return
        peer, asked = self.asked[which % len(self.asked)]
        model = "org/never-asked-for" if is_forged else MODEL
        answer = Quote(asked.probe, decline, model, finish_us=finish_us)
        self.tell(QuoteReceived(peer, answer))

    @rule(which=st.integers(min_value=0, max_value=200), is_peer=st.booleans())
    def lose_probe(self, which: int, *, is_peer: bool) -> None:
        if self.asked:
            peer, asked = self.asked[which % len(self.asked)]
            self.tell(PeersLost((peer,)) if is_peer else ProbeFailed(peer, asked))

    @rule(which=WHICH)
    def progress(self, which: int) -> None:
        session = self.choose(which)
        for event in (StreamOpened(session), FirstOutput(session), StreamProgressed(session, 7)):
            self.tell(event)

    @rule(which=WHICH)
    def end(self, which: int) -> None:
        session = self.choose(which)
        self.forget(session)
        self.tell(ended(session))

    @rule(which=WHICH, kind=st.sampled_from(FailureKind), is_delivered=st.booleans())
    def fail(self, which: int, kind: FailureKind, *, is_delivered: bool) -> None:
        session = self.choose(which)
        self.forget(session, kind)
        self.tell(failed(session, kind, is_delivered=is_delivered))

    @rule(number=SESSIONS, peer=PEERS)
    def offered(self, number: int, peer: int) -> None:
        self.last_offer = offer(number, peer=peer)
        self.tell(self.last_offer)

    @rule(number=SESSIONS, peer=PEERS)
    def probed(self, number: int, peer: int) -> None:
        self.tell(probe(number, peer=peer))

    @rule(which=WHICH)
    def offer_cancelled(self, which: int) -> None:
        session = self.choose(which, Role.EXECUTOR)
        self.forget(session)
        self.tell(OfferCancelled(session))

    @rule(peer=PEERS, status=st.sampled_from(MemberStatus))
    def member_changes(self, peer: int, status: MemberStatus) -> None:
        self.statuses[node(peer)] = status
        self.desk.meet(member(peer, status=status))

    @rule(health=st.sampled_from(EngineHealth), running=st.sampled_from([None, 0, 1, 3]))
    def engine_read(self, health: EngineHealth, running: int | None) -> None:
        self.health = health
        self.is_used_by_others = running is not None
        self.tell(EngineRead("gpu", reading(health, running=running)))

    @rule(settings_=POLICIES)
    def policy_changes(self, settings_: PolicySettings) -> None:
        self.desk.policy.set(settings_, self.desk.now)

    @rule(has_model=st.booleans())
    def models_change(self, *, has_model: bool) -> None:
        self.has_model = has_model
        self.tell(SetModels((served(SLOTS),) if has_model else ()))

    @rule(departure=st.sampled_from([Departure.DRAIN, Departure.RESUME]))
    def depart(self, departure: Departure) -> None:
        self.tell(Depart(departure))

    @rule(span_us=st.sampled_from([1, 1_000, 600_000, 3 * SECOND, 30 * SECOND]))
    def time_passes(self, span_us: int) -> None:
        self.desk.pass_time(span_us)
        self.wake()

    def choose(self, which: int, role: Role | None = None) -> SessionId:
        """A session that runs or ran, or one never heard of."""
        known = [session for session in self.local if role in {None, session.role}]
        known.append(SessionId(role or Role.ORIGIN, 1_000_000))
        return known[which % len(known)]

    # -- how effects are counted -----------------------------------------------------------------

    def tell(self, event: RequestsEvent) -> None:
        for effect in self.desk.tell(event):
            self.note(effect)

    def wake(self) -> None:
        """As a shell does: until the machine asks for nothing more now."""
        for _ in range(1_000):
            if self.desk.requests.next_deadline() > self.desk.now:
                return
            self.tell(DeadlineReached())
        raise AssertionError("the machine asks to be woken for ever")

    def note(self, effect: Effect) -> None:
        match effect:
            case StartLocal(session, request):
                self.begin(session, request, is_local=True)
                assert self.open[request].route is not Route.NETWORK
                assert self.health is EngineHealth.READY
                assert self.has_model
            case StartRemote(session, request, peer, sent):
                self.begin(session, request, is_local=False)
                self.check_partner(request, peer)
                assert sent.model == MODEL
            case StopSession(session):
                self.forget(session)
            case Report(RequestQueued(request)):
                self.queued[request] = True
            case EndRequest(request):
                self.queued.pop(request, None)
                assert self.open.pop(request) is not None
                assert request not in self.running.values()
            case SendMessage(peer, Probe() as asked):
                self.check_partner(RequestId(asked.summary.request), peer)
                self.asked.append((peer, asked))
            case _:
                self.note_work(effect)

    def note_work(self, effect: Effect) -> None:
        match effect:
            case AcceptOffer(session):
                self.begin(session, node(0), is_local=True)
                self.check_accepted(session)
            case DeclineOffer(session):
                assert session not in self.running
            case _:
                pass

    def begin(self, session: SessionId, what: RequestId | NodeId, *, is_local: bool) -> None:
        assert session not in self.running
        assert what == node(0) or what in self.open
        assert what == node(0) or what not in self.running.values()
        self.running[session] = what
        self.local[session] = is_local
        self.queued.pop(RequestId(what), None)

    def forget(self, session: SessionId, kind: FailureKind | None = None) -> None:
        what = self.running.pop(session, None)
        if what is not None and self.local[session] and kind is not None:
            self.failed_here.append(RequestId(what))
        if what is None or self.local[session] or kind in _FORGIVEN:
            return
        start = next(
            effect
            for effect in self.desk.log
            if isinstance(effect, StartRemote) and effect.session == session
        )
        self.failed_at[start.request].append(start.peer)

    def check_partner(self, request: RequestId, peer: NodeId) -> None:
        """[REQUESTS-CANDIDATES.3]."""
        policy = self.desk.policy.settings
        event = self.open[request]
        assert event.route is not Route.LOCAL
        assert self.statuses[peer] is MemberStatus.ALIVE
        assert not event.allowed_executors or peer in event.allowed_executors
        assert peer not in self.failed_at[request]
        assert peer not in policy.deny_nodes
        assert not policy.offload_nodes or peer in policy.offload_nodes

    def check_accepted(self, session: SessionId) -> None:
        """[REQUESTS-EXECUTOR.9] No accepted offer violates the policy in force."""
        policy = self.desk.policy.settings
        assert self.last_offer.session == session
        peer = self.last_offer.peer
        works = [one for one in self.running if one.role is Role.EXECUTOR]
        used = sum(self.local[one] for one in self.running) - 1
        assert policy.accept_permille > 0
        assert len(works) <= policy.concurrent_max
        assert policy.prompt_tokens_max >= 100
        assert peer not in policy.deny_nodes
        assert not policy.allow_nodes or peer in policy.allow_nodes
        assert self.health is EngineHealth.READY
        if policy.own_first:
            assert used * 1000 // SLOTS < policy.target_utilisation_permille

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def each_open_request_is_known_to_the_machine(self) -> None:
        """[REQUESTS-ONCE.4]."""
        assert self.desk.requests.open_count == len(self.open)
        assert self.desk.requests.works_count == sum(
            1 for session in self.running if session.role is Role.EXECUTOR
        )

    @invariant()
    def slots_in_use_are_sessions_running(self) -> None:
        """[REQUESTS-SLOTS.1]."""
        running = sum(self.local[session] for session in self.running)
        views = self.desk.requests.get_engines(self.desk.now)
        assert running == sum(view.own_running + view.peer_running for view in views)
        assert running <= SLOTS

    @invariant()
    def the_queue_is_bounded_and_every_wait_has_an_end(self) -> None:
        assert self.desk.requests.queued_count <= QUEUE_LENGTH_MAX
        if len(self.open) > sum(one.role is Role.ORIGIN for one in self.running):
            assert self.desk.requests.next_deadline() < NEVER

    @invariant()
    def nothing_waits_beside_an_idle_engine(self) -> None:
        """[REQUESTS-QUEUE.6]."""
        views = self.desk.requests.get_engines(self.desk.now)
        is_ready = any(view.reading and view.reading.health is EngineHealth.READY for view in views)
        running = sum(self.local[session] for session in self.running)
        if is_ready and self.has_model and running < SLOTS and not self.is_used_by_others:
            self.wake()
            assert not [
                request
                for request in self.queued
                if self.open[request].route is not Route.NETWORK and request not in self.failed_here
            ]

    def teardown(self) -> None:
        """Left alone, everything that does not run comes to its end."""
        if not hasattr(self, "desk"):
            return
        waited_us = 0
        while waited_us <= QUEUE_WAIT_US + 10 * SECOND:
            self.desk.pass_time(SECOND)
            waited_us += SECOND
            self.wake()
        assert self.desk.requests.queued_count == 0
        assert set(self.open) == {
            what for session, what in self.running.items() if session.role is Role.ORIGIN
        }


Requests.TestCase.settings = settings(stateful_step_count=40)
TestRequests = Requests.TestCase
