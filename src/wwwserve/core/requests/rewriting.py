"""An engine's events made fit for one user, with as few bytes touched as that takes (see `sse`)."""

import msgspec
from msgspec import structs

from wwwserve.core.requests.chunks import (
    NULL,
    Chunk,
    ChunkChoice,
    Fields,
    read_chunk,
    read_members,
)
from wwwserve.core.requests.runs import SEPARATORS, Template, TextRun

CHOICES_MAX = 128
"""Choices of one answer told apart (OpenAI's bound of `n`); those above it pass as they are."""
_ASSISTANT = msgspec.Raw(b'"assistant"')


def _has_value(data: bytes, key: bytes) -> bool:
    """Whether a quoted key (or string) occurs other than as a member that is null."""
    count = data.count(key)
    return count > 0 and count != sum(data.count(key + mark + b"null") for mark in SEPARATORS)


class StreamRewriter:
    """Makes an engine's events fit one user, changing as few bytes as that takes.

    Three things change: `model` becomes the name the user asked by; the usage chunk goes, when the
    user did not ask for it; and the first delta of each choice says its `role`, because some
    engines leave it out and strict clients then fail.
    """

    __slots__ = (
        "_found",
        "_holds_usage",
        "_index",
        "_model_found",
        "_model_shown",
        "_public_model",
        "_roles",
        "_shown",
        "_shows_usage",
        "_usage",
    )

    def __init__(self, public_model: str, *, shows_usage: bool, holds_usage: bool = False) -> None:
        """`holds_usage` keeps the usage chunk back, for `take_usage`."""
        self._public_model = msgspec.Raw(msgspec.json.encode(public_model))
        self._shows_usage = shows_usage
        self._holds_usage = holds_usage
        self._usage: Chunk | None = None
        """The chunk that was kept back."""
        self._model_found = b""
        """The model member as this engine writes it; empty until it is learned."""
        self._model_shown = b""
        self._index = b""
        """The index member of the first choice as this engine writes it, once it has its role."""
        self._roles: set[bytes] = set()
        """Indexes of the choices whose first delta has passed, as the engine writes them."""
        self._found: Template | None = None
        """The template looked at last, and what it is for the user."""
        self._shown: Template | None = None

    def rewrite(self, part: TextRun | Chunk) -> bytes:
        """A part of the stream as the user shall see it; empty when it is not for the user."""
        if isinstance(part, Chunk):
            return self._rewrite_chunk(part)
        shown = self.show(part.template)
        if shown is not None:
            return shown.head + (shown.tail + shown.head).join(part.texts) + shown.tail
        head, tail = part.template.head, part.template.tail
        chunks = [read_chunk(head + text + tail) for text in part.texts]
        return b"".join([self._rewrite_chunk(chunk) for chunk in chunks])

    def take_usage(self, name: str, number: str) -> bytes:
        """The usage chunk that was kept back, with one more number in it; empty without one."""
        chunk, self._usage = self._usage, None
        if chunk is None:
            return b""
        usage = read_members(chunk.fields["usage"])
        fields = chunk.fields | {"model": self._public_model}
        fields["usage"] = msgspec.Raw(
            msgspec.json.encode(usage | {name: msgspec.Raw(number.encode())})
        )
        return _with_payload(chunk.event, msgspec.json.encode(fields))

    def show(self, template: Template) -> Template | None:
        """A template as the user shall see its events, if only names are to change in them."""
        # Templates change seldom, so one look at each serves all the events that have it.
        if template is not self._found or self._shown is None:
            self._found = template
            self._shown = self._show(template)
        return self._shown

    def _show(self, template: Template) -> Template | None:
        head, tail = template.head, template.tail
        if not self._is_ordinary(head + tail):
            return None
        found, shown = self._model_found, self._model_shown
        return structs.replace(
            template, head=head.replace(found, shown), tail=tail.replace(found, shown)
        )

    def _is_ordinary(self, data: bytes) -> bool:
        """Whether the model's name is all there is to change."""
        return (
            self._index != b""
            and self._knows_model(data)
            and data.count(b'"index"') == data.count(self._index)
            and (self._is_usage_left or not _has_value(data, b'"usage"'))
        )

    @property
    def _is_usage_left(self) -> bool:
        """Whether usage is passed on wherever it stands."""
        return self._shows_usage and not self._holds_usage

    def _knows_model(self, data: bytes) -> bool:
        found = self._model_found
        return found != b"" and data.count(b'"model"') == data.count(found)

    def _rewrite_chunk(self, chunk: Chunk) -> bytes:
        event, fields = chunk.event, chunk.fields
        if not fields:
            return event
        is_changed = self._add_roles(chunk)
        if not self._is_usage_left and fields.get("usage", NULL) != NULL and chunk.choices == []:
            self._usage = chunk if self._holds_usage else None
            return b""
        if not self._shows_usage and fields.get("usage", NULL) != NULL:
            del fields["usage"]
            is_changed = True
        if not self._knows_model(event):
            self._learn_model(event, fields)
        if not is_changed and self._knows_model(event):
            return event.replace(self._model_found, self._model_shown)
        if "model" in fields:
            fields["model"] = self._public_model
            is_changed = True
        return _with_payload(event, msgspec.json.encode(fields)) if is_changed else event

    def _learn_model(self, event: bytes, fields: Fields) -> None:
        value = bytes(fields.get("model", b""))
        if not value.startswith(b'"'):
            return
        for mark in SEPARATORS:
            found = b'"model"' + mark + value
            if event.count(b'"model"') == event.count(found):
                self._model_found = found
                self._model_shown = b'"model"' + mark + bytes(self._public_model)

    def _add_roles(self, chunk: Chunk) -> bool:
        """Say the role in deltas that are the first of their choice; whether any lacked it."""
        is_changed = False
        for choice in chunk.choices or ():
            if "delta" not in choice.fields:
                # A text completion has no roles: from now on every index is a known one.
                self._index = b'"index"'
            elif choice.index not in self._roles and len(self._roles) < CHOICES_MAX:
                self._roles.add(choice.index)
                self._learn_index(chunk.event)
                is_changed |= _add_role(choice)
        if is_changed:
            choices = [choice.fields for choice in chunk.choices or ()]
            chunk.fields["choices"] = msgspec.Raw(msgspec.json.encode(choices))
        return is_changed

    def _learn_index(self, event: bytes) -> None:
        for mark in SEPARATORS:
            if b'"index"' + mark + b"0" in event and b"0" in self._roles:
                self._index = b'"index"' + mark + b"0"


def _add_role(choice: ChunkChoice) -> bool:
    delta = choice.delta
    if delta is None or delta.get("role", NULL) != NULL:
        return False
    delta.pop("role", None)
    choice.fields["delta"] = msgspec.Raw(msgspec.json.encode({"role": _ASSISTANT} | delta))
    return True


def _with_payload(event: bytes, payload: bytes) -> bytes:
    """The same event saying something else; its other lines stay."""
    others = [line + b"\n" for line in event.splitlines() if line and line[:5] != b"data:"]
    return b"".join([*others, b"data: ", payload, b"\n\n"])
