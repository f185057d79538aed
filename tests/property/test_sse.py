"""Streams survive every chopping and rewriting: generated answers come out as they went in.

Answers are generated, written as the stream an engine would send, chopped at random, and put
together again; what a user reads must be what the engine said.
"""

from typing import cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.core.requests.assembly import ReplyAssembler
from wwwserve.core.requests.chunks import Chunk, read_chunk
from wwwserve.core.requests.rewriting import StreamRewriter
from wwwserve.core.requests.sse import EventSplitter, StreamMeter, split_events
from wwwserve.wire import Endpoint

Json = dict[str, object]

# Words that look like what the rewriter searches for are as likely as any others.
WORDS = st.sampled_from(
    [
        "model",
        "usage",
        "index",
        "error",
        '"model":"engine"',
        '","model":"engine',
        "\n\n",
        "\r\n",
        "😀",
    ]
)
TEXTS = st.lists(st.text(max_size=8) | WORDS, max_size=6)
RAW_STREAMS = st.lists(st.sampled_from([b"\n", b"\r", b"data: x", b":c"]), max_size=30).map(
    b"".join
)
CUTS = st.lists(st.integers(min_value=0, max_value=400), max_size=8)


@st.composite
def messages(draw: st.DrawFn) -> Json:
    message: Json = {"role": "assistant", "content": draw(st.none() | TEXTS.map("".join))}
    if draw(st.booleans()):
        message["reasoning_content"] = "".join(draw(TEXTS)) + "."
    if draw(st.booleans()):
        message["tool_calls"] = [
            {
                "id": f"call-{number}",
                "type": "function",
                "function": {"name": draw(st.text(max_size=5)), "arguments": "".join(draw(TEXTS))},
            }
            for number in range(draw(st.integers(min_value=1, max_value=3)))
        ]
    return message


@st.composite
def replies(draw: st.DrawFn) -> Json:
    return {
        "id": draw(st.text(max_size=5)),
        "object": "chat.completion",
        "created": draw(st.integers(min_value=0, max_value=2**40)),
        "model": "engine",
        "unknown": draw(st.none() | st.integers() | TEXTS),
        "choices": [
            {
                "index": index,
                "message": draw(messages()),
                "logprobs": draw(
                    st.none() | st.just({"content": [{"token": "a", "logprob": -1.5}]})
                ),
                "finish_reason": draw(st.sampled_from(["stop", "length", "tool_calls"])),
            }
            for index in range(draw(st.integers(min_value=1, max_value=3)))
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }


def write_stream(reply: Json, piece_length: int) -> list[bytes]:
    """The events an engine would send for a reply, in pieces of so many characters."""
    head = {key: reply[key] for key in ("id", "created", "model", "unknown")}
    head["object"] = "chat.completion.chunk"
    events = []
    for choice in cast("list[Json]", reply["choices"]):
        deltas = list_deltas(cast("Json", choice["message"]), piece_length)
        parts = [{"index": choice["index"], "delta": delta} for delta in deltas]
        events += [head | {"choices": [part]} for part in parts]
        last = {key: value for key, value in choice.items() if key != "message"} | {"delta": {}}
        events.append(head | {"choices": [last]})
    events.append(head | {"choices": [], "usage": reply["usage"]})
    return [b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events]


def list_deltas(message: Json, piece_length: int) -> list[Json]:
    deltas: list[Json] = [{"role": message["role"], "content": message["content"] and ""}]
    for key in ("reasoning_content", "content"):
        text = cast("str", message.get(key) or "")
        starts = range(0, len(text), piece_length)
        deltas += [{key: text[start : start + piece_length]} for start in starts]
    for index, call in enumerate(cast("list[Json]", message.get("tool_calls", []))):
        function = cast("dict[str, str]", call["function"])
        opened = call | {"index": index, "function": function | {"arguments": ""}}
        rest = {"index": index, "function": {"arguments": function["arguments"]}}
        deltas += [{"tool_calls": [opened]}, {"tool_calls": [rest]}]
    return deltas


def chop(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def assemble(events: list[bytes], public_model: str) -> Json:
    assembler = ReplyAssembler(Endpoint.CHAT, public_model)
    for event in events:
        assembler.add(read_chunk(event))
    return cast("Json", msgspec.json.decode(assembler.result()))


@given(RAW_STREAMS, CUTS)
def test_any_chopping_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    whole = EventSplitter()
    expected = whole.feed(stream)
    chopped = EventSplitter()
    pieces = [chopped.feed(piece) for piece in chop(stream, cuts)]
    assert [event for piece in pieces for event in piece] == expected
    assert b"".join(expected) + whole.finish() == stream
    assert chopped.finish() == stream[len(b"".join(expected)) :]


@given(replies(), st.integers(min_value=1, max_value=9))
def test_an_assembled_stream_is_the_reply(reply: Json, piece_length: int) -> None:
    events = write_stream(reply, piece_length)
    assert assemble(events, "public") == reply | {"model": "public"}


@given(replies(), st.integers(min_value=1, max_value=9), st.booleans())
def test_rewriting_never_changes_content(
    reply: Json,
    piece_length: int,
    is_roleless: bool,  # noqa: FBT001 - drawn
) -> None:
    events = write_stream(reply, piece_length)
    if is_roleless:
        events = [event.replace(b'"role":"assistant",', b"") for event in events]
    rewriter = StreamRewriter("public/name", shows_usage=True)
    parts = StreamMeter().read(b"".join(events))
    shown = b"".join([rewriter.rewrite(part) for part in parts])
    assert assemble(split_events(shown), "x") == reply | {"model": "x"}
    for event in split_events(shown):
        assert cast("Json", msgspec.json.decode(event[6:]))["model"] == "public/name"


@given(replies(), st.integers(min_value=1, max_value=9), CUTS, st.booleans())
def test_batches_are_rewritten_and_counted_as_single_events(
    reply: Json,
    piece_length: int,
    cuts: list[int],
    shows_usage: bool,  # noqa: FBT001 - drawn
) -> None:
    events = [*write_stream(reply, piece_length), b"data: [DONE]\n\n"]
    one_by_one = StreamRewriter("public/name", shows_usage=shows_usage)
    single = StreamMeter()
    expected = b""
    for event in events:
        for part in single.read(event):
            # A chunk of its own, so that nothing is known from the events before it.
            chunk = part if isinstance(part, Chunk) else read_chunk(event)
            expected += one_by_one.rewrite(chunk)
    splitter, batched, meter = (
        EventSplitter(),
        StreamRewriter("public/name", shows_usage=shows_usage),
        StreamMeter(),
    )
    shown = b""
    for piece in chop(b"".join(events), cuts):
        whole = splitter.cut(piece)
        shown += b"".join([batched.rewrite(part) for part in meter.read(whole)])
    assert shown == expected
    assert (meter.completion_tokens, meter.text_bytes, meter.usage, meter.is_done) == (
        single.completion_tokens, single.text_bytes, single.usage, single.is_done
    )  # fmt: skip
