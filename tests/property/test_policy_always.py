"""No accepted request ever violates the policy in force when it was accepted.

A provider lives through days: requests of a few nodes, ends, new policies at any moment, clocks put
forward and back as in summer time, restarts that lose all but what the host keeps. An auditor with
lists of its own, which shares nothing with the core but the settings, checks whatever is accepted.
"""

from dataclasses import dataclass, field

import msgspec
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.unit.core.desk import node, summary
from tests.unit.core.policy.test_hours import WINDOWS, is_open_by_count
from wwwserve.core.deciding import PolicyInForce, PolicyMemory, RequestDecided, UseCounted
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import LocalTimeRead, MachineRead
from wwwserve.core.placing import Accepted, LoadView, PeerRequest
from wwwserve.core.policy import (
    WEEK_US,
    Decided,
    InForce,
    Life,
    Policy,
    Record,
    Remembered,
    Used,
    make_answer,
    replay,
)
from wwwserve.core.policy.hours import MINUTE_US
from wwwserve.core.policy.usage import DAY_US, HOUR_US
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, SessionId
from wwwserve.core.snapshot import EngineView
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.wire import ModelOffer, RequestSummary, Usage

SLOTS = 8
FEW = st.integers(0, 6)
KNOBS: dict[str, st.SearchStrategy[object]] = {
    "hours": WINDOWS.map(tuple),
    "accept_permille": st.sampled_from([0, 500]),
    "own_first": st.just(value=True),
    "reserve_concurrency": st.integers(1, 4),
    "idle_only": st.just(value=True),
    "concurrent_max": FEW,
    "concurrent_per_peer_max": FEW,
    "prompt_tokens_max": st.just(50),
    "context_tokens_max": st.just(150),
    "requests_per_minute_max": FEW,
    "requests_per_minute_per_peer_max": FEW,
    "tokens_per_day_max": st.sampled_from([500, 1_000]),
    "tokens_per_day_per_peer_max": st.sampled_from([300, 500]),
    "deny_nodes": st.just((node(1),)),
    "allow_models": st.just((ModelId("org/a"),)),
}


@st.composite
def draw_policy(draw: st.DrawFn) -> PolicySettings:
    """Two rules or three at a time: with all of them hardly anything would be accepted."""
    names = draw(st.lists(st.sampled_from(list(KNOBS)), max_size=3, unique=True))
    values: dict[str, object] = {"own_first": False, "idle_for_us": 60 * SECOND}
    values |= {name: draw(KNOBS[name]) for name in names}
    return PolicySettings(**values)  # type: ignore[arg-type]


POLICIES = draw_policy()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of another node, and what else goes on at that moment."""

    asker: NodeId
    model: str
    prompt_tokens: int
    answer_tokens: int
    other_load: int
    own_waiting: int


ASKS = st.builds(
    Ask,
    asker=st.integers(1, 3).map(node),
    model=st.sampled_from(["org/a", "org/b"]),
    prompt_tokens=st.sampled_from([10, 100]),
    answer_tokens=st.sampled_from([0, 10, 100]),
    other_load=st.integers(0, 3),
    own_waiting=st.sampled_from([0, 0, 1]),
)
SPANS = st.one_of(
    st.integers(0, 20 * SECOND),
    st.integers(0, DAY_US),
    st.sampled_from([45 * SECOND, 59 * SECOND, 18 * HOUR_US]),
)


@dataclass(slots=True)
class Work:
    """What the auditor remembers of an accepted request."""

    asker: NodeId
    at: int
    """On a clock that no restart sets back."""
    tokens: int
    """The most it may come to while it runs, then what it came to."""
    ended_at: int | None = None
    is_of_this_life: bool = True


@dataclass(slots=True)
class Auditor:
    """Lists, and sums over all of them."""

    works: dict[SessionId, Work] = field(default_factory=dict)

    def list_running(self, asker: NodeId | None = None) -> list[Work]:
        return [
            work
            for work in self.works.values()
            if work.ended_at is None and asker in (None, work.asker)
        ]

    def count_minute(self, now: int, asker: NodeId | None = None) -> int:
        return sum(
            work.is_of_this_life and work.at > now - 60 * SECOND and asker in (None, work.asker)
            for work in self.works.values()
        )

    def count_day(self, now: int, asker: NodeId | None = None) -> int:
        return sum(
            work.tokens
            for work in self.works.values()
            if (work.ended_at is None or work.ended_at > now - DAY_US)
            and asker in (None, work.asker)
        )


class Provider(RuleBasedStateMachine):
    """One node's policy over days, its host, and the auditor."""

    def __init__(self) -> None:
        super().__init__()
        self.time_us = 10 * DAY_US
        """True time; the process's own clock is behind it by `lag_us`."""
        self.lag_us = 0
        self.week_us = 0
        self.is_told = False
        self.number = 0
        self.idle_from: int | None = None
        self.diary: list[Record] = [Life(self.now, self.time_us)]
        """What the host keeps of what it is told, to give back after a restart."""
        self.auditor = Auditor()
        self.policy = Policy(PolicySettings(), Entropy(b"day"))

    @property
    def now(self) -> Moment:
        return Moment(self.time_us - self.lag_us)

    @initialize(settings=POLICIES, week_us=st.integers(0, WEEK_US - 1))
    def begin(self, settings: PolicySettings, week_us: int) -> None:
        self.week_us = week_us
        self.policy.set(settings, self.now)
        self.keep()

    # -- what happens ----------------------------------------------------------------------------

    @rule(span_us=SPANS)
    def time_passes(self, span_us: int) -> None:
        self.time_us += span_us
        self.week_us = (self.week_us + span_us) % WEEK_US
        self.policy.opening.turn(self.now)
        if span_us > 25 * SECOND:
            self.idle_from = None

    @rule()
    def the_host_tells_the_time(self) -> None:
        self.is_told = True
        self.policy.read(LocalTimeRead(self.week_us), (), self.now)

    @rule(hours=st.sampled_from([-1, 1]))
    def summer_time_begins_or_ends(self, hours: int) -> None:
        """The clocks on the wall are changed, and the host says so at once."""
        self.week_us = (self.week_us + hours * 60 * MINUTE_US) % WEEK_US
        self.the_host_tells_the_time()

    @rule(busy=st.sampled_from([0, 999]), own=st.integers(0, 1))
    def the_host_reads_the_machine(self, busy: int, own: int) -> None:
        running = len(self.auditor.list_running())
        view = EngineView("gpu", None, own_running=own, peer_running=running)
        self.policy.read(MachineRead(busy), (view,), self.now)
        if own or (busy and not running):
            self.idle_from = None
        elif self.idle_from is None:
            self.idle_from = self.time_us

    @rule(settings=POLICIES)
    def the_policy_changes(self, settings: PolicySettings) -> None:
        self.policy.set(settings, self.now)
        self.keep()

    @rule(gap_us=st.integers(0, 3600 * SECOND), lag_us=st.integers(0, 9 * DAY_US))
    def the_process_starts_anew(self, gap_us: int, lag_us: int) -> None:
        """What ran is lost; the host keeps what it was told, and no more."""
        for work in self.auditor.works.values():
            work.is_of_this_life = False
            work.ended_at = work.ended_at if work.ended_at is not None else self.time_us
        self.time_us += gap_us
        self.week_us = (self.week_us + gap_us) % WEEK_US
        self.lag_us, self.is_told, self.idle_from = lag_us, False, None
        self.diary.append(Life(self.now, self.time_us))
        remembered = Remembered()
        for record in self.diary:
            remembered.read(record)
        memory = PolicyMemory(use=remembered.list_use())
        self.policy = Policy(self.policy.settings, Entropy(b"again"), memory)
        self.diary.append(InForce(self.now, self.policy.settings))

    @rule(asks=st.lists(ASKS, min_size=1, max_size=6))
    def nodes_ask(self, asks: list[Ask]) -> None:
        for ask in asks:
            self.ask(ask)

    def ask(self, ask: Ask) -> None:
        self.number += 1
        asked = summary(
            self.number,
            prompt_tokens=ask.prompt_tokens,
            completion_tokens_max=ask.answer_tokens,
        )
        request = PeerRequest(ask.asker, asked, ModelOffer(ask.model, context_tokens=200))
        running = self.auditor.list_running()
        load = LoadView(
            slots=SLOTS,
            used=len(running) + ask.other_load,
            own_waiting=ask.own_waiting,
            peer_running=len(running),
            asker_running=len(self.auditor.list_running(ask.asker)),
        )
        if self.policy.decide_offer(request, load, self.now) == Accepted():
            self.check(request, load)
            session = SessionId(Role.EXECUTOR, self.number)
            self.policy.take(session, request, self.now)
            most = ask.prompt_tokens + (ask.answer_tokens or 200)
            self.auditor.works[session] = Work(ask.asker, self.time_us, most)
        self.keep()

    @rule(spans=st.integers(3, 20))
    def nobody_uses_the_machine(self, spans: int) -> None:
        for _ in range(spans):
            self.the_host_reads_the_machine(0, 0)
            self.time_passes(5 * SECOND)

    @precondition(lambda self: self.auditor.list_running())
    @rule(share=st.integers(0, 4))
    def a_request_is_over(self, share: int) -> None:
        session, work = next(
            (session, work) for session, work in self.auditor.works.items() if work.ended_at is None
        )
        work.tokens, work.ended_at = work.tokens * share // 4, self.time_us
        self.policy.end(session, Usage(work.tokens, 0), self.now)
        self.keep()

    # -- what must hold --------------------------------------------------------------------------

    def check(self, request: PeerRequest, load: LoadView) -> None:
        """[POLICY-ALWAYS.1], [POLICY-COUNT.1] and [POLICY-COUNT.3]."""
        rules, asker, asked = self.policy.settings, request.asker, request.summary
        self.check_moment(rules)
        self.check_request(rules, asked, request)
        most = asked.prompt_tokens + (asked.completion_tokens_max or 200)
        now, audit = self.time_us, self.auditor
        assert audit.count_day(now) + most <= rules.tokens_per_day_max
        assert audit.count_day(now, asker) + most <= rules.tokens_per_day_per_peer_max
        assert audit.count_minute(now) < rules.requests_per_minute_max
        assert audit.count_minute(now, asker) < rules.requests_per_minute_per_peer_max
        assert len(audit.list_running()) < rules.concurrent_max
        assert len(audit.list_running(asker)) < rules.concurrent_per_peer_max
        assert load.used + rules.reserve_concurrency < SLOTS
        if rules.own_first:
            assert load.own_waiting == 0
            assert load.used * 1000 < rules.target_utilisation_permille * SLOTS

    def check_moment(self, rules: PolicySettings) -> None:
        if rules.hours:
            assert is_open_by_count(list(rules.hours), self.week_us // MINUTE_US)
            is_always = all(is_open_by_count(list(rules.hours), at) for at in (0, 5_000, 10_000))
            assert self.is_told or is_always
        if rules.idle_only and rules.idle_for_us:
            assert self.idle_from is not None
            assert self.time_us - self.idle_from >= rules.idle_for_us

    def check_request(
        self, rules: PolicySettings, asked: RequestSummary, request: PeerRequest
    ) -> None:
        assert rules.accept_permille > 0
        assert request.asker not in rules.deny_nodes
        assert not rules.allow_models or request.offer.model in rules.allow_models
        assert asked.prompt_tokens <= rules.prompt_tokens_max
        answer = asked.completion_tokens_max or 200
        assert asked.prompt_tokens + answer <= rules.context_tokens_max

    def keep(self) -> None:
        """The host writes down what it is told."""
        for fact in self.policy.take_facts():
            match fact:
                case RequestDecided(case, verdict, by):
                    self.diary.append(Decided(case, make_answer(verdict), by))
                case PolicyInForce(at, settings):
                    self.diary.append(InForce(at, settings))
                case UseCounted():
                    self.diary.append(Used(fact))
                case _:
                    raise AssertionError(fact)

    def teardown(self) -> None:
        """[POLICY-REPLAY.1]: the same answers come out, by heart and as they were written down."""
        lines = [msgspec.json.encode(record) for record in self.diary]
        again = [msgspec.json.decode(line, type=Record) for line in lines]
        assert again == self.diary
        replayed = replay(again)
        assert replayed.changed == 0, replayed.changes[0]
        assert replayed.was == replayed.is_now


TestProvider = Provider.TestCase
TestProvider.settings = given_settings(max_examples=250, stateful_step_count=60, deadline=None)
