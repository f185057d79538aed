"""One whole answer from the chunks of a stream, for users who did not ask for a stream.

Engines are always asked to stream, because a stream is what they stop when its reader leaves. So
what a user gets in one piece is put together here, from whatever the engine sent: fields nobody
knows are kept, text is joined, lists of log probabilities are joined, everything else is as its
last chunk said.
"""

import msgspec

from wwwserve.core.requests.chunks import NULL, Chunk, ChunkChoice, Fields
from wwwserve.core.requests.rewriting import CHOICES_MAX
from wwwserve.core.requests.runs import TextRun
from wwwserve.values.limits import REPLY_BYTES_MAX
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Endpoint

TOOL_CALLS_MAX = 128
"""Tool calls of one choice that are put together; more refuse the answer."""
FIELDS_MAX = 64
"""Members of one object that are kept; more refuse the answer, since short members take many times
the room of their bytes."""

_PARTS = msgspec.json.Decoder(Fields | None)
_OBJECTS = msgspec.json.Decoder(list[Fields] | None)
_TEXTS = msgspec.json.Decoder(str | None)
_ASSISTANT = msgspec.Raw(b'"assistant"')
_OBJECT_NAMES = {
    Endpoint.CHAT: msgspec.Raw(b'"chat.completion"'),
    Endpoint.COMPLETIONS: msgspec.Raw(b'"text_completion"'),
}


class ReplyAssembler:
    """Puts one chat or text completion together from its stream."""

    __slots__ = ("_choices", "_endpoint", "_fields", "_public_model", "_size")

    def __init__(self, endpoint: Endpoint, public_model: str) -> None:
        self._endpoint = endpoint
        self._public_model = msgspec.Raw(msgspec.json.encode(public_model))
        self._fields: Fields = {}
        self._choices: dict[bytes, _Choice] = {}
        self._size = 0

    def add(self, part: TextRun | Chunk) -> None:
        """Take one whole event of the engine's stream, or a run of events.

        Raises `Refusal` when it is no chunk of an answer, or the answer is over `REPLY_BYTES_MAX`.
        """
        self._size += part.size if isinstance(part, TextRun) else len(part.event)
        if self._size > REPLY_BYTES_MAX:
            raise Refusal("reply-length", f"the answer is over {REPLY_BYTES_MAX} bytes")
        try:
            if isinstance(part, TextRun):
                self._add_run(part)
            elif part.payload:
                self._add_chunk(part)
        except (ValueError, RecursionError) as error:
            raise Refusal(
                "reply-chunk", f"a chunk of the answer cannot be read: {error}"
            ) from error

    def _add_run(self, run: TextRun) -> None:
        # Its template was a chunk of this answer, so its choice is there already.
        choice = self._choices[run.template.index]
        text = _TEXTS.decode(b'"' + b"".join(run.texts) + b'"') or ""
        choice.go_on(run.template.key, text)

    def _add_chunk(self, chunk: Chunk) -> None:
        if chunk.fault:
            raise ValueError(chunk.fault)
        for choice in chunk.choices or ():
            self._find_choice(choice.index).add(choice)
        chunk.fields.pop("choices", None)
        _keep_last(self._fields, chunk.fields)

    def result(self) -> bytes:
        """The answer as one JSON object; raises `Refusal` if no chunk of it ever came."""
        if not self._choices:
            raise Refusal("reply-empty", "the engine's stream held no answer")
        fields = self._fields
        fields["object"] = _OBJECT_NAMES[self._endpoint]
        fields["model"] = self._public_model
        usage = fields.pop("usage", None)
        # The length first, so that choice 10 comes after choice 2.
        indexes = sorted(self._choices, key=lambda index: (len(index), index))
        choices = [self._choices[index].result() for index in indexes]
        fields["choices"] = msgspec.Raw(msgspec.json.encode(choices))
        if usage is not None:
            fields["usage"] = usage
        return msgspec.json.encode(fields)

    def _find_choice(self, index: bytes) -> "_Choice":
        if index not in self._choices:
            if len(self._choices) >= CHOICES_MAX:
                raise Refusal("reply-choices", f"the answer has more than {CHOICES_MAX} choices")
            self._choices[index] = _Choice(is_chat=self._endpoint is Endpoint.CHAT)
        return self._choices[index]


class _Choice:
    """One choice of an answer while it grows."""

    __slots__ = ("_fields", "_is_chat", "_logprobs", "_message", "_text")

    def __init__(self, *, is_chat: bool) -> None:
        self._is_chat = is_chat
        self._fields: Fields = {}
        self._text: list[str] = []
        self._message = _Message()
        self._logprobs = _Lists()

    def add(self, choice: ChunkChoice) -> None:
        """Take this choice's part of one chunk."""
        fields = choice.fields
        fields.pop("delta", None)
        if choice.delta:
            self._message.add(choice.delta)
        if text := _TEXTS.decode(fields.pop("text", NULL)):
            self._text.append(text)
        if logprobs := _PARTS.decode(fields.pop("logprobs", NULL)):
            self._logprobs.add(logprobs)
        _keep_last(self._fields, fields)

    def go_on(self, key: str, text: str) -> None:
        """Append to the text that grows under a key."""
        if key == "text":
            self._text.append(text)
        else:
            self._message.go_on(key, text)

    def result(self) -> Fields:
        """The choice as an unstreamed answer has it."""
        fields: Fields = {"index": self._fields.pop("index", msgspec.Raw(b"0"))}
        if self._is_chat:
            fields["message"] = _encode(self._message.result())
        else:
            fields["text"] = _encode("".join(self._text))
        fields["logprobs"] = self._logprobs.result()
        fields["finish_reason"] = self._fields.pop("finish_reason", NULL)
        return fields | self._fields


class _Message:
    """One message, joined from its deltas."""

    __slots__ = ("_calls", "_fields", "_function", "_texts")

    def __init__(self) -> None:
        self._fields: Fields = {"role": _ASSISTANT, "content": NULL}
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[bytes, _Call] = {}
        self._function: _Call | None = None

    def add(self, delta: Fields) -> None:
        """Take one delta: strings go on, anything else is as it was said last."""
        for call in _OBJECTS.decode(delta.pop("tool_calls", NULL)) or ():
            self._find_call(call).add(call)
        if function := _PARTS.decode(delta.pop("function_call", NULL)):
            self._function = self._function or _Call()
            self._function.add_function(function)
        texts = [name for name, raw in delta.items() if name != "role" and _is_text(raw)]
        for name in texts:
            self.go_on(name, _TEXTS.decode(delta.pop(name)) or "")
        _keep_last(self._fields, delta)

    def go_on(self, name: str, text: str) -> None:
        """Append to the text that grows under a name."""
        self._texts.setdefault(name, []).append(text)
        self._fields.setdefault(name, NULL)

    def result(self) -> Fields:
        """The whole message."""
        for name, pieces in self._texts.items():
            self._fields[name] = _encode("".join(pieces))
        if self._calls:
            self._fields["tool_calls"] = _encode([call.result() for call in self._calls.values()])
        if self._function is not None:
            self._fields["function_call"] = _encode(self._function.get_function())
        return self._fields

    def _find_call(self, fields: Fields) -> "_Call":
        """The call a delta goes on with, by its index; without one, an id begins a new call."""
        index = bytes(fields.pop("index", b""))
        if not index:
            index = bytes(fields.get("id", b"")) or next(reversed(self._calls), b"0")
        if index not in self._calls:
            if len(self._calls) >= TOOL_CALLS_MAX:
                raise Refusal("reply-calls", f"the answer has over {TOOL_CALLS_MAX} tool calls")
            self._calls[index] = _Call()
        return self._calls[index]


class _Call:
    """One call of a tool (or of a function, the older form), joined from its deltas."""

    __slots__ = ("_arguments", "_fields", "_function")

    def __init__(self) -> None:
        self._fields: Fields = {}
        self._function: Fields = {}
        self._arguments: list[str] = []

    def add(self, fields: Fields) -> None:
        """Take one delta of a tool call."""
        self.add_function(_PARTS.decode(fields.pop("function", NULL)) or {})
        _keep_last(self._fields, fields)

    def add_function(self, fields: Fields) -> None:
        """Take one delta of the function it calls; only its arguments go on."""
        if _is_text(fields.get("arguments", NULL)):
            self._arguments.append(_TEXTS.decode(fields.pop("arguments")) or "")
        _keep_last(self._function, fields)

    def result(self) -> Fields:
        """The whole tool call."""
        return self._fields | {"function": _encode(self.get_function())}

    def get_function(self) -> Fields:
        """The function it calls, with all its arguments."""
        return self._function | {"arguments": _encode("".join(self._arguments))}


class _Lists:
    """Log probabilities: an object whose lists go on with each chunk."""

    __slots__ = ("_fields", "_lists")

    def __init__(self) -> None:
        self._fields: Fields = {}
        self._lists: dict[str, list[bytes]] = {}
        """The insides of the lists, undecoded: many short items would take far more room."""

    def add(self, fields: Fields) -> None:
        """Take one chunk's part."""
        lists = [name for name, raw in fields.items() if bytes(raw).startswith(b"[")]
        for name in lists:
            pieces = self._lists.setdefault(name, [])
            if inside := bytes(fields.pop(name))[1:-1].strip():
                pieces.append(inside)
            self._fields.setdefault(name, NULL)
        _keep_last(self._fields, fields)

    def result(self) -> msgspec.Raw:
        """All of them, or null when there were none."""
        for name, pieces in self._lists.items():
            self._fields[name] = msgspec.Raw(b"[" + b",".join(pieces) + b"]")
        return _encode(self._fields or None)


def _keep_last(known: Fields, said: Fields) -> None:
    """What is said last holds, but null says nothing."""
    if NULL in said.values():
        said = {name: raw for name, raw in said.items() if raw != NULL or name not in known}
    known.update(said)
    if len(known) > FIELDS_MAX:
        raise Refusal("reply-fields", f"an object of the answer has over {FIELDS_MAX} members")


def _is_text(raw: msgspec.Raw) -> bool:
    return bytes(raw).startswith(b'"')


def _encode(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
