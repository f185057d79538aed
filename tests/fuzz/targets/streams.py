"""An engine's event stream: cut, counted, rewritten and put together the same however it arrives.

The first bytes of an input say where the stream is cut; the rest is the stream. The sum of
those bytes says who reads it.
"""

import hashlib
from dataclasses import dataclass
from random import Random

import msgspec

from tests.fuzz.mutating import mutate_json
from wwwserve.core.requests.chunks import get_payload
from wwwserve.core.requests.sse import EventSplitter, split_events
from wwwserve.node.streams.transcript import (
    Transcript,
    open_reply_transcript,
    open_work_transcript,
)
from wwwserve.ports.engine import EngineFailure
from wwwserve.ports.peer_handle import UserRequest
from wwwserve.values.model_names import ModelId
from wwwserve.wire import Endpoint, Usage

CUTS = 4
"""Bytes at the front of an input that say how long the pieces are, in turn."""
SINGLE_BYTES_MAX = 512
"""Longer streams are not also fed byte by byte."""
READERS = 4
"""Two users of a stream, one of a whole answer, and an origin."""


def make_seeds() -> list[bytes]:
    """Streams of several engines, with what is seldom in them."""
    plain = _write({"content": "Hel"}, {"content": "lo"}, {"content": "!"})
    first = _write({"role": "assistant", "content": ""})
    spaced = plain.replace(b'":', b'": ').replace(b'",', b'", ')
    calls = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]
    called = _write({"role": "assistant", "tool_calls": calls}, {"content": None})
    text = b'data: {"model":"m","choices":[{"index":0,"text":"a"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    logged = (
        b'data: {"choices":[{"index":1,"delta":{},"logprobs":{"content":[{"token":"a"}]}}]}\n\n'
    )
    error = b'event: error\ndata: {"error":{"message":"no room"}}\n\n'
    odd = b': ping\n\ndata: \n\ndata: {"choices":[{"delta":\ndata: {"content":"x"}}]}\r\n\r\n\n\n'
    done = b"data: [DONE]\n\n"
    streams = [
        first + plain + usage + done, spaced + done, called + done, text * 3 + done,
        first + logged + plain + error, odd + plain, plain.replace(b"\n\n", b"\r\n\r\n") + done,
    ]  # fmt: skip
    return [bytes([number, 1, 7, 200]) + stream for number, stream in enumerate(streams)]


def _write(*deltas: dict[str, object]) -> bytes:
    head = {"id": "answer", "object": "chat.completion.chunk", "model": "engine"}
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    events = [head | {"choices": [choice]} for choice in choices]
    return b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change what one event says, or the order of events; None without a whole event."""
    events = split_events(data[CUTS:])
    if not events:
        return None
    at = chance.randrange(len(events))
    if chance.randrange(2):
        events[at] = _change_event(events[at], chance)
    elif chance.randrange(2):
        events *= chance.choice((2, 3))
    else:
        events[at:at] = events[: chance.randrange(len(events))]
    return data[:CUTS] + b"".join(events)


def _change_event(event: bytes, chance: Random) -> bytes:
    said = mutate_json(get_payload(event), chance)
    if said is None:
        return event.replace(b"\n", chance.choice((b"\r\n", b"\n:\n", b"\r")))
    return b"data: " + said + b"\n\n"


def consume(data: bytes) -> None:
    """Cut the stream in three ways, and read it at once, in pieces and event by event."""
    cuts, stream = data[:CUTS], data[CUTS:]
    pieces = _chop(stream, cuts)
    events, rest = _split([stream])
    assert b"".join(events) + rest == stream
    assert _split(pieces) == (events, rest)
    if len(stream) <= SINGLE_BYTES_MAX:
        assert _split([stream[at : at + 1] for at in range(len(stream))]) == (events, rest)
    reader = sum(cuts) % READERS
    alone = _read(_open(reader), [*events, rest])
    _compare(alone, _read(_open(reader), [stream]))
    _compare(alone, _read(_open(reader), pieces))


def _chop(stream: bytes, cuts: bytes) -> list[bytes]:
    pieces, start, turn = [], 0, 0
    while start < len(stream):
        size = 1 + (cuts[turn % CUTS] if len(cuts) == CUTS else 255)
        pieces.append(stream[start : start + size])
        start, turn = start + size, turn + 1
    return pieces


def _split(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events, splitter.finish()


def _open(reader: int) -> Transcript:
    """Who reads: a user with or without usage, a user of a whole answer, an origin."""
    if reader == READERS - 1:
        return open_work_transcript(Endpoint.CHAT, "org/public")
    request = UserRequest(
        endpoint=Endpoint.CHAT,
        models=(ModelId("org/public"),),
        public_model="public",
        body=b"{}",
        prompt_tokens=1,
        completion_tokens_max=0,
        is_streamed=reader < 2,
        shows_usage=reader == 1,
    )
    return open_reply_transcript(request, "org/public")


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a reader was given, and how it ended."""

    shown: bytes
    tokens: int
    usage: Usage
    failure: str


def _read(transcript: Transcript, pieces: list[bytes]) -> _Heard:
    shown, failure = b"", ""
    try:
        for piece in pieces:
            shown += transcript.feed(piece)
        shown += transcript.finish()
        assert transcript.digest == hashlib.sha256(shown).digest()
    except EngineFailure as error:
        failure = str(error)
    return _Heard(shown, transcript.completion_tokens, transcript.get_usage(1), failure)


def _compare(alone: _Heard, together: _Heard) -> None:
    """The same, but that events are lost that came in one piece with the one that broke it."""
    assert bool(alone.failure) == bool(together.failure)
    if alone.failure:
        assert alone.shown.startswith(together.shown) or together.shown.startswith(alone.shown)
    else:
        assert alone == together
