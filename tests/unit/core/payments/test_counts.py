"""How many tokens something is: what is learned from whom, and whose counts stand out."""

from wwwserve.core.payments.counts import (
    EXECUTORS_COUNTED_MAX,
    MODELS_COUNTED_MAX,
    REQUESTS_COMPARED_MIN,
    AnswerLengths,
    CompletionCounts,
    PromptCounts,
    count_completion,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId

MODEL = ModelId("org/small")
HONEST, OTHER, GREEDY = (NodeId(letter * 32) for letter in (b"h", b"o", b"g"))


def test_a_prompt_is_counted_by_its_text_until_a_model_was_measured() -> None:
    counts = PromptCounts()
    assert counts.count(MODEL, 8_000, 1_700) == 1_700
    assert counts.check(MODEL, 8_000) is None
    counts.learn(MODEL, 8_000, 4_000, is_own=False)
    assert counts.count(MODEL, 2_000, 500) == 1_000
    assert counts.check(MODEL, 2_000) is None


def test_own_engines_are_believed_before_other_nodes() -> None:
    counts = PromptCounts()
    counts.learn(MODEL, 8_000, 4_000, is_own=False)
    counts.learn(MODEL, 8_000, 2_000, is_own=True)
    counts.learn(MODEL, 8_000, 8_000, is_own=False)
    counts.note_shortfall(MODEL, 8_000, 8_000)
    assert counts.count(MODEL, 8_000, 1) == 2_000
    assert counts.check(MODEL, 8_000) == 2_000


def test_a_prompt_with_a_picture_or_a_lie_in_it_teaches_nothing() -> None:
    counts = PromptCounts()
    counts.learn(MODEL, 4_000_000, 1_000, is_own=True)
    counts.learn(MODEL, 1_000, 1_001, is_own=True)
    counts.learn(MODEL, 100, 30, is_own=True)
    assert counts.check(MODEL, 8_000) is None


def test_after_a_count_was_not_taken_the_next_is_a_step_higher() -> None:
    counts = PromptCounts()
    counts.note_shortfall(MODEL, 8_000, 2_000)
    assert counts.count(MODEL, 8_000, 2_000) == 2_828


def test_a_new_tokenizer_is_soon_known() -> None:
    counts = PromptCounts()
    for _ in range(100):
        counts.learn(MODEL, 8_000, 2_000, is_own=True)
    for _ in range(200):
        counts.learn(MODEL, 8_000, 4_000, is_own=True)
    assert 3_900 <= counts.count(MODEL, 8_000, 1) <= 4_000


def test_of_many_models_the_one_longest_unheard_of_is_forgotten() -> None:
    counts, lengths = PromptCounts(), AnswerLengths()
    for number in range(MODELS_COUNTED_MAX + 1):
        counts.learn(ModelId(f"org/{number}"), 8_000, 2_000, is_own=True)
        lengths.learn(ModelId(f"org/{number}"), 100)
        if number == 0:
            continue
        counts.learn(ModelId("org/1"), 8_000, 2_000, is_own=True)
        lengths.learn(ModelId("org/1"), 100)
    assert counts.check(ModelId("org/0"), 8_000) is None
    assert lengths.find(ModelId("org/0")) is None
    assert counts.check(ModelId("org/1"), 8_000) == 2_000
    assert lengths.find(ModelId("org/1")) == 100


def test_an_answers_length_follows_what_was_seen() -> None:
    lengths = AnswerLengths()
    assert lengths.find(MODEL) is None
    lengths.learn(MODEL, 1_000)
    assert lengths.find(MODEL) == 1_000
    for _ in range(100):
        lengths.learn(MODEL, 100)
    assert abs((lengths.find(MODEL) or 0) - 100) <= 16


def test_completion_tokens_without_bytes_are_not_paid() -> None:
    assert count_completion(100, 400) == 100
    assert count_completion(100, 40) == 40


def measure(
    counts: CompletionCounts, executor: NodeId, text_bytes: int, requests: int
) -> list[int]:
    """What is noted of an executor whose answers of 100 tokens have so many bytes."""
    told = (counts.learn(MODEL, executor, text_bytes, 100) for _ in range(requests))
    return [news.permille for news in told if news is not None]


def test_an_executor_that_counts_more_tokens_than_others_is_noted_once() -> None:
    counts = CompletionCounts()
    assert measure(counts, HONEST, 420, REQUESTS_COMPARED_MIN) == []
    assert measure(counts, OTHER, 400, REQUESTS_COMPARED_MIN) == []
    assert measure(counts, GREEDY, 300, REQUESTS_COMPARED_MIN - 1) == []
    assert measure(counts, GREEDY, 300, 200) == [731]


def test_who_counts_more_tokens_is_as_much_dearer() -> None:
    counts = CompletionCounts()
    assert counts.convert(MODEL, GREEDY, 1_000) == 1_000
    measure(counts, HONEST, 420, REQUESTS_COMPARED_MIN)
    measure(counts, GREEDY, 350, REQUESTS_COMPARED_MIN - 1)
    assert counts.convert(MODEL, GREEDY, 1_000) == 1_000, "a few answers say little"
    measure(counts, GREEDY, 350, 1)
    assert counts.convert(MODEL, GREEDY, 1_000) == 1_200
    measure(counts, HONEST, 420, 1)
    assert counts.convert(MODEL, HONEST, 1_000) == 1_000, "next to a liar nobody is cheaper"
    assert counts.convert(ModelId("org/else"), GREEDY, 1_000) == 1_000


def test_counts_that_differ_a_little_or_are_alone_are_not_noted() -> None:
    counts = CompletionCounts()
    assert measure(counts, GREEDY, 300, 500) == []
    assert measure(counts, HONEST, 330, 500) == []


def test_executors_remembered_are_bounded() -> None:
    counts = CompletionCounts()
    measure(counts, GREEDY, 300, REQUESTS_COMPARED_MIN)
    for number in range(EXECUTORS_COUNTED_MAX):
        counts.learn(ModelId(f"org/{number}"), HONEST, 400, 100)
    assert measure(counts, HONEST, 400, REQUESTS_COMPARED_MIN) == []
