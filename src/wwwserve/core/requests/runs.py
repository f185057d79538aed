"""Runs of events that say the same but for a piece of text, recognised without decoding them.

Almost all of a stream is such runs: the id, the model and every other field repeat, and only one
JSON string differs. The first event of a kind is decoded; from then on its bytes before and after
that string are the template of the next ones.

Bytes may stand for JSON here because a text is only taken for one when it holds no quote and does
not end with a backslash: then the quote after it is the string's own end, and what follows is
exactly what followed in the event that was decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

# How JSON writers separate a key from its value: compact ones, and Python's standard library.
SEPARATORS = (b":", b": ")
_QUOTE, _BACKSLASH = b'"', b"\\"


@dataclass(frozen=True, slots=True)
class TextRun:
    """Consecutive events that go on with one text and say nothing else that is new."""

    texts: tuple[bytes, ...]
    """The JSON strings' insides, still escaped, in order; some may be empty."""
    key: str
    """The member of the delta (or choice) that goes on."""
    index: int
    """Of the choice that goes on."""
    size: int
    """Bytes of all these events."""


class TextRuns:
    """Cuts whole events into runs by the template learned last, and single events between them."""

    __slots__ = ("_head", "_index", "_joint", "_key", "_tail")

    def __init__(self) -> None:
        self._head = b""
        """An event up to its text; empty until one was learned."""
        self._tail = b""
        """The rest of an event, from the quote that ends its text."""
        self._joint = b""
        self._key = ""
        self._index = 0

    def learn(self, event: bytes, key: str, index: int) -> None:
        """Expect more events like this one, which has a single choice, with another text."""
        for separator in SEPARATORS:
            opening = _QUOTE + key.encode() + _QUOTE + separator + _QUOTE
            head, found, rest = event.partition(opening)
            text, _, after = rest.partition(_QUOTE)
            is_whole_text = not text.endswith(_BACKSLASH)
            if found and opening not in rest and is_whole_text:
                self._head, self._tail = head + opening, _QUOTE + after
                self._joint = self._tail + self._head
                self._key, self._index = key, index

    @property
    def template(self) -> tuple[bytes, bytes]:
        """What stands before and after the text now; both empty until an event was learned."""
        return self._head, self._tail

    def match(self, data: bytes) -> bytes | None:
        """The text of `data` if that is exactly one event of the template, else None."""
        head, tail = self._head, self._tail
        if not (head and data.startswith(head) and data.endswith(tail)):
            return None
        text = data[len(head) : -len(tail)]
        is_plain = _QUOTE not in text and not text.endswith(_BACKSLASH)
        # Data shorter than both together can begin with one and end with the other.
        return text if is_plain and len(data) >= len(head) + len(tail) else None

    def walk(self, data: bytes) -> Iterator[TextRun | bytes]:
        """The parts of any number of whole events, in order: runs, and events to be decoded.

        What is learned from an event while walking holds for the events after it.
        """
        start = 0
        while start < len(data):
            run = self._find_run(data, start)
            if run is not None:
                yield run
                start += run.size
                continue
            end = _find_event_end(data, start)
            yield data[start:end]
            start = end

    def _find_run(self, data: bytes, start: int) -> TextRun | None:
        if not self._head or not data.startswith(self._head, start):
            return None
        texts: list[bytes] = []
        size = 0
        pieces = data[start + len(self._head) :].split(self._joint)
        for piece in pieces[:-1]:
            if _QUOTE in piece or piece.endswith(_BACKSLASH):
                return self._end_run(texts, size, piece)
            texts.append(piece)
            size += len(self._head) + len(piece) + len(self._tail)
        return self._end_run(texts, size, pieces[-1])

    def _end_run(self, texts: list[bytes], size: int, piece: bytes) -> TextRun | None:
        """Close a run; its last event is where the template's end follows the text, if it does."""
        text, found, _ = piece.partition(self._tail)
        if found and _QUOTE not in text and not text.endswith(_BACKSLASH):
            texts.append(text)
            size += len(self._head) + len(text) + len(self._tail)
        return TextRun(tuple(texts), self._key, self._index, size) if texts else None


def _find_event_end(data: bytes, start: int) -> int:
    """Where the event at `start` ends: after its blank line, of LF or CR LF, or with the data."""
    end = data.find(b"\n\n", start)
    other = data.find(b"\n\r\n", start)
    if other != -1 and (end == -1 or other < end):
        return other + 3
    return len(data) if end == -1 else end + 2
