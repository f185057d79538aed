"""What an engine's cache keeps of prompts, watched from outside: what is not read a second time.

Rounds cost 10 ms whatever they compute, and read at most 64 tokens: so a prompt's first token tells
how much of it had to be read. Blocks are 16 tokens, caches a few of them.
"""

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.enginemodel.test_batching import BLOCK, TEN_MS, Story, begin
from wwwserve.enginemodel import Demand, Thread

READ = 4 * BLOCK
"""Tokens an iteration reads."""
TALK = Thread(1)


def start(blocks: int = 1_000) -> Story:
    return begin(blocks=blocks, batched=READ)


def run(
    story: Story, name: int, prompt: int, output: int, thread: Thread | None
) -> tuple[int, int]:
    """One alone: the rounds to its first token, and the tokens it found."""
    at = story.iterations[-1].ended if story.iterations else 0
    story.submit(name, prompt, output, at, thread)
    story.run()
    first = next(one for one in story.iterations if name in one.first)
    return (first.ended - at) // TEN_MS, first.cached_tokens[first.first.index(name)]


def test_the_next_turn_reads_only_what_is_new() -> None:
    story = start()
    assert run(story, 1, 4 * READ, BLOCK, TALK) == (4, 0)
    # The answer is part of the next prompt, but for its last token, which was made and not read.
    assert run(story, 2, 5 * READ, 1, TALK) == (1, 4 * READ)
    assert run(story, 3, 5 * READ + BLOCK, 1, TALK) == (1, 5 * READ)


def test_an_answer_is_kept_as_well() -> None:
    story = start()
    run(story, 1, READ, 2 * READ + 1, TALK)
    assert run(story, 2, 4 * READ, 1, TALK) == (1, 3 * READ)


def test_the_same_prompt_again_still_reads_its_last_token() -> None:
    story = start()
    run(story, 1, READ, 1, TALK)
    assert run(story, 2, READ, 1, TALK) == (1, READ - BLOCK)


def test_conversations_of_one_root_share_it_and_nothing_else() -> None:
    story = start()
    one, two = (Thread(name, root=9, root_tokens=2 * READ + 1) for name in (1, 2))
    run(story, 1, 4 * READ, 1, one)
    assert run(story, 2, 4 * READ, 1, two) == (2, 2 * READ)
    assert run(story, 3, 4 * READ, 1, Thread(3, root=8, root_tokens=2 * READ)) == (4, 0)


def test_what_nobody_asked_to_keep_is_not_kept() -> None:
    story = start()
    run(story, 1, READ, 1, None)
    assert run(story, 2, READ, 1, None) == (1, 0)


def test_what_is_shared_takes_room_once() -> None:
    story = start(blocks=16)
    root = {"root": 9, "root_tokens": 12 * BLOCK}
    story.submit(1, 12 * BLOCK, 3 * BLOCK, thread=Thread(1, **root))
    story.run()
    for name in (2, 3):
        story.submit(name, 12 * BLOCK + 1, 1, story.iterations[-1].ended, Thread(name, **root))
    before = len(story.iterations)
    story.run()
    assert story.when_first(2) == story.when_first(3), "both fit, for the root is there once"
    assert len(story.iterations) == before + 1
    assert story.engine.read_load().kv_blocks_used == 0


def test_the_longest_unused_makes_room_and_its_end_first() -> None:
    story = start(blocks=16)
    old, new = Thread(1), Thread(2)
    run(story, 1, 8 * BLOCK, 1, old)
    run(story, 2, 8 * BLOCK, 1, new)
    run(story, 3, 4 * BLOCK, 1, None)
    assert story.engine.count_cached(Demand(8 * BLOCK + 1, 1, new)) == 8 * BLOCK
    assert story.engine.count_cached(Demand(8 * BLOCK + 1, 1, old)) == 4 * BLOCK


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 200), st.integers(1, 40)), max_size=20),
    st.integers(20, 60),
)
def test_no_more_is_found_than_was_there(turns: list[tuple[int, int, int]], blocks: int) -> None:
    story = start(blocks=blocks)
    longest: dict[int, int] = {}
    for name, (talk, prompt, output) in enumerate(turns):
        thread = Thread(talk)
        foreseen = story.engine.count_cached(Demand(prompt, output, thread))
        _, found = run(story, name, prompt, output, thread)
        assert found == foreseen
        assert found < prompt
        assert found <= longest.get(talk, 0)
        assert found % BLOCK == 0
        longest[talk] = max(longest.get(talk, 0), prompt + output)
    assert story.engine.read_load().kv_blocks_used == 0
