"""Runs of events that say the same but for a piece of text, recognised without decoding them.

Almost all of a stream is such runs: the id, the model and every other field repeat, and only one
JSON string differs. The first event of a kind is decoded; from then on its bytes before and after
that string are the template of the next ones.

Bytes may stand for JSON here because a text is only taken for one when it holds no quote and does
not end with a backslash: then the quote after it is the string's own end, and what follows is
exactly what followed in the event that was decoded.
"""

from itertools import takewhile

import msgspec

# How JSON writers separate a key from its value: compact ones, and Python's standard library.
SEPARATORS = (b":", b": ")
RUN_TEXTS_MAX = 64
"""Events of one run. A run that ends early costs no more than this, however many events follow it:
else a stream that breaks each of its runs would be cut up from each of them to its end."""
_QUOTE, _BACKSLASH = b'"', b"\\"


class Template(msgspec.Struct, frozen=True):
    """An event with a single choice, apart from the text that goes on in it."""

    head: bytes
    """All before the text, the quote that opens it included."""
    tail: bytes
    """All after the text, from the quote that closes it."""
    key: str
    """The member of the delta (or choice) that goes on."""
    index: bytes
    """Of the choice that goes on, as the engine writes it."""


class TextRun(msgspec.Struct, frozen=True):
    """Consecutive events that go on with one text and say nothing else that is new."""

    template: Template
    texts: list[bytes]
    """The JSON strings' insides, still escaped, in order; some may be empty."""
    size: int
    """Bytes of all these events."""


class TextRuns:
    """Finds runs by the template learned last."""

    __slots__ = ("template",)

    def __init__(self) -> None:
        self.template: Template | None = None
        """The shape of the events that come now; None until an event was learned."""

    def learn(self, event: bytes, key: str, index: bytes) -> None:
        """Expect more events like this one, which has a single choice, with another text."""
        for separator in SEPARATORS:
            opening = _QUOTE + key.encode() + _QUOTE + separator + _QUOTE
            head, found, rest = event.partition(opening)
            text, _, after = rest.partition(_QUOTE)
            is_whole_text = not text.endswith(_BACKSLASH)
            if found and opening not in rest and is_whole_text:
                self.template = Template(head + opening, _QUOTE + after, key, index)

    def match(self, data: bytes) -> bytes | None:
        """The text of `data` if that is exactly one event of the template, else None."""
        template = self.template
        if template is None:
            return None
        head, tail = template.head, template.tail
        if not (data.startswith(head) and data.endswith(tail)):
            return None
        text = data[len(head) : -len(tail)]
        # Data shorter than both together can begin with one and end with the other.
        return text if _is_plain(text) and len(data) >= len(head) + len(tail) else None

    def find(self, data: bytes, start: int) -> TextRun | None:
        """The run that begins at `start` in any number of whole events, if one does."""
        template = self.template
        if template is None or not data.startswith(template.head, start):
            return None
        head, tail = template.head, template.tail
        *texts, last = data[start + len(head) :].split(tail + head, RUN_TEXTS_MAX - 1)
        joined = b"".join(texts)
        # Asked of all at once first: hardly any text needs asking one by one.
        if _QUOTE in joined or _BACKSLASH in joined:
            plain = list(takewhile(_is_plain, texts))
            last = (*texts, last)[len(plain)]
            texts = plain
        # The last text of a run ends where the template's end follows it, if it does.
        text, found, _ = last.partition(tail)
        if found and _is_plain(text):
            texts.append(text)
        size = len(texts) * (len(head) + len(tail)) + sum(map(len, texts))
        return TextRun(template, texts, size) if texts else None


def _is_plain(text: bytes) -> bool:
    return _QUOTE not in text and not text.endswith(_BACKSLASH)


def find_event_end(data: bytes, start: int) -> int:
    """Where the event at `start` ends: after its blank line, of LF or CR LF, or with the data."""
    end = data.find(b"\n\n", start)
    end = len(data) if end == -1 else end + 2
    # Before it only: a search to the end of the data for each event would cost their square.
    other = data.find(b"\n\r\n", start, end)
    return end if other == -1 else other + 3
