r"""An engine's event stream: split into events, and counted.

Almost every event is one token, and none of them may cost a JSON decode. So each question is first
asked of the bytes, for all events of a read at once, and only a read that is out of the ordinary is
decoded event by event. Asking bytes is safe for one reason: inside a JSON string a quote is written
`\"`, so `"model":` with bare quotes never comes from what a model said. A string that *is* the
word (`"content":"model"`) merely sends its read down the slow way, which gives the same bytes.
"""

import re

import msgspec

from wwwserve.core.requests.chunks import DONE, NULL, Chunk, ChunkChoice, read_chunk
from wwwserve.core.requests.runs import TextRun, TextRuns, find_event_end
from wwwserve.values.limits import EVENT_BYTES_MAX, NAME_LENGTH_MAX, TOKENS_MAX
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Usage

# An event ends with a blank line; both of its line ends may be LF or CR LF.
_EVENT_END = re.compile(rb"\n\r?\n")
_ERROR_EVENTS = (b"event: error", b"event:error", b"error:")
"""How an event that reports an error begins, besides a chunk with such a member: an `error` event,
and the field older llama-servers write."""
_NOTHING = (NULL, msgspec.Raw(b'""'), msgspec.Raw(b"[]"), msgspec.Raw(b"{}"))
"""Values by which a delta carries no output."""
_CALLS = ("tool_calls", "function_call")
"""Members of a delta that are no plain text."""


class EventSplitter:
    """Cuts a byte stream into whole server-sent events, however it was chopped on its way."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def cut(self, data: bytes) -> bytes:
        """Take more bytes; give all events that are now whole, in one piece, possibly empty.

        Raises `Refusal` when one event is longer than `EVENT_BYTES_MAX`.
        """
        if not self._rest and data.endswith(b"\n\n") and data[-3:-2] not in b"\r\n":
            whole = data
        else:
            whole = self._cut_held(data)
        if len(whole) > EVENT_BYTES_MAX:
            for event in split_events(whole):
                _validate_length(len(event))
        return whole

    def feed(self, data: bytes) -> list[bytes]:
        """Take more bytes; give each event that is now whole, its blank line included.

        Raises `Refusal` when one event is longer than `EVENT_BYTES_MAX`.
        """
        return split_events(self.cut(data))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held: what comes next begins an event."""
        return not self._rest

    def finish(self) -> bytes:
        """Give what came after the last whole event; empty after a well-formed stream."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def _cut_held(self, data: bytes) -> bytes:
        # What is held has no end in it, but its last two bytes may begin one.
        start = max(0, len(self._rest) - 2)
        self._rest += data
        ends = [found.end() for found in _EVENT_END.finditer(self._rest, start)]
        end = ends[-1] if ends else 0
        whole = bytes(self._rest[:end])
        del self._rest[:end]
        _validate_length(len(self._rest))
        return whole


def split_events(data: bytes) -> list[bytes]:
    """Give each event of a piece that ends with a blank line, as `EventSplitter.cut` gives it."""
    if b"\r" not in data and b"\n\n\n" not in data:
        return [event + b"\n\n" for event in data.split(b"\n\n")[:-1]]
    ends = [found.end() for found in _EVENT_END.finditer(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _validate_length(length: int) -> None:
    if length > EVENT_BYTES_MAX:
        raise Refusal("event-length", f"an event of the answer is over {EVENT_BYTES_MAX} bytes")


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _ErrorObject(msgspec.Struct):
    message: str = ""


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


_USAGES = msgspec.json.Decoder(_Usage)
_ERRORS = msgspec.json.Decoder(_ErrorObject | str)
_ANSWERS = msgspec.json.Decoder(_Answer)
_TEXTS = msgspec.json.Decoder(str)
_BACKSLASH = b"\\"


def read_usage(body: bytes) -> Usage | None:
    """The usage an unstreamed answer states, or None when it states none that can be read."""
    try:
        usage = _ANSWERS.decode(body).usage
    except (ValueError, RecursionError):
        return None
    return None if usage is None else _to_usage(usage)


def _to_usage(usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    return Usage(
        prompt_tokens=_to_tokens(usage.prompt_tokens),
        completion_tokens=_to_tokens(usage.completion_tokens),
        cached_tokens=_to_tokens(details.cached_tokens) if details else 0,
    )


def _to_tokens(stated: int | None) -> int:
    """A count as an engine states it, in the bounds of a count that travels."""
    return min(max(stated or 0, 0), TOKENS_MAX)


class StreamMeter:
    """Counts what passes in a stream: tokens as they come, usage, its end, its failure."""

    __slots__ = ("completion_tokens", "error", "is_done", "runs", "text_bytes", "usage")

    def __init__(self) -> None:
        self.completion_tokens = 0
        """Deltas that carried something, which is one token each on every known engine."""
        self.text_bytes = 0
        """Of what they carried, without the events around it: no token has less than one."""
        self.usage: Usage | None = None
        """The engine's own count, once it gave one; the last one holds."""
        self.is_done = False
        """Whether `[DONE]` was seen."""
        self.error = ""
        """What an error event said; empty while there was none."""
        self.runs = TextRuns()
        """The shape of the events that come now."""

    def count_text(self, text: bytes) -> None:
        """One more token came: the inside of a JSON string, still escaped."""
        self.completion_tokens += 1
        self.text_bytes += _count_bytes(text)

    def read(self, data: bytes) -> list[TextRun | Chunk]:
        """Count one or more whole events, and give them part by part for others to read.

        `[DONE]` is noted and left out: it is for whoever gives the answer on to say it.
        """
        parts: list[TextRun | Chunk] = []
        start = 0
        while start < len(data):
            run = self.runs.find(data, start)
            if run is not None:
                self.completion_tokens += len(run.texts) - run.texts.count(b"")
                self.text_bytes += sum(map(_count_bytes, run.texts))
                parts.append(run)
                start += run.size
                continue
            end = find_event_end(data, start)
            chunk = read_chunk(data[start:end])
            start = end
            if chunk.payload == DONE:
                self.is_done = True
            else:
                self._notice(chunk)
                parts.append(chunk)
        return parts

    def _notice(self, chunk: Chunk) -> None:
        if chunk.fields:
            self._notice_fields(chunk)
        if chunk.event.startswith(_ERROR_EVENTS) and not self.error:
            self.error = _read_message(chunk.payload) or "the engine reported an error"

    def _notice_fields(self, chunk: Chunk) -> None:
        if (usage := chunk.fields.get("usage", NULL)) != NULL:
            self.usage = _decode_usage(usage) or self.usage
        if (error := chunk.fields.get("error", NULL)) != NULL:
            self.error = _read_message(error) or "the engine reported an error"
        choices = chunk.choices or ()
        for choice in choices:
            if key := _find_bearing_key(choice):
                self.completion_tokens += 1
                self.text_bytes += _count_carried(choice, key)
                if len(choices) == 1 and key not in _CALLS:
                    self.runs.learn(chunk.event, key, choice.index)


def _decode_usage(raw: msgspec.Raw) -> Usage | None:
    try:
        return _to_usage(_USAGES.decode(raw))
    except (ValueError, RecursionError):
        return None


def _find_bearing_key(choice: ChunkChoice) -> str:
    """The key under which a choice carries output; empty when it carries none."""
    if _carries(choice.fields.get("text", NULL), b'"'):
        return "text"
    for key, raw in (choice.delta or {}).items():
        if key != "role" and _carries(raw, b'"[{'):
            return key
    return ""


def _count_carried(choice: ChunkChoice, key: str) -> int:
    """The bytes of what a choice carries: of a text its own, of anything else those of its JSON."""
    raw = bytes(choice.fields["text"] if key == "text" else (choice.delta or {})[key])
    return _count_bytes(raw[1:-1]) if raw[:1] == b'"' else len(raw)


def _count_bytes(text: bytes) -> int:
    """The bytes of a text that JSON may have escaped: another writer's escapes say no more."""
    if _BACKSLASH not in text:
        return len(text)
    try:
        return len(_TEXTS.decode(b'"' + text + b'"').encode())
    except ValueError:
        return len(text)


def _carries(raw: msgspec.Raw, openings: bytes) -> bool:
    """Whether a value is output: one that begins so and is not empty."""
    return raw not in _NOTHING and bytes(raw)[:1] in openings


def _read_message(payload: bytes | msgspec.Raw) -> str:
    try:
        error = _ERRORS.decode(payload)
    except (ValueError, RecursionError):
        return ""
    return (error if isinstance(error, str) else error.message)[:NAME_LENGTH_MAX]
