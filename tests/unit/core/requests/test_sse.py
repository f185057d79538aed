"""What engines really send is split, counted and rewritten right, with no needless byte changed.

Each test feeds events in the shape of a known engine (or of a hostile one) and looks at exactly the
bytes a user would get, or at the counts a node would report.
"""

import pytest

from wwwserve.core.requests.chunks import get_payload, read_chunk
from wwwserve.core.requests.rewriting import StreamRewriter
from wwwserve.core.requests.sse import EventSplitter, StreamMeter
from wwwserve.values.limits import EVENT_BYTES_MAX
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Usage

FIRST = (
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant",'
    b'"content":null}}],"model":"engine.gguf","object":"chat.completion.chunk"}\n\n'
)
WORD = (
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" hi"}}],'
    b'"model":"engine.gguf","object":"chat.completion.chunk"}\n\n'
)
USAGE = (
    b'data: {"choices":[],"model":"engine.gguf","usage":{"prompt_tokens":7,"completion_tokens":3,'
    b'"prompt_tokens_details":{"cached_tokens":2}}}\n\n'
)
DONE = b"data: [DONE]\n\n"


def rewrite(*events: bytes, shows_usage: bool = False) -> list[bytes]:
    rewriter = StreamRewriter("org/name", shows_usage=shows_usage)
    return [rewriter.rewrite(read_chunk(event)) for event in events]


def measure(*events: bytes) -> StreamMeter:
    meter = StreamMeter()
    for event in events:
        meter.read(event)
    return meter


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: 1\n\ndata: 2\n\n", [b"data: 1\n\n", b"data: 2\n\n"]),
        (b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"data: 1\r\n\r\n", b"data: 2\r\n\r\n"]),
        (b": ping\n\ndata: 1\n\n", [b": ping\n\n", b"data: 1\n\n"]),
        (b"data: 1\n\n\ndata: 2\n\n", [b"data: 1\n\n", b"\ndata: 2\n\n"]),
        (b"data: 1\ndata: 2\n\nrest", [b"data: 1\ndata: 2\n\n"]),
        (b"\n\n", [b"\n\n"]),
    ],
)
def test_events_are_found_whatever_the_chunks(stream: bytes, events: list[bytes]) -> None:
    assert EventSplitter().feed(stream) == events
    byte_by_byte = EventSplitter()
    pieces = [byte_by_byte.feed(stream[at : at + 1]) for at in range(len(stream))]
    assert [event for piece in pieces for event in piece] == events
    assert byte_by_byte.finish() == stream[len(b"".join(events)) :]


def test_an_event_without_end_is_refused() -> None:
    splitter = EventSplitter()
    for _ in range(EVENT_BYTES_MAX // 65_536):
        assert splitter.cut(b"x" * 65_536) == b""
    with pytest.raises(Refusal, match="event-length"):
        splitter.cut(b"x")


def test_an_event_too_long_is_refused_though_it_is_whole() -> None:
    with pytest.raises(Refusal, match="event-length"):
        EventSplitter().cut(b"data: 1\n\ndata: " + b"x" * EVENT_BYTES_MAX + b"\n\n")


def test_many_short_events_together_may_be_longer_than_one() -> None:
    data = b"data: 1\n\n" * (EVENT_BYTES_MAX // 9 + 1)
    assert EventSplitter().cut(data) == data


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\r\n\r\n", b"{}"),
        (b"event: x\nid: 3\ndata: {}\n\n", b"{}"),
        (b"data: {\ndata: }\n\n", b"{\n}"),
        (b": data: {}\n\n", b""),
    ],
)
def test_the_payload_is_what_the_data_lines_say(event: bytes, payload: bytes) -> None:
    assert get_payload(event) == payload


def test_only_the_model_changes_in_an_ordinary_stream() -> None:
    events = (FIRST, WORD, WORD, DONE)
    assert rewrite(*events) == [event.replace(b'"engine.gguf"', b'"org/name"') for event in events]


def test_other_spellings_of_the_member_are_replaced_in_place() -> None:
    spaced = WORD.replace(b'"model":', b'"model": ').replace(b'"index":', b'"index": ')
    expected = spaced.replace(b'"engine.gguf"', b'"org/name"')
    assert rewrite(FIRST.replace(b'"model":', b'"model": '), spaced, spaced)[1:] == [expected] * 2


def test_a_model_that_changes_on_the_way_is_still_hidden() -> None:
    other = WORD.replace(b"engine.gguf", b"other.gguf")
    assert rewrite(FIRST, WORD, other, WORD)[2] == other.replace(b"other.gguf", b"org/name")


@pytest.mark.parametrize("word", [b"model", b"usage", b"index", b'\\"model\\":\\"engine.gguf\\"'])
def test_what_the_model_says_is_never_touched(word: bytes) -> None:
    event = WORD.replace(b" hi", word)
    assert (
        rewrite(FIRST, event, event)[1:]
        == [
            event.replace(b'"engine.gguf"}', b'"org/name"}').replace(
                b'"model":"engine.gguf",', b'"model":"org/name",'
            )
        ]
        * 2
    )


def test_the_usage_chunk_is_shown_only_when_asked_for() -> None:
    assert rewrite(FIRST, WORD, USAGE, DONE)[2:] == [b"", DONE]
    shown = rewrite(FIRST, WORD, USAGE, DONE, shows_usage=True)
    assert shown[2] == USAGE.replace(b"engine.gguf", b"org/name")


def test_usage_on_a_content_chunk_goes_and_the_content_stays() -> None:
    event = WORD.replace(b'"object"', b'"usage":{"prompt_tokens":1},"object"')
    expected = WORD.replace(b"engine.gguf", b"org/name")
    assert rewrite(FIRST, event)[1] == expected


def test_a_null_usage_is_left_as_it_is() -> None:
    event = WORD.replace(b'"object"', b'"usage":null,"object"')
    assert rewrite(FIRST, event)[1] == event.replace(b"engine.gguf", b"org/name")


def test_a_missing_role_is_added_once_for_each_choice() -> None:
    second = WORD.replace(b'"index":0', b'"index":1')
    first_shown, word_shown, second_shown, again = rewrite(WORD, WORD, second, second)
    assert b'"delta":{"role":"assistant","content":" hi"}' in first_shown
    assert word_shown == WORD.replace(b"engine.gguf", b"org/name")
    assert b'"delta":{"role":"assistant","content":" hi"}' in second_shown
    assert again == second.replace(b"engine.gguf", b"org/name")


def test_a_text_completion_gets_no_role() -> None:
    event = b'data: {"choices":[{"index":0,"text":"hi"}],"model":"engine.gguf"}\n\n'
    assert rewrite(event, event) == [event.replace(b"engine.gguf", b"org/name")] * 2


@pytest.mark.parametrize(
    "event",
    [
        b": keep-alive\n\n",
        b"data: not json\n\n",
        b"data: [1,2]\n\n",
        b'data: {"choices":\n\n',
        b"data: {" + b'"a":[' * 5_000 + b"\n\n",
        DONE,
    ],
)
def test_what_is_not_a_chunk_passes_untouched(event: bytes) -> None:
    assert rewrite(event, FIRST, event)[::2] == [event, event]


@pytest.mark.parametrize(
    "choices", [b"null", b'[{"index":null,"delta":null}]', b'[{"delta":3}]', b'{"a":1}']
)
def test_strange_choices_do_not_let_the_engines_name_through(choices: bytes) -> None:
    event = b'data: {"choices":' + choices + b',"model":"engine.gguf"}\n\n'
    assert rewrite(event) == [event.replace(b"engine.gguf", b"org/name")]


def test_reads_of_many_events_are_rewritten_as_one_by_one() -> None:
    events = [FIRST, *[WORD] * 5, USAGE, DONE]
    rewriter = StreamRewriter("org/name", shows_usage=False)
    parts = StreamMeter().read(b"".join(events))
    assert len(parts) < len(events) - 1, "events that differ in their text alone are one part"
    together = [rewriter.rewrite(part) for part in parts]
    assert b"".join(together) + DONE == b"".join(rewrite(*events))


def test_tokens_usage_and_the_end_are_noticed() -> None:
    meter = measure(FIRST, WORD, WORD * 3, USAGE + DONE)
    assert meter.completion_tokens == 4
    assert meter.usage == Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=2)
    assert meter.is_done
    assert meter.error == ""


@pytest.mark.parametrize(
    "delta",
    [
        b'{"reasoning_content":"hm"}',
        b'{"content": "hm"}',
        b'{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}',
    ],
)
def test_output_under_any_key_is_counted(delta: bytes) -> None:
    event = WORD.replace(b'{"content":" hi"}', delta)
    assert measure(FIRST, event, event, event * 2, WORD).completion_tokens == 5


@pytest.mark.parametrize(
    ("delta", "text_bytes"),
    [
        (b'{"content":" hi"}', 3),
        ('{"content":"\u00e9"}'.encode(), 2),
        (b'{"content":"\\u00e9"}', 2),
        (b'{"content":"a\\n"}', 2),
        (b'{"reasoning_content":"hm"}', 2),
        (b'{"tool_calls":[1]}', 3),
    ],
)
def test_a_text_has_as_many_bytes_however_it_is_written(delta: bytes, text_bytes: int) -> None:
    event = WORD.replace(b'{"content":" hi"}', delta)
    assert measure(FIRST, event, event, event * 2).text_bytes == 4 * text_bytes


def test_deltas_that_carry_nothing_are_no_tokens() -> None:
    empty = WORD.replace(b'" hi"', b'""')
    finish = WORD.replace(b'{"content":" hi"}', b"{}").replace(b"null", b'"stop"')
    assert measure(FIRST, empty, finish, b": ping\n\n", empty + finish).completion_tokens == 0


def test_usage_beside_content_and_windows_line_ends_are_noticed() -> None:
    event = WORD.replace(b'"object"', b'"usage":{"prompt_tokens":1,"completion_tokens":2},"object"')
    meter = measure(WORD, event)
    assert (meter.completion_tokens, meter.usage) == (2, Usage(1, 2))
    assert measure((WORD + DONE).replace(b"\n", b"\r\n")).is_done


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"out of memory","code":500}}\n\n',
        b'data: {"error":"out of memory"}\n\n',
        b'event: error\ndata: {"message":"out of memory"}\n\n',
    ],
)
def test_an_error_event_is_noticed_with_its_words(event: bytes) -> None:
    assert measure(FIRST, WORD, event).error == "out of memory"


def test_an_error_without_words_still_counts() -> None:
    assert measure(b'error: {"code":500}\n\n').error != ""
    assert measure(b'data: {"error":{"code":500}}\n\n').error != ""
    assert measure(b'data: {"error":null,"choices":[]}\n\n').error == ""
