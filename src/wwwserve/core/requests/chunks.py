"""One event of an engine's stream, decoded once for all who read it.

Counting, rewriting and putting together look for the same few members. They are taken apart here;
every value nobody looks into stays the bytes it came as, so that no digit of it can change.
"""

import msgspec

DONE = b"[DONE]"
"""The payload of the event that ends every OpenAI stream."""

Fields = dict[str, msgspec.Raw]
"""A JSON object whose values are left as they are written."""
NULL = msgspec.Raw(b"null")
_FIELDS = msgspec.json.Decoder(Fields)
_PARTS = msgspec.json.Decoder(Fields | None)
_CHOICES = msgspec.json.Decoder(list[Fields] | None)
_NO_CHOICES = msgspec.Raw(b"[]")
_FIRST_INDEX = msgspec.Raw(b"0")
_UNREADABLE = (ValueError, RecursionError)
"""What decoding raises, the second for values nested too deep."""


class ChunkChoice(msgspec.Struct):
    """What a chunk says of one choice."""

    fields: Fields
    """All its members, the delta included."""
    index: bytes
    """As the engine writes it."""
    delta: Fields | None
    """None without one, and when it is no object."""


class Chunk(msgspec.Struct):
    """One event, taken apart. Whoever reads it last may change its members."""

    event: bytes
    """All its bytes, the blank line included."""
    payload: bytes
    fields: Fields
    """The members of its payload; none when that is no JSON object."""
    choices: list[ChunkChoice] | None
    """None when they cannot be read."""
    fault: str
    """Why it is no chunk of an answer; empty for a good one."""


def read_chunk(event: bytes) -> Chunk:
    """Take one whole event apart, whatever it is."""
    chunk = Chunk(event, get_payload(event), {}, [], "")
    if not chunk.payload.startswith(b"{"):
        chunk.fault = "not a JSON object"
        return chunk
    try:
        chunk.fields = _FIELDS.decode(chunk.payload)
    except _UNREADABLE as error:
        chunk.fault = str(error)
    else:
        _read_choices(chunk)
    return chunk


def _read_choices(chunk: Chunk) -> None:
    try:
        found = _CHOICES.decode(chunk.fields.get("choices", _NO_CHOICES)) or ()
    except _UNREADABLE as error:
        chunk.choices, chunk.fault = None, str(error)
        return
    chunk.choices = choices = []
    for fields in found:
        choice = ChunkChoice(fields, bytes(fields.get("index", _FIRST_INDEX)), None)
        choices.append(choice)
        try:
            choice.delta = _PARTS.decode(fields.get("delta", NULL))
        except _UNREADABLE as error:
            chunk.fault = str(error)


def read_members(value: msgspec.Raw) -> Fields:
    """The members of a value inside a chunk; none when it is no object."""
    try:
        return _PARTS.decode(value) or {}
    except _UNREADABLE:
        return {}


def get_payload(event: bytes) -> bytes:
    """What an event says: its `data` lines without their field name; empty for a comment."""
    is_plain = event.startswith(b"data: {") and event.endswith(b"}\n\n")
    if is_plain and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        # As nearly all are written: one line, with nothing to strip.
        return event[6:-2]
    line = event.strip()
    if line.startswith(b"data:") and b"\n" not in line and b"\r" not in line:
        return line[5:].strip()
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)
