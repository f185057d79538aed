"""A user who wants one answer gets what the stream said, whole: joined, ordered, nothing lost.

Streams in the shape of known engines go in as bytes; the answer is read back as JSON.
"""

import tracemalloc
from typing import cast

import msgspec
import pytest

from wwwserve.core.requests import assembly
from wwwserve.core.requests.assembly import ReplyAssembler
from wwwserve.core.requests.chunks import read_chunk
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Endpoint

Json = dict[str, object]


def assemble(*chunks: Json, endpoint: Endpoint = Endpoint.CHAT) -> Json:
    assembler = ReplyAssembler(endpoint, "org/name")
    for chunk in chunks:
        add(assembler, b"data: " + msgspec.json.encode(chunk) + b"\n\n")
    add(assembler, b": ping\n\n")
    return cast("Json", msgspec.json.decode(assembler.result()))


def add(assembler: ReplyAssembler, event: bytes) -> None:
    assembler.add(read_chunk(event))


def chunk(delta: Json, index: int = 0, **fields: object) -> Json:
    return {"choices": [{"index": index, "delta": delta}], "model": "engine"} | fields


def read_choice(reply: Json, index: int = 0) -> Json:
    return cast("list[Json]", reply["choices"])[index]


def read_message(reply: Json) -> Json:
    return cast("Json", read_choice(reply)["message"])


def test_text_of_all_kinds_is_joined() -> None:
    reply = assemble(
        chunk({"role": "assistant", "content": None}),
        chunk({"reasoning_content": "let "}),
        chunk({"reasoning_content": "me"}),
        chunk({"content": "H"}),
        chunk({"content": "i", "thinking_signature": "ab"}),
        chunk({"thinking_signature": "cd"}),
    )
    assert read_message(reply) == {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "let me",
        "thinking_signature": "abcd",
    }


def test_names_are_those_of_a_whole_answer() -> None:
    reply = assemble(chunk({"content": "x"}, object="chat.completion.chunk", id="c1", created=5))
    assert (reply["object"], reply["model"]) == ("chat.completion", "org/name")
    assert (reply["id"], reply["created"]) == ("c1", 5)


def test_choices_come_in_their_order_whatever_order_they_were_sent_in() -> None:
    reply = assemble(*[chunk({"content": str(index)}, index) for index in (10, 2, 0, 1)])
    choices = cast("list[Json]", reply["choices"])
    assert [choice["index"] for choice in choices] == [0, 1, 2, 10]


def test_tool_calls_are_merged_by_index() -> None:
    def call(index: int, **fields: object) -> Json:
        return chunk({"tool_calls": [{"index": index} | fields]})

    reply = assemble(
        call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
        call(1, id="b", type="function", function={"name": "g", "arguments": "{"}),
        call(0, function={"arguments": '{"x"'}),
        call(0, function={"arguments": ":1}"}),
        call(1, function={"arguments": "}"}),
    )
    assert read_message(reply)["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert read_message(reply)["content"] is None


def test_tool_calls_without_index_are_told_apart_by_id() -> None:
    reply = assemble(
        chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "1"}}]}),
        chunk({"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "2"}}]}),
        chunk({"tool_calls": [{"function": {"arguments": "3"}}]}),
    )
    calls = cast("list[Json]", read_message(reply)["tool_calls"])
    assert [call["function"] for call in calls] == [
        {"name": "f", "arguments": "1"},
        {"name": "g", "arguments": "23"},
    ]


def test_an_old_function_call_and_a_refusal_are_joined() -> None:
    reply = assemble(
        chunk({"function_call": {"name": "f", "arguments": "{"}}),
        chunk({"function_call": {"arguments": "}"}, "refusal": "No"}),
        chunk({"refusal": "pe"}),
    )
    assert read_message(reply)["function_call"] == {"name": "f", "arguments": "{}"}
    assert read_message(reply)["refusal"] == "Nope"


def test_log_probabilities_of_chat_are_joined() -> None:
    def word(token: str) -> Json:
        choice = {"index": 0, "delta": {"content": token}, "logprobs": {"content": [token]}}
        return {"choices": [choice]}

    assert read_choice(assemble(word("a"), word("b")))["logprobs"] == {"content": ["a", "b"]}


def test_a_text_completion_is_put_together() -> None:
    def word(text: str, **fields: object) -> Json:
        logprobs = {"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": None}
        return {"choices": [{"index": 0, "text": text, "logprobs": logprobs} | fields]}

    reply = assemble(
        word("a", finish_reason=None), word("b", finish_reason="stop"),
        endpoint=Endpoint.COMPLETIONS,
    )  # fmt: skip
    assert reply["object"] == "text_completion"
    assert read_choice(reply) == {
        "index": 0,
        "text": "ab",
        "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-0.5, -0.5], "top_logprobs": None},
        "finish_reason": "stop",
    }


def test_unknown_fields_stay_and_null_takes_nothing_back() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    reply = assemble(
        chunk({"content": "x", "new": {"deep": 1}}, timings={"ms": 1}, usage=usage),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": 7}]},
        {"choices": [], "usage": None, "timings": {"ms": 2}},
    )
    assert reply["usage"] == usage
    assert reply["timings"] == {"ms": 2}
    assert read_choice(reply)["stop_reason"] == 7
    assert read_message(reply)["new"] == {"deep": 1}


def test_digits_of_numbers_stay() -> None:
    assembler = ReplyAssembler(Endpoint.CHAT, "m")
    exact = b"1.1000000000000000000000000001"
    add(
        assembler, b'data: {"choices":[{"index":0,"delta":{"content":"x"}}],"p":' + exact + b"}\n\n"
    )
    assert exact in assembler.result()


@pytest.mark.parametrize(
    "event",
    [
        b"data: not json\n\n",
        b"data: [1]\n\n",
        b'data: {"choices":3}\n\n',
        b'data: {"choices":[{"delta":"x"}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[3]}}]}\n\n',
        b"data: " + b'{"a":' * 5_000 + b"\n\n",
    ],
)
def test_what_is_no_chunk_is_refused(event: bytes) -> None:
    with pytest.raises(Refusal, match="reply-chunk"):
        add(ReplyAssembler(Endpoint.CHAT, "m"), event)


def test_an_answer_that_never_came_is_refused() -> None:
    with pytest.raises(Refusal, match="reply-empty"):
        ReplyAssembler(Endpoint.CHAT, "m").result()


def test_an_endless_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "REPLY_BYTES_MAX", 100)
    assembler = ReplyAssembler(Endpoint.CHAT, "m")
    event = b'data: {"choices":[{"index":0,"delta":{"content":"xxxxxxxxxx"}}]}\n\n'
    add(assembler, event)
    with pytest.raises(Refusal, match="reply-length"):
        add(assembler, event)


def test_endless_choices_and_calls_are_refused() -> None:
    assembler = ReplyAssembler(Endpoint.CHAT, "m")
    choices = [{"index": index, "delta": {}} for index in range(200)]
    with pytest.raises(Refusal, match="reply-choices"):
        add(assembler, b"data: " + msgspec.json.encode({"choices": choices}) + b"\n\n")
    calls = [{"index": index} for index in range(2_000)]
    with pytest.raises(Refusal, match="reply-calls"):
        add(assembler, b"data: " + msgspec.json.encode(chunk({"tool_calls": calls})) + b"\n\n")


def test_answers_made_of_short_pieces_take_about_the_room_of_their_bytes() -> None:
    # A hostile executor chooses the shape of what is kept; every item as an object was 33 times.
    assembler = ReplyAssembler(Endpoint.COMPLETIONS, "org/name")
    said: Json = {"choices": [{"logprobs": {"tokens": [1] * 20_000}}]}
    event = b"data: " + msgspec.json.encode(said) + b"\n\n"
    tracemalloc.start()
    try:
        for _ in range(20):
            add(assembler, event)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 2 * 20 * len(event)


def test_endless_members_are_refused() -> None:
    assembler = ReplyAssembler(Endpoint.CHAT, "org/name")
    with pytest.raises(Refusal, match="reply-fields"):
        add(assembler, b"data: " + msgspec.json.encode({f"{n}": 1 for n in range(100)}) + b"\n\n")
