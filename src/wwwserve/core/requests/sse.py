r"""An engine's event stream: split into events, counted, and rewritten for one user.

Almost every event is one token, and none of them may cost a JSON decode. So each question is first
asked of the bytes, for all events of a read at once, and only a read that is out of the ordinary is
decoded event by event. Asking bytes is safe for one reason: inside a JSON string a quote is written
`\"`, so `"model":` with bare quotes never comes from what a model said. A string that *is* the
word (`"content":"model"`) merely sends its read down the slow way, which gives the same bytes.
"""

import re
from collections.abc import Iterator

import msgspec

from wwwserve.core.requests.runs import SEPARATORS, TextRun, TextRuns
from wwwserve.values.limits import EVENT_BYTES_MAX, NAME_LENGTH_MAX
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Usage

DONE = b"[DONE]"
"""The payload of the event that ends every OpenAI stream."""
CHOICES_MAX = 128
"""Choices of one answer told apart (OpenAI's bound of `n`); those above it pass as they are."""

# An event ends with a blank line; both of its line ends may be LF or CR LF.
_EVENT_END = re.compile(rb"\n\r?\n")
_Fields = dict[str, msgspec.Raw]
_FIELDS = msgspec.json.Decoder(_Fields)
_CHOICES = msgspec.json.Decoder(list[_Fields] | None)
_NULL = b"null"
_ASSISTANT = msgspec.Raw(b'"assistant"')
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


def get_payload(event: bytes) -> bytes:
    """What an event says: its `data` lines without their field name; empty for a comment."""
    line = event.strip()
    if line.startswith(b"data:") and b"\n" not in line and b"\r" not in line:
        return line[5:].strip()
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def _validate_length(length: int) -> None:
    if length > EVENT_BYTES_MAX:
        raise Refusal("event-length", f"an event of the answer is over {EVENT_BYTES_MAX} bytes")


def _has_value(data: bytes, key: bytes) -> bool:
    """Whether a quoted key (or string) occurs other than as a member that is null."""
    count = data.count(key)
    return count > 0 and count != sum(data.count(key + mark + _NULL) for mark in SEPARATORS)


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: dict[str, msgspec.Raw] | None = None
    text: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw(_NULL)


class _ErrorObject(msgspec.Struct):
    message: str = ""


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


_CHUNKS = msgspec.json.Decoder(_Chunk)
_ERRORS = msgspec.json.Decoder(_ErrorObject | str)
_ANSWERS = msgspec.json.Decoder(_Answer)


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
        prompt_tokens=max(0, usage.prompt_tokens or 0),
        completion_tokens=max(0, usage.completion_tokens or 0),
        cached_tokens=max(0, (details.cached_tokens or 0) if details else 0),
    )


class StreamMeter:
    """Counts what passes in a stream: tokens as they come, usage, its end, its failure."""

    __slots__ = ("completion_tokens", "error", "is_done", "runs", "usage")

    def __init__(self) -> None:
        self.completion_tokens = 0
        """Deltas that carried something, which is one token each on every known engine."""
        self.usage: Usage | None = None
        """The engine's own count, once it gave one; the last one holds."""
        self.is_done = False
        """Whether `[DONE]` was seen."""
        self.error = ""
        """What an error event said; empty while there was none."""
        self.runs = TextRuns()
        """The shape of the events that come now."""

    def notice(self, data: bytes) -> None:
        """Count one or more whole events."""
        for _ in self.walk(data):
            pass

    def walk(self, data: bytes) -> Iterator[TextRun | bytes]:
        """Count one or more whole events, and give them part by part for others to read."""
        for part in self.runs.walk(data):
            if isinstance(part, TextRun):
                self.completion_tokens += len(part.texts) - part.texts.count(b"")
            else:
                self._notice_event(part)
            yield part

    def _notice_event(self, event: bytes) -> None:
        payload = get_payload(event)
        if payload == DONE:
            self.is_done = True
        elif payload.startswith(b"{"):
            self._notice_chunk(event, payload)
        if not self.error and _names_error(event):
            self.error = _read_message(payload) or "the engine reported an error"

    def _notice_chunk(self, event: bytes, payload: bytes) -> None:
        try:
            chunk = _CHUNKS.decode(payload)
        except (ValueError, RecursionError):
            return
        if chunk.usage is not None:
            self.usage = _to_usage(chunk.usage)
        if bytes(chunk.error) != _NULL:
            self.error = _read_message(bytes(chunk.error)) or "the engine reported an error"
        choices = chunk.choices or []
        for choice in choices:
            if key := _find_bearing_key(choice):
                self.completion_tokens += 1
                if len(choices) == 1 and key not in _CALLS:
                    self.runs.learn(event, key, choice.index)


def _find_bearing_key(choice: _Choice) -> str:
    """The key under which a choice carries output; empty when it carries none."""
    if choice.text:
        return "text"
    for key, raw in (choice.delta or {}).items():
        value = bytes(raw)
        if key != "role" and value[:1] in b'"[{' and value not in (b'""', b"[]", b"{}"):
            return key
    return ""


def _names_error(event: bytes) -> bool:
    # Besides a member of the chunk, an `error` event, and the field older llama-servers write.
    return event.startswith((b"event: error", b"event:error", b"error:"))


def _read_message(payload: bytes) -> str:
    try:
        error = _ERRORS.decode(payload)
    except (ValueError, RecursionError):
        return ""
    return (error if isinstance(error, str) else error.message)[:NAME_LENGTH_MAX]


class StreamRewriter:
    """Makes an engine's events fit one user, changing as few bytes as that takes.

    Three things change: `model` becomes the name the user asked by; the usage chunk goes, when the
    user did not ask for it; and the first delta of each choice says its `role`, because some
    engines leave it out and strict clients then fail.
    """

    __slots__ = (
        "_index",
        "_model_found",
        "_model_shown",
        "_public_model",
        "_roles",
        "_shows_usage",
    )

    def __init__(self, public_model: str, *, shows_usage: bool) -> None:
        self._public_model = msgspec.Raw(msgspec.json.encode(public_model))
        self._shows_usage = shows_usage
        self._model_found = b""
        """The model member as this engine writes it; empty until it is learned."""
        self._model_shown = b""
        self._index = b""
        """The index member of the first choice as this engine writes it, once it has its role."""
        self._roles: set[bytes] = set()
        """Indexes of the choices whose first delta has passed, as the engine writes them."""

    def rewrite(self, event: bytes) -> bytes | None:
        """One whole event as the user shall see it, or None when it is not for the user."""
        if self._is_ordinary(event):
            return event.replace(self._model_found, self._model_shown)
        return self._rewrite_unusual(event)

    def rewrite_all(self, data: bytes) -> bytes:
        """Any number of whole events, each as `rewrite` gives it."""
        if self._is_ordinary(data):
            return data.replace(self._model_found, self._model_shown)
        rewritten = [self.rewrite(event) for event in split_events(data)]
        return b"".join([event for event in rewritten if event])

    def rewrite_template(self, head: bytes, tail: bytes) -> tuple[bytes, bytes] | None:
        """The two ends of an event as the user shall see them, if only names are to change."""
        if not self._is_ordinary(head + tail):
            return None
        found, shown = self._model_found, self._model_shown
        return head.replace(found, shown), tail.replace(found, shown)

    def _is_ordinary(self, data: bytes) -> bool:
        """Whether the model's name is all there is to change."""
        return (
            self._index != b""
            and self._knows_model(data)
            and data.count(b'"index"') == data.count(self._index)
            and (self._shows_usage or not _has_value(data, b'"usage"'))
        )

    def _knows_model(self, data: bytes) -> bool:
        found = self._model_found
        return found != b"" and data.count(b'"model"') == data.count(found)

    def _rewrite_unusual(self, event: bytes) -> bytes | None:
        payload = get_payload(event)
        try:
            fields = _FIELDS.decode(payload) if payload.startswith(b"{") else {}
        except (ValueError, RecursionError):
            return event
        choices = _decode_choices(fields)
        is_changed = self._add_roles(fields, choices, event)
        if not self._shows_usage and bytes(fields.get("usage", _NULL)) != _NULL:
            if choices == []:
                return None
            del fields["usage"]
            is_changed = True
        self._learn_model(event, fields)
        if not is_changed and self._knows_model(event):
            return event.replace(self._model_found, self._model_shown)
        if "model" in fields:
            fields["model"] = self._public_model
            is_changed = True
        return _with_payload(event, msgspec.json.encode(fields)) if is_changed else event

    def _learn_model(self, event: bytes, fields: _Fields) -> None:
        value = bytes(fields.get("model", b""))
        if not value.startswith(b'"'):
            return
        for mark in SEPARATORS:
            found = b'"model"' + mark + value
            if event.count(b'"model"') == event.count(found):
                self._model_found = found
                self._model_shown = b'"model"' + mark + bytes(self._public_model)

    def _add_roles(self, fields: _Fields, choices: list[_Fields] | None, event: bytes) -> bool:
        """Say the role in deltas that are the first of their choice; whether any lacked it."""
        is_changed = False
        for choice in choices or ():
            if "delta" not in choice:
                # A text completion has no roles: from now on every index is a known one.
                self._index = b'"index"'
                continue
            index = bytes(choice.get("index", b"0"))
            if index not in self._roles and len(self._roles) < CHOICES_MAX:
                self._roles.add(index)
                self._learn_index(event)
                is_changed |= _add_role(choice)
        if is_changed:
            fields["choices"] = msgspec.Raw(msgspec.json.encode(choices))
        return is_changed

    def _learn_index(self, event: bytes) -> None:
        for mark in SEPARATORS:
            if b'"index"' + mark + b"0" in event and b"0" in self._roles:
                self._index = b'"index"' + mark + b"0"


def _decode_choices(fields: _Fields) -> list[_Fields] | None:
    """The choices of a chunk, none if it has no such member; None when they cannot be read."""
    try:
        return _CHOICES.decode(fields.get("choices", b"[]")) or []
    except (ValueError, RecursionError):
        return None


def _add_role(choice: _Fields) -> bool:
    try:
        delta = _FIELDS.decode(choice["delta"])
    except (ValueError, RecursionError):
        return False
    if bytes(delta.get("role", _NULL)) != _NULL:
        return False
    delta.pop("role", None)
    choice["delta"] = msgspec.Raw(msgspec.json.encode({"role": _ASSISTANT} | delta))
    return True


def _with_payload(event: bytes, payload: bytes) -> bytes:
    """The same event saying something else; its other lines stay."""
    others = [line + b"\n" for line in event.splitlines() if line and line[:5] != b"data:"]
    return b"".join([*others, b"data: ", payload, b"\n\n"])
