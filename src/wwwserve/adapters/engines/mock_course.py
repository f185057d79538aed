"""How a mock engine behaves: by its settings, and by what a request itself wishes for.

A request's own field `mock` changes what happens to it: `{"mock": {"tokens": 5, "pace_us": 0,
"first_token_us": 0, "fail": ...}}`, where `fail` is one of

    before        the connection closes before the status line
    status:429    that status, with an OpenAI-shaped error
    loading       503 as llama-server says it while its model loads
    hang          silence instead of a status line; hang:3 after three words of a stream
    after:3       the connection drops after three words of a stream
    drop          the connection drops in the middle of a stream's first word
    garbage       200, and bytes that are no event stream
    error_event   a well-formed error event instead of the first word, then the end
"""

from dataclasses import dataclass

import msgspec

from wwwserve.adapters.engines.mock_answers import (
    DONE,
    Answer,
    Fields,
    encode_error,
    encode_stream_head,
    encode_stream_tail,
    encode_stream_words,
)

_EARLY = ("before", "status", "loading")
_IN_STREAM = ("after", "drop", "hang", "garbage", "error_event")


@dataclass(frozen=True, slots=True)
class MockSettings:
    """How a mock engine behaves where a request does not say otherwise."""

    host: str = "127.0.0.1"
    port: int = 0
    models: tuple[str, ...] = ("mock-model",)
    tokens: int = 16
    """Words of an answer."""
    first_token_us: int = 0
    """From the request's turn to its first word."""
    pace_us: int = 0
    """Between words; 0 is as fast as the connection takes them."""
    chunks_per_write: int = 1
    """Words sent in one piece where there is no pace."""
    slots: int = 4_096
    """Requests worked on at once; the others wait."""
    context_tokens: int = 8_192
    """Of one request."""
    embedding_dimensions: int = 16
    api_key: str = ""
    """Asked of every client; empty asks none."""
    is_llama_server: bool = False
    """Whether it also has llama-server's pages."""
    is_loading: bool = False
    """Whether its model is loading at first."""
    fail: str = ""
    """What befalls every request that does not wish for something itself; as its `fail`."""
    drops_reused: bool = False
    """Whether it drops each request that arrives on a connection that was used before."""


class _MockField(msgspec.Struct, frozen=True):
    """A request's own wishes."""

    tokens: int | None = None
    first_token_us: int | None = None
    pace_us: int | None = None
    fail: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """What will happen to one request."""

    tokens: int
    first_token_us: int
    pace_us: int
    failure: str
    argument: int
    """The number after the failure's name: a status, or words before it happens."""


def plot_course(fields: Fields, settings: MockSettings) -> Course:
    """What a request wishes for, on top of the settings; raises `ValueError` for nonsense."""
    wishes = msgspec.convert(fields.get("mock", {}), _MockField)
    failure, _, argument = (wishes.fail or settings.fail).partition(":")
    if failure not in ("", *_EARLY, *_IN_STREAM):
        raise ValueError(f"mock.fail: no such failure: {failure}")
    return Course(
        tokens=settings.tokens if wishes.tokens is None else wishes.tokens,
        first_token_us=_choose(wishes.first_token_us, settings.first_token_us),
        pace_us=_choose(wishes.pace_us, settings.pace_us),
        failure=failure,
        argument=int(argument or 0),
    )


def _choose(wish: int | None, default: int) -> int:
    return default if wish is None else wish


def plan_writes(answer: Answer, course: Course, *, chunks_per_write: int) -> list[bytes]:
    """What is written to a stream, write by write; a failure cuts it short."""
    head, words, tail = encode_stream_head(answer), encode_stream_words(answer), b""
    match course.failure:
        case "":
            tail = encode_stream_tail(answer)
        case "after" | "hang":
            words = words[: course.argument]
        case "drop":
            words = [word[: len(word) // 2] for word in words[:1]]
        case "garbage":
            return [b"\x00<html>this is no event stream</html>\n\n"]
        case "error_event":
            words = [b"data: " + encode_error("as the request wished", 500) + b"\n\n", DONE]
        case _:
            raise AssertionError(course.failure)
    if chunks_per_write > 1 and not course.pace_us:
        words = [
            b"".join(words[index : index + chunks_per_write])
            for index in range(0, len(words), chunks_per_write)
        ]
    # As engines do, the head goes with the first word.
    first, rest = (words[0], words[1:]) if words else (b"", [])
    return [write for write in (head + first, *rest, tail) if write]
