"""What is expected of own engines and of answers is close to what then happens, and stays bounded.

Engines of the engine model run requests; all that routing hears is what a node would: when each
run begins, has its first token, how far it is four times a second, and when it ends. What it then
says of one more request is held against the engine itself.
"""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.unit.core.desk import MODEL, node, summary
from wwwserve.core.placing import Estimate, LoadView, RunBegun, RunMeasured
from wwwserve.core.routing import ESTIMATE_MAX_US, Estimates
from wwwserve.core.sessions import Role, SessionId
from wwwserve.enginemodel import BatchingEngine, Demand, EngineProfile, SequenceId, find_profile
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import PROGRESS_PERIOD_US, TOKENS_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, SECOND, Moment
from wwwserve.wire import Endpoint, RequestSummary

SMALL = ModelId(MODEL)
GPU = find_profile("RTX-4090:Qwen3-8B")
LARGE = find_profile("A100-80GB-SXM:Qwen3-8B")
IDLE = LoadView(slots=64, used=0, engine="gpu")


def ask(prompt_tokens: int, answer_tokens: int, **fields: object) -> RequestSummary:
    values = {"prompt_tokens": prompt_tokens, "completion_tokens_expected": answer_tokens}
    return summary(1, **({"completion_tokens_max": 0} | values | fields))


class Watched:
    """An engine of the engine model, and what a node learns by watching it."""

    def __init__(self, profile: EngineProfile) -> None:
        self.engine = BatchingEngine(profile)
        self.estimates = Estimates()
        self.now = Moment(0)
        self._numbers = count(1)
        self._alive: dict[SequenceId, tuple[int, Moment]] = {}
        """The length of each answer, and when it was looked at last; before its first token, 0."""

    def begin(self, prompt_tokens: int, answer_tokens: int, due_at: Moment = NEVER) -> SequenceId:
        name = SequenceId(next(self._numbers))
        self.engine.submit(name, Demand(prompt_tokens, answer_tokens), self.now)
        asked = ask(prompt_tokens, answer_tokens)
        begun = RunBegun(_session(name), "gpu", SMALL, 64, asked, due_at, asker=node(1))
        self.estimates.begin_run(begun, 0, self.now)
        self._alive[name] = answer_tokens, Moment(0)
        return name

    def pass_time(self, span_us: int) -> None:
        """Let it compute, and tell what it brings as it comes."""
        until = Moment(self.now + span_us)
        while self.now < until and self._alive:
            self._step(until)
        self.now = until

    def measure(self, name: SequenceId) -> int:
        """How long until a run is over."""
        began = self.now
        while name in self._alive:
            self._step(NEVER)
        return self.now - began

    def estimate(self, prompt_tokens: int, answer_tokens: int) -> Estimate:
        used = len(self._alive)
        load = LoadView(slots=64, used=used, engine="gpu", at=self.now)
        return self.estimates.estimate(ask(prompt_tokens, answer_tokens), SMALL, load)

    def _step(self, until: Moment) -> None:
        self.now = min(Moment(self.now + PROGRESS_PERIOD_US // 10), until)
        for iteration in self.engine.advance(self.now):
            for name in iteration.first:
                self.estimates.note_first_output(_session(name), iteration.ended)
                self._alive[name] = self._alive[name][0], iteration.ended
            for name in iteration.finished:
                tokens, _ = self._alive.pop(name)
                self.estimates.end_run(_session(name), tokens, iteration.ended, is_whole=True)
        for name, (tokens, told) in self._alive.items():
            if told and self.now - told >= PROGRESS_PERIOD_US:
                made = self.engine.count_made(name)
                self.estimates.note_progress(_session(name), made, self.now)
                self._alive[name] = tokens, self.now


def _session(name: SequenceId) -> SessionId:
    return SessionId(Role.EXECUTOR, name)


def watch(profile: EngineProfile) -> Watched:
    """An engine watched for two minutes under a load that comes and goes."""
    watched = Watched(profile)
    for number in range(60):
        if number % 20 < 12:
            watched.begin(200 + 150 * (number % 7), 100 + 130 * (number % 5))
        watched.pass_time(2 * SECOND)
    watched.pass_time(60 * SECOND)
    return watched


# -- an engine's pace ----------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [GPU, LARGE], ids=lambda profile: profile.gpu)
@pytest.mark.parametrize("others", [0, 4, 12])
def test_an_answer_takes_about_as_long_as_was_said(profile: EngineProfile, others: int) -> None:
    # [REQUESTS-FORECAST.1]
    watched = watch(profile)
    for number in range(others):
        watched.begin(400, 400 + 50 * number)
    watched.pass_time(3 * SECOND)
    expected = watched.estimate(600, 500)
    name = watched.begin(600, 500)
    assert expected.finish_us == pytest.approx(watched.measure(name), rel=0.15)


def test_what_one_more_costs_the_others_is_about_what_they_then_lose() -> None:
    # [REQUESTS-FORECAST.2]
    finished = []
    said_us = 0
    for is_added in (False, True):
        watched = watch(GPU)
        names = [watched.begin(1_000, 600) for _ in range(6)]
        watched.pass_time(3 * SECOND)
        if is_added:
            said_us = watched.estimate(4_000, 600).burden_us
            watched.begin(4_000, 600)
        began = watched.now
        finished.append(sum(watched.measure(name) + watched.now - began for name in names[:1]))
    lost_us = 6 * (finished[1] - finished[0]) / 2
    assert lost_us > SECOND
    assert said_us == pytest.approx(lost_us, rel=0.35)


def test_an_idle_engine_has_nobody_to_burden() -> None:
    expected = watch(GPU).estimate(500, 500)
    assert (expected.burden_us, expected.harmed) == (0, 0)


def test_who_would_be_late_for_one_more_alone_is_counted() -> None:
    # [REQUESTS-FORECAST.2]
    watched = watch(GPU)
    alone_us = watched.estimate(1_000, 500).finish_us
    tight = watched.begin(1_000, 500, Moment(watched.now + alone_us * 105 // 100))
    watched.pass_time(SECOND)
    assert watched.estimate(8_000, 2_000).harmed == 1
    watched.measure(tight)
    watched.begin(1_000, 500, Moment(watched.now + 10 * alone_us))
    watched.pass_time(SECOND)
    assert watched.estimate(8_000, 2_000).harmed == 0


def test_a_stranger_engine_is_taken_for_a_usual_one_and_its_first_run_corrects_that() -> None:
    watched = Watched(find_profile("RTX-3090:Qwen3-8B"))
    cold = watched.estimate(500, 500).finish_us
    assert cold == pytest.approx(5 * SECOND, rel=0.2)
    watched.measure(watched.begin(500, 500))
    name = watched.begin(500, 500)
    warm = watched.estimates.estimate(ask(500, 500), SMALL, IDLE)
    assert warm.finish_us > 1.5 * cold
    watched.measure(name)


def test_an_embedding_has_no_answer_to_decode() -> None:
    asked = summary(1, endpoint=Endpoint.EMBEDDINGS)
    found = Estimates().estimate(asked, SMALL, IDLE)
    assert found.finish_us == found.first_token_us


def test_a_full_engine_makes_its_queue_wait() -> None:
    # [REQUESTS-FORECAST.3]
    watched = watch(GPU)
    for _ in range(4):
        watched.begin(500, 500)
    watched.pass_time(SECOND)
    asked, found = ask(500, 500), []
    for slots, waiting in ((5, 0), (4, 0), (4, 3), (4, 100)):
        load = LoadView(slots, 4, own_waiting=waiting, engine="gpu", at=watched.now)
        found.append(watched.estimates.estimate(asked, SMALL, load).first_token_us)
    assert found[0] < SECOND < found[1] < found[2] < found[3]
    assert found[3] > 10 * found[2]


def test_what_others_send_an_engine_directly_slows_it_down() -> None:
    watched = watch(GPU)
    asked = ask(500, 500)
    alone = watched.estimates.estimate(asked, SMALL, IDLE)
    load = LoadView(64, 30, engine="gpu", foreign=30)
    shared = watched.estimates.estimate(asked, SMALL, load)
    assert shared.finish_us > alone.finish_us
    assert shared.burden_us > 0


@settings(max_examples=50, deadline=None)
@given(
    some.lists(
        some.tuples(
            some.integers(0, 3),
            some.integers(0, TOKENS_MAX),
            some.integers(0, TOKENS_MAX),
            some.integers(0, 3_600 * SECOND),
        ),
        max_size=30,
    )
)
def test_whatever_happens_an_estimate_can_travel(steps: list[tuple[int, int, int, int]]) -> None:
    estimates, now, alive = Estimates(), Moment(0), 0
    for number, (kind, prompt, tokens, span_us) in enumerate(steps):
        now = Moment(now + span_us)
        session = SessionId(Role.EXECUTOR, alive)
        if kind == 0:
            alive = number + 1
            session = SessionId(Role.EXECUTOR, alive)
            asked = ask(prompt, tokens)
            begun = RunBegun(session, "gpu", SMALL, 4, asked, NEVER, asker=node(1))
            estimates.begin_run(begun, 0, now)
        elif kind == 1:
            estimates.note_first_output(session, now)
        elif kind == 2:
            estimates.note_progress(session, tokens, now)
        else:
            estimates.end_run(session, tokens, now, is_whole=True)
        load = LoadView(4, 4, own_waiting=number, engine="gpu", kv_tokens=5_000, at=now)
        found = estimates.estimate(ask(prompt, tokens), SMALL, load)
        assert 0 <= found.first_token_us <= found.finish_us <= ESTIMATE_MAX_US
        assert 0 <= found.burden_us <= ESTIMATE_MAX_US


# -- lengths -------------------------------------------------------------------------------------


def answer(estimates: Estimates, tokens: int, client: str = "", times: int = 1) -> None:
    run = RunMeasured(node(0), "gpu", SMALL, 100, tokens, 0, 1, 2, 0, client=client)
    for _ in range(times):
        estimates.learn_length(run)


def test_each_clients_answers_are_as_long_as_its_own_were() -> None:
    # [REQUESTS-LENGTHS.1]
    estimates = Estimates()
    answer(estimates, 2_000, "writer", 20)
    answer(estimates, 20, "labeller", 20)
    asked = summary(1, completion_tokens_max=0)
    assert estimates.expect("writer", asked).completion_tokens_expected == 2_000
    assert estimates.expect("labeller", asked).completion_tokens_expected == 20
    stranger = estimates.expect("stranger", asked).completion_tokens_expected
    assert 900 < stranger < 1_100


def test_a_client_of_few_answers_is_taken_half_for_everybody() -> None:
    estimates = Estimates()
    answer(estimates, 100, "usual", 200)
    answer(estimates, 1_000, "new", 4)
    asked = summary(1, completion_tokens_max=0)
    assert 500 < estimates.expect("new", asked).completion_tokens_expected < 600


def test_no_answer_is_expected_to_be_longer_than_its_user_allows() -> None:
    estimates = Estimates()
    answer(estimates, 2_000, "writer", 20)
    asked = summary(1, completion_tokens_max=300)
    assert estimates.expect("writer", asked).completion_tokens_expected == 300
    assert estimates.predict_tokens(ask(100, 5_000, completion_tokens_max=7), SMALL) == 107


def test_a_few_long_answers_do_not_make_the_next_one_long() -> None:
    estimates = Estimates()
    answer(estimates, 200, times=500)
    answer(estimates, 2_000, times=16)
    asked = summary(1, completion_tokens_max=0)
    assert 240 <= estimates.expect("", asked).completion_tokens_expected <= 270


def test_an_answer_longer_than_expected_is_expected_to_go_on() -> None:
    # [REQUESTS-LENGTHS.2]
    watched = watch(GPU)
    begun = RunBegun(SessionId(Role.EXECUTOR, 0), "gpu", SMALL, 64, ask(100, 100), NEVER)
    watched.estimates.begin_run(begun, 0, watched.now)
    watched.estimates.note_first_output(begun.session, watched.now)
    watched.estimates.note_progress(begun.session, 5_000, Moment(watched.now + 100 * SECOND))
    load = LoadView(1, 1, engine="gpu", at=Moment(watched.now + 100 * SECOND))
    found = watched.estimates.estimate(ask(10, 10), SMALL, load)
    assert found.first_token_us > 5 * SECOND, "a tenth of what it has made is the least to come"


def test_whoever_says_too_little_is_soon_not_believed() -> None:
    # [REQUESTS-LENGTHS.3]
    estimates = Estimates()
    liar, honest = node(1), node(2)
    for number in range(60):
        _work(estimates, number, liar, stated=100, tokens=1_000)
        _work(estimates, 1_000 + number, honest, stated=1_000, tokens=1_000)
    asked = ask(100, 100)
    assert estimates.believe(liar, asked).completion_tokens_expected > 700
    assert estimates.believe(honest, asked).completion_tokens_expected == 100
    assert estimates.believe(node(3), asked).completion_tokens_expected == 100
    for number in range(200):
        _work(estimates, 2_000 + number, liar, stated=1_000, tokens=1_000)
    assert estimates.believe(liar, asked).completion_tokens_expected < 120, "it may mend"


def test_one_odd_answer_makes_nobody_a_liar() -> None:
    # [REQUESTS-LENGTHS.3] else its requests would be turned away, and it could never show better
    estimates = Estimates()
    for number in range(60):
        _work(estimates, number, node(2), stated=1_000, tokens=1_000)
    _work(estimates, 100, node(1), stated=350, tokens=11_000)
    assert estimates.believe(node(1), ask(100, 1_000)).completion_tokens_expected < 2_500


def test_who_breaks_off_answers_is_not_taken_to_have_short_ones() -> None:
    # [REQUESTS-LENGTHS.3]
    estimates = Estimates()
    for number in range(60):
        _work(estimates, number, node(1), stated=1_000, tokens=5, is_whole=False)
    assert estimates.believe(node(1), ask(100, 1_000)).completion_tokens_expected == 1_000


def test_who_says_nothing_is_taken_for_the_usual() -> None:
    estimates = Estimates()
    answer(estimates, 640, times=200)
    assert 600 < estimates.believe(node(1), ask(100, 0)).completion_tokens_expected <= 640


def _work(
    estimates: Estimates,
    number: int,
    asker: NodeId,
    *,
    stated: int,
    tokens: int,
    is_whole: bool = True,
) -> None:
    session = SessionId(Role.EXECUTOR, number)
    asked = ask(100, stated)
    begun = RunBegun(session, "gpu", SMALL, 64, asked, NEVER, asker=asker, stated_tokens=stated)
    estimates.begin_run(begun, 0, Moment(number * SECOND))
    estimates.note_first_output(session, Moment(number * SECOND + 1))
    estimates.end_run(session, tokens, Moment(number * SECOND + 100_000), is_whole=is_whole)
