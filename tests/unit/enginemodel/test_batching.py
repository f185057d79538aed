"""What the batching engine does, watched from outside: who runs, who waits, who is preempted, when.

A profile with round costs makes every iteration's length a sum one can do by hand: 10 ms, and 1 ms
for each thousand prompt tokens. The cache has room for a few blocks, so that it runs out early.
Seeded crowds then check what must hold whatever comes: every token is made once, no block is lost,
and advancing late changes nothing.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.enginemodel import (
    BatchingEngine,
    Demand,
    EngineProfile,
    Iteration,
    IterationTiming,
    SequenceId,
    Thread,
)
from wwwserve.enginemodel.batching import WAITING_MAX
from wwwserve.values.moments import MILLISECOND, NEVER, Moment
from wwwserve.values.refusals import Refusal, Severity

TEN_MS = 10 * MILLISECOND
BLOCK = 16


def make_profile(*, blocks: int = 1_000, sequences: int = 8, batched: int = 1_024) -> EngineProfile:
    timing = IterationTiming(
        t0_s=0.010,
        w_s=0.0,
        g_s_per_token=0.0,
        r_s_per_token=0.0,
        c_s_per_seq=0.0,
        d_s_per_kv_token=0.0,
        e_s_per_pair=0.0,
    )
    return EngineProfile(
        gpu="gpu",
        model="model",
        tp=1,
        dtype="bf16",
        iteration_model=timing,
        kv_bytes_per_token=1,
        kv_capacity_tokens=blocks * BLOCK,
        max_num_seqs=sequences,
        max_batched_tokens=batched,
        confidence="high",
        evidence=(),
    )


@dataclass
class Story:
    """An engine and everything it has said."""

    engine: BatchingEngine
    iterations: list[Iteration] = field(default_factory=list)

    def submit(
        self, name: int, prompt: int, output: int, at: int = 0, thread: Thread | None = None
    ) -> None:
        self.engine.submit(SequenceId(name), Demand(prompt, output, thread), Moment(at))

    def run(self) -> None:
        """Until nothing is left to do."""
        while (deadline := self.engine.next_deadline()) != NEVER:
            self.iterations += self.engine.advance(deadline)

    def when_first(self, name: int) -> int:
        return next(i.ended for i in self.iterations if name in i.first)

    def when_finished(self, name: int) -> int:
        return next(i.ended for i in self.iterations if name in i.finished)

    def count_tokens(self, name: int) -> int:
        return sum((name in i.first) + (name in i.further) for i in self.iterations)


def begin(**limits: int) -> Story:
    return Story(BatchingEngine(make_profile(**limits)))


def test_an_idle_engine_waits_for_nothing() -> None:
    engine = begin().engine
    assert engine.next_deadline() == NEVER
    assert engine.advance(Moment(10**12)) == []


def test_the_first_token_comes_with_the_prompt_and_then_one_an_iteration() -> None:
    story = begin()
    story.submit(1, prompt=100, output=5, at=777)
    story.run()
    assert story.when_first(1) == 777 + TEN_MS
    assert story.when_finished(1) == 777 + 5 * TEN_MS
    assert story.count_tokens(1) == 5


def test_what_comes_together_runs_together() -> None:
    story = begin()
    for name in (1, 2, 3):
        story.submit(name, prompt=100, output=3)
    story.run()
    assert [i.first for i in story.iterations] == [(1, 2, 3), (), ()]
    assert {story.when_finished(name) for name in (1, 2, 3)} == {3 * TEN_MS}


def test_who_comes_during_an_iteration_joins_the_next() -> None:
    story = begin()
    story.submit(1, prompt=10, output=3)
    story.engine.advance(Moment(0))
    story.submit(2, prompt=10, output=1, at=1)
    story.run()
    assert story.when_first(2) == 2 * TEN_MS


def test_a_long_prompt_is_read_in_pieces_beside_those_who_decode() -> None:
    story = begin(batched=100)
    story.submit(1, prompt=50, output=6)
    story.submit(2, prompt=250, output=1)
    story.run()
    # 50 of 250 beside the first prompt, then 99 beside each of its tokens, then the rest.
    assert story.when_first(2) == 4 * TEN_MS
    assert story.when_finished(1) == 6 * TEN_MS


def test_no_more_run_than_may() -> None:
    story = begin(sequences=2)
    for name in (1, 2, 3):
        story.submit(name, prompt=10, output=4)
    story.engine.advance(Moment(0))
    load = story.engine.read_load()
    assert (load.running, load.waiting) == (2, 1)
    story.run()
    assert story.when_first(3) == 5 * TEN_MS


def test_a_prompt_waits_until_all_of_it_fits() -> None:
    story = begin(blocks=4)
    story.submit(1, prompt=2 * BLOCK, output=BLOCK)
    story.submit(2, prompt=3 * BLOCK, output=1)
    story.submit(3, prompt=1, output=1)
    story.run()
    assert story.when_first(2) > story.when_finished(1)
    assert story.when_first(3) >= story.when_first(2), "nobody overtakes in the queue"


def test_when_the_cache_runs_out_the_newest_is_computed_again() -> None:
    story = begin(blocks=4)
    story.submit(1, prompt=2 * BLOCK, output=20)
    story.submit(2, prompt=2 * BLOCK, output=20)
    story.run()
    assert [i.preempted for i in story.iterations if i.preempted] == [(SequenceId(2),)]
    assert story.when_finished(1) == 20 * TEN_MS, "the older one never notices"
    assert story.when_finished(2) > story.when_finished(1)
    assert (story.count_tokens(1), story.count_tokens(2)) == (20, 20)
    assert story.engine.read_load().preemptions == 1


def test_what_can_never_fit_is_refused_at_once() -> None:
    story = begin(blocks=4)
    with pytest.raises(Refusal, match="64"):
        story.submit(1, prompt=60, output=5)
    assert story.engine.next_deadline() == NEVER
    story.submit(2, prompt=60, output=4)
    story.run()
    assert story.count_tokens(2) == 4


def test_a_cancelled_sequence_is_silent_and_its_room_is_free() -> None:
    story = begin(blocks=4, sequences=1)
    story.submit(1, prompt=10, output=50)
    story.submit(2, prompt=10, output=2)
    story.submit(3, prompt=10, output=2)
    story.iterations += story.engine.advance(Moment(2 * TEN_MS))
    for name in (1, 3, 99):
        story.engine.cancel(SequenceId(name))
    assert story.engine.read_load().kv_blocks_used == 0
    story.run()
    assert story.count_tokens(1) == 2
    assert story.when_first(2) == 4 * TEN_MS, "the iteration under way is not cut short"
    assert story.count_tokens(3) == 0


def test_a_full_queue_refuses_one_more() -> None:
    story = begin()
    for name in range(WAITING_MAX):
        story.submit(name, prompt=1, output=1)
    with pytest.raises(Refusal) as caught:
        story.submit(WAITING_MAX, prompt=1, output=1)
    assert caught.value.severity is Severity.IGNORE
    assert story.engine.read_load().waiting == WAITING_MAX


THREADS = (None, *(Thread(name, root=name // 2, root_tokens=2 * BLOCK) for name in range(4)))
Crowd = st.lists(
    st.tuples(
        st.integers(0, 20 * TEN_MS),
        st.integers(1, 5 * BLOCK),
        st.integers(1, 3 * BLOCK),
        st.integers(0, len(THREADS) - 1),
    ),
    min_size=1,
    max_size=12,
)


@given(Crowd, st.integers(8, 20))
def test_every_token_is_made_once_and_no_block_is_lost(
    crowd: list[tuple[int, int, int, int]], blocks: int
) -> None:
    story = begin(blocks=blocks, sequences=4, batched=48)
    for name, (at, prompt, output, thread) in enumerate(sorted(crowd)):
        story.submit(name, prompt, output, at, THREADS[thread])
    story.run()
    for name, (_, _, output, _) in enumerate(sorted(crowd)):
        assert story.count_tokens(name) == output
    load = story.engine.read_load()
    assert (load.running, load.waiting, load.kv_blocks_used) == (0, 0, 0)


@given(Crowd, st.lists(st.integers(1, 60 * TEN_MS), max_size=30), st.integers(8, 200))
def test_advancing_late_changes_nothing(
    crowd: list[tuple[int, int, int, int]], waits: list[int], blocks: int
) -> None:
    prompt_story, late_story = begin(blocks=blocks), begin(blocks=blocks)
    for name, (at, prompt, output, thread) in enumerate(sorted(crowd)):
        prompt_story.submit(name, prompt, output, at, THREADS[thread])
        late_story.submit(name, prompt, output, at, THREADS[thread])
    prompt_story.run()
    now = 0
    for wait in waits:
        now += wait
        late_story.iterations += late_story.engine.advance(Moment(now))
    late_story.run()
    assert late_story.iterations == prompt_story.iterations


@given(Crowd, st.integers(8, 200))
def test_no_news_comes_before_it_was_foretold(
    crowd: list[tuple[int, int, int, int]], blocks: int
) -> None:
    story, told = begin(blocks=blocks), begin(blocks=blocks)
    for name, (at, prompt, output, thread) in enumerate(sorted(crowd)):
        story.submit(name, prompt, output, at, THREADS[thread])
        told.submit(name, prompt, output, at, THREADS[thread])
    story.run()
    wakes = 0
    while (news := told.engine.find_news()) != NEVER:
        brought = told.engine.advance(news)
        told.iterations += brought
        assert not any(one.first or one.finished for one in brought if one.ended < news)
        wakes += 1
    assert told.iterations == story.iterations
    assert wakes <= 2 * len(story.iterations) + 2


def test_a_long_answer_is_news_twice() -> None:
    story = begin()
    story.submit(1, 100, 500)
    wakes = 0
    while (news := story.engine.find_news()) != NEVER:
        story.iterations += story.engine.advance(news)
        wakes += 1
    assert story.count_tokens(1) == 500
    assert wakes < 5


def test_tokens_are_counted_while_they_are_made() -> None:
    engine = BatchingEngine(make_profile())
    engine.submit(SequenceId(1), Demand(10, 40), Moment(0))
    assert engine.count_made(SequenceId(1)) == 0
    engine.advance(Moment(10 * TEN_MS))
    assert engine.count_made(SequenceId(1)) == 10
    engine.advance(Moment(100 * TEN_MS))
    assert engine.count_made(SequenceId(1)) == 0, "it is over"
