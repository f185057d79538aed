"""The mock engine is predictable: equal requests, equal answers; whole and streamed say the same.

The answers are read back with the official `openai` types, so that the shapes are OpenAI's.
"""

import base64
import struct

import msgspec
import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from wwwserve.adapters.engines.mock_answers import (
    Fields,
    encode_embeddings,
    encode_stream_head,
    encode_stream_tail,
    encode_stream_words,
    encode_whole,
    plan_answer,
)
from wwwserve.wire import Endpoint

CHAT: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "two words"}]}


def answer_whole(fields: Fields) -> ChatCompletion:
    body = encode_whole(plan_answer(Endpoint.CHAT, fields, tokens=5))
    return ChatCompletion.model_validate_json(body)


def answer_stream(fields: Fields) -> list[ChatCompletionChunk]:
    answer = plan_answer(Endpoint.CHAT, fields, tokens=5)
    stream = encode_stream_head(answer) + b"".join(encode_stream_words(answer))
    *events, done, rest = (stream + encode_stream_tail(answer)).split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [ChatCompletionChunk.model_validate_json(event[6:]) for event in events]


def join_text(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


@pytest.mark.parametrize(
    "extra", [{}, {"logprobs": True}, {"n": 2}, {"seed": 9}, {"max_tokens": 2}]
)
def test_a_stream_says_what_the_whole_answer_says(extra: dict[str, object]) -> None:
    whole, chunks = answer_whole(CHAT | extra), answer_stream(CHAT | extra)
    for choice in whole.choices:
        assert join_text(chunks, choice.index) == choice.message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert answer_whole(CHAT | extra) == whole


def test_the_seed_and_the_prompt_choose_the_words() -> None:
    texts = {
        answer_whole(CHAT | extra).choices[0].message.content
        for extra in ({}, {"seed": 1}, {"seed": 2}, {"messages": "other"})
    }
    assert len(texts) == 4


def test_a_limit_cuts_and_usage_counts() -> None:
    cut = answer_whole(CHAT | {"max_completion_tokens": 3})
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert (cut.usage.prompt_tokens, cut.usage.completion_tokens) == (2, 3)
    chunks = answer_stream(CHAT | {"max_tokens": 3, "stream_options": {"include_usage": True}})
    assert chunks[-1].usage == cut.usage
    assert chunks[-1].choices == []


def test_an_offered_tool_is_called_unless_that_is_forbidden() -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    called = answer_whole(CHAT | {"tools": tools}).choices[0]
    assert called.finish_reason == "tool_calls"
    assert called.message.tool_calls is not None
    streamed = answer_stream(CHAT | {"tools": tools})[1].choices[0].delta.tool_calls
    assert streamed is not None
    assert streamed[0].id == called.message.tool_calls[0].id
    spoken = answer_whole(CHAT | {"tools": tools, "tool_choice": "none"}).choices[0]
    assert spoken.message.content


def test_what_nobody_knows_is_echoed_in_both_forms() -> None:
    fields = CHAT | {"odd": [1, {"a": None}]}
    whole = msgspec.json.decode(encode_whole(plan_answer(Endpoint.CHAT, fields, tokens=1)))
    first = encode_stream_head(plan_answer(Endpoint.CHAT, fields, tokens=1)).split(b"\n\n")[0]
    assert whole["echo"] == msgspec.json.decode(first[6:])["echo"] == {"odd": [1, {"a": None}]}


def test_completions_have_a_choice_for_each_prompt() -> None:
    answer = plan_answer(Endpoint.COMPLETIONS, {"model": "m", "prompt": ["a", "b"]}, tokens=2)
    whole = Completion.model_validate_json(encode_whole(answer))
    assert [choice.index for choice in whole.choices] == [0, 1]
    words = [msgspec.json.decode(event[6:]) for event in encode_stream_words(answer)]
    assert "".join(word["choices"][0]["text"] for word in words[::2]) == whole.choices[0].text


def test_embeddings_are_the_same_in_both_encodings() -> None:
    fields: dict[str, object] = {"model": "m", "input": ["a", "b"]}
    plain = CreateEmbeddingResponse.model_validate_json(encode_embeddings(fields, dimensions=8))
    packed = msgspec.json.decode(
        encode_embeddings(fields | {"encoding_format": "base64"}, dimensions=8)
    )
    for index, entry in enumerate(plain.data):
        raw = base64.b64decode(packed["data"][index]["embedding"])
        assert list(struct.unpack("<8f", raw)) == pytest.approx(entry.embedding)
    assert plain.data[0].embedding != plain.data[1].embedding
