"""An engine that does not tell its slots gets what its cache and its queue show room for.

A desk (`tests/unit/core/desk.py`) plays the engine event by event; at the end a model of one with
continuous batching (`enginemodel`) takes its place, beside callers that send it all they have.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.desk import (
    DIGEST,
    Desk,
    ended,
    offer,
    pick,
    pick_all,
    probe,
    reading,
    served,
    summary,
)
from wwwserve.core.effects import AcceptOffer, DeclineOffer, EndRequest, SendMessage, StartLocal
from wwwserve.core.engines import (
    FIRST_SLOTS_MAX,
    FIRST_SLOTS_MIN,
    REQUEST_TOKENS_USUAL,
    EngineHealth,
    EngineReading,
    compute_first_slots,
)
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import EngineRead, OfferCancelled, StreamEnded, SubmitRequest
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests.allowance import ALLOWANCE_MAX, LOOK_PERIOD_US, Allowance
from wwwserve.core.requests.own_engine import KV_FULL_PERMILLE
from wwwserve.core.sessions import Role, Route, ServedModel, SessionId
from wwwserve.enginemodel import BatchingEngine, Demand, SequenceId, find_profile
from wwwserve.values.moments import MILLISECOND, NEVER, SECOND, Moment
from wwwserve.wire import Quote, Usage

GENEROUS = PolicySettings(
    own_first=False,
    target_utilisation_permille=1000,
    concurrent_max=1_000,
    concurrent_per_peer_max=1_000,
)
KV_TOKENS = 10 * REQUEST_TOKENS_USUAL
USUAL = {"prompt_tokens": REQUEST_TOKENS_USUAL - 24, "completion_tokens_max": 24}
"""A request that comes to the usual size."""


def guess(first: int = 64, engine: str = "gpu") -> ServedModel:
    return replace(served(first, engine=engine), is_slots_known=False)


def tell_cache(
    kv_used_permille: int, running: int = 0, kv_tokens: int | None = KV_TOKENS
) -> EngineRead:
    return EngineRead(
        "gpu",
        reading(kv_used_permille=kv_used_permille, running=running, waiting=0, kv_tokens=kv_tokens),
    )


def submit(desk: Desk, *numbers: int, **fields: int) -> list[SessionId]:
    """Submit requests that stay here; gives the sessions that began at once."""
    started = []
    for number in numbers:
        asked = summary(number, **(USUAL | fields))
        effects = desk.tell(SubmitRequest(asked, Route.LOCAL))
        started += [start.session for start in pick_all(effects, StartLocal)]
    return started


# -- the cache -------------------------------------------------------------------------------------


def test_what_fits_the_cache_runs_and_the_rest_waits() -> None:
    # [REQUESTS-KV.1]
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(0))
    fitting = KV_TOKENS * KV_FULL_PERMILLE // 1000 // REQUEST_TOKENS_USUAL
    assert len(submit(desk, *range(20))) == fitting == 9
    assert desk.requests.queued_count == 11


def test_what_was_held_when_read_counts_instead_of_what_was_expected() -> None:
    # [REQUESTS-KV.1]
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(0))
    submit(desk, *range(20))
    desk.pass_time(SECOND)
    assert len(list(pick_all(desk.tell(tell_cache(500, running=9)), StartLocal))) == 4
    desk.pass_time(SECOND)
    assert not list(pick_all(desk.tell(tell_cache(KV_FULL_PERMILLE, running=13)), StartLocal))


def test_what_ended_since_makes_room_at_once() -> None:
    # [REQUESTS-KV.1]
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(0))
    first = submit(desk, *range(20))[0]
    assert len(list(pick_all(desk.tell(ended(first)), StartLocal))) == 1


def test_an_idle_engine_takes_what_no_other_time_would_fit() -> None:
    # [REQUESTS-KV.3]
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(0))
    (first,) = submit(desk, 1, prompt_tokens=2 * KV_TOKENS)
    assert not submit(desk, 2)
    assert list(pick_all(desk.tell(ended(first)), StartLocal))


def test_slots_that_the_operator_set_are_used_whatever_the_cache() -> None:
    # [REQUESTS-KV.4]
    desk = Desk(served(2), policy=GENEROUS)
    desk.tell(tell_cache(1_000))
    assert len(submit(desk, 1, 2, 3)) == 2


def test_a_full_cache_of_unknown_size_takes_nothing_more() -> None:
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(KV_FULL_PERMILLE, kv_tokens=None, running=1))
    assert submit(desk, 1) == []
    desk.pass_time(SECOND)
    effects = desk.tell(tell_cache(KV_FULL_PERMILLE - 1, kv_tokens=None, running=1))
    assert list(pick_all(effects, StartLocal))


def test_own_users_and_other_nodes_are_told_by_their_own_size() -> None:
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(600, running=1))
    large = summary(1, prompt_tokens=4 * REQUEST_TOKENS_USUAL, completion_tokens_max=1)
    quoted = pick(desk.tell(probe(1, large)), SendMessage).message
    assert isinstance(quoted, Quote)
    assert quoted.decline is not None
    assert list(pick_all(desk.tell(offer(1, large)), DeclineOffer))
    assert list(pick_all(desk.tell(offer(2)), AcceptOffer))
    assert not submit(desk, 3, prompt_tokens=4 * REQUEST_TOKENS_USUAL)


def test_no_word_of_a_peer_changes_what_counts_as_usual() -> None:
    # [REQUESTS-KV.1]: it offers requests as large as a model takes, and gives each up at once.
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(0))
    for number in range(100, 120):
        asked = summary(number, prompt_tokens=KV_TOKENS, completion_tokens_max=1)
        assert list(pick_all(desk.tell(offer(number, asked)), AcceptOffer))
        desk.tell(OfferCancelled(SessionId(Role.EXECUTOR, number)))
        desk.pass_time(SECOND)
        desk.tell(tell_cache(0))
    assert len(submit(desk, *range(20))) == 9


def test_what_is_answered_makes_what_counts_as_usual() -> None:
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(0))
    for number in range(100, 120):
        (session,) = submit(desk, number)
        desk.tell(StreamEnded(session, Usage(2 * REQUEST_TOKENS_USUAL, 0), DIGEST))
        desk.tell(tell_cache(0))
    # One fewer than of the usual size before: the last would have to leave room for one twice as
    # large as itself.
    assert len(submit(desk, *range(20))) == 8


def test_a_small_request_does_not_pass_a_usual_one_that_waits() -> None:
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(KV_FULL_PERMILLE - 20, running=1))
    assert submit(desk, 1) == []
    assert submit(desk, 2, prompt_tokens=10) == []


# -- the allowance ---------------------------------------------------------------------------------


def test_it_doubles_while_requests_wait_for_it_and_none_in_it() -> None:
    # [REQUESTS-KV.2]
    desk = Desk(guess(4), policy=GENEROUS)
    assert len(submit(desk, *range(40))) == 4
    for running in (4, 8, 16):
        desk.pass_time(SECOND)
        effects = desk.tell(EngineRead("gpu", reading(running=running, waiting=0)))
        effects += desk.wait(1)
        assert len(list(pick_all(effects, StartLocal))) == running
    assert desk.requests.queued_count == 8


def test_it_grows_for_other_nodes_too_and_not_without_need() -> None:
    # [REQUESTS-KV.2]
    desk = Desk(guess(4), policy=GENEROUS)
    for number in range(1, 5):
        assert list(pick_all(desk.tell(offer(number)), AcceptOffer))
    desk.pass_time(SECOND)
    desk.tell(EngineRead("gpu", reading(running=4, waiting=0)))
    assert list(pick_all(desk.tell(offer(5)), DeclineOffer))
    desk.pass_time(SECOND)
    desk.tell(EngineRead("gpu", reading(running=4, waiting=0)))
    assert list(pick_all(desk.tell(offer(6)), AcceptOffer))


def test_a_queue_that_cannot_be_seen_leaves_it_where_it_began() -> None:
    # [REQUESTS-KV.2]
    desk = Desk(guess(4), policy=GENEROUS)
    submit(desk, *range(20))
    assert not list(pick_all(desk.wait(10 * SECOND), StartLocal))


def look(allowance: Allowance, now: int, **fields: int | None) -> int:
    """Turn a request away in a busy engine, read it, and give the new count."""
    allowance.note_refusal(allowance.count)
    allowance.look(EngineReading(EngineHealth.READY, **fields), Moment(now))  # type: ignore[arg-type]
    return allowance.count


def test_a_queue_halves_it_but_not_below_what_runs_and_then_it_grows_by_an_eighth() -> None:
    # [REQUESTS-KV.2]
    allowance = Allowance(64)
    assert look(allowance, SECOND, running=10, waiting=54) == 32
    assert look(allowance, 2 * SECOND, running=24, waiting=40) == 24
    assert look(allowance, 3 * SECOND, running=24, waiting=0) == 27
    assert look(allowance, 4 * SECOND, running=27, waiting=0) == 30


def test_what_was_just_sent_may_wait_for_the_next_step() -> None:
    allowance = Allowance(8)
    for _ in range(3):
        allowance.note_start()
    assert look(allowance, SECOND, running=5, waiting=3) == 8
    assert look(allowance, 2 * SECOND, running=5, waiting=3) == 5


def test_looks_in_quick_succession_count_as_one() -> None:
    allowance = Allowance(4)
    assert look(allowance, SECOND, running=4, waiting=0) == 8
    assert look(allowance, SECOND + LOOK_PERIOD_US - 1, running=8, waiting=0) == 8
    assert look(allowance, SECOND + LOOK_PERIOD_US, running=8, waiting=0) == 16


def test_an_engine_that_was_away_begins_anew() -> None:
    desk = Desk(guess(4), policy=GENEROUS)
    sessions = submit(desk, *range(6))
    desk.pass_time(SECOND)
    effects = desk.tell(EngineRead("gpu", reading(running=4, waiting=0)))
    sessions += [start.session for start in pick_all(effects, StartLocal)]
    desk.tell(EngineRead("gpu", reading(EngineHealth.UNAVAILABLE)))
    for session in sessions:
        desk.tell(ended(session))
    desk.tell(EngineRead("gpu", reading(running=0, waiting=0)))
    assert len(submit(desk, *range(10, 20))) == 4


READINGS = st.tuples(
    st.none() | st.integers(min_value=0, max_value=2**53),
    st.none() | st.integers(min_value=0, max_value=2**53),
    st.integers(min_value=0, max_value=20),
)


@given(st.integers(min_value=0, max_value=2**53), st.lists(READINGS))
def test_it_stays_in_bounds_whatever_an_engine_reports(
    first: int, told: list[tuple[int | None, int | None, int]]
) -> None:
    allowance = Allowance(first)
    for number, (running, waiting, sent) in enumerate(told):
        for _ in range(sent):
            allowance.note_start()
        count = look(allowance, number * SECOND, running=running, waiting=waiting)
        assert 1 <= count <= ALLOWANCE_MAX


@pytest.mark.parametrize(
    ("kv_tokens", "slots"),
    [
        (None, FIRST_SLOTS_MIN),
        (0, FIRST_SLOTS_MIN),
        (20 * REQUEST_TOKENS_USUAL, 20),
        (10**9, FIRST_SLOTS_MAX),
    ],
)
def test_it_begins_with_what_the_cache_suggests(kv_tokens: int | None, slots: int) -> None:
    assert compute_first_slots(reading(kv_tokens=kv_tokens)) == slots


# -- a batching engine -----------------------------------------------------------------------------


@dataclass
class Stage:
    """A model of an engine in virtual time, and requests that come to it."""

    demands: list[tuple[Moment, Demand]]
    """When each request comes, and what it asks for."""
    engine: BatchingEngine = field(
        default_factory=lambda: BatchingEngine(find_profile("RTX-3090:Qwen3-8B"))
    )
    finished: int = 0
    on_finish: Callable[[int, Moment], None] | None = None

    def run(self, end: Moment, submit: Callable[[int, Moment], None]) -> None:
        """Let requests come, and the engine work, until `end`."""
        due = [(moment, number) for number, (moment, _) in enumerate(self.demands)]
        heapq.heapify(due)
        while True:
            comes = due[0][0] if due else NEVER
            now = min(comes, self.engine.next_deadline())
            if now > end:
                return
            for iteration in self.engine.advance(now):
                for number in iteration.finished:
                    self.finished += 1
                    if self.on_finish is not None:
                        self.on_finish(number, now)
            if comes <= now:
                submit(heapq.heappop(due)[1], now)

    def start(self, number: int, now: Moment) -> None:
        """Give a request to the engine."""
        self.engine.submit(SequenceId(number), self.demands[number][1], now)

    def read(self) -> EngineReading:
        """What such an engine tells: its cache, but not its slots."""
        load = self.engine.read_load()
        return EngineReading(
            EngineHealth.READY,
            running=load.running,
            waiting=load.waiting,
            kv_used_permille=load.kv_blocks_used * 1000 // load.kv_blocks,
            kv_tokens=self.engine.context_tokens_max,
        )


def draw_demands(count: int, every_us: int) -> list[tuple[Moment, Demand]]:
    entropy = Entropy(b"demands")
    return [
        (
            Moment(SECOND + number * every_us),
            Demand(1 + entropy.below(800), 1 + entropy.below(400)),
        )
        for number in range(count)
    ]


class NodeStage(Stage):
    """The same, with a node before the engine."""

    def __init__(self, demands: list[tuple[Moment, Demand]]) -> None:
        super().__init__(demands)
        first = compute_first_slots(self.read())
        self.desk = Desk(guess(first), policy=GENEROUS, is_read=False)
        self.sessions: dict[int, SessionId] = {}
        self.read_at = Moment(0)
        self.on_finish = self.finish

    def come(self, number: int, now: Moment) -> None:
        """A request comes to the node."""
        prompt_tokens = self.demands[number][1].prompt_tokens
        asked = summary(number, prompt_tokens=prompt_tokens, completion_tokens_max=0)
        self.tell(SubmitRequest(asked, Route.LOCAL), now)

    def finish(self, number: int, now: Moment) -> None:
        """The engine has answered one."""
        demand = self.demands[number][1]
        usage = Usage(demand.prompt_tokens, demand.output_tokens)
        self.tell(StreamEnded(self.sessions.pop(number), usage, bytes(32)), now)

    def tell(self, event: StreamEnded | SubmitRequest, now: Moment) -> None:
        """Tell the node, which first reads its engine if it is time to."""
        self.desk.now = now
        effects = []
        if now >= self.read_at:
            self.read_at = Moment(now + SECOND)
            effects += self.desk.tell(EngineRead("gpu", self.read()))
        effects += self.desk.tell(event)
        for start in pick_all(effects, StartLocal):
            number = int.from_bytes(start.request, "big")
            self.sessions[number] = start.session
            self.start(number, now)
        assert all(end.error is None for end in pick_all(effects, EndRequest))


@pytest.mark.parametrize("every_us", [100 * MILLISECOND, 200 * MILLISECOND, SECOND])
def test_a_node_gets_out_of_its_engine_what_callers_do_that_send_it_everything(
    every_us: int,
) -> None:
    # [REQUESTS-KV.5]
    end = Moment(30 * SECOND)
    demands = draw_demands(28 * SECOND // every_us, every_us)
    direct, through = Stage(demands), NodeStage(demands)
    direct.run(end, direct.start)
    through.run(end, through.come)
    assert through.finished * 100 >= direct.finished * 95
    preempted = through.engine.read_load().preemptions
    assert preempted <= direct.engine.read_load().preemptions
