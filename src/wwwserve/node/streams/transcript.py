"""What one execution has said so far: cut into events, counted, and shaped for who reads it.

An origin shapes for its user (streamed, or assembled into one body); an executor shapes for the
origin. All of them end a half-told answer as broken, never as whole.
"""

import hashlib
from typing import Protocol

from wwwserve.core.requests import (
    DONE,
    OWN_FIELD_PREFIX,
    Chunk,
    EventSplitter,
    ReplyAssembler,
    StreamMeter,
    StreamRewriter,
    TextRun,
    prepare_engine_body,
    read_usage,
    rename_reply,
)
from wwwserve.ports.engine import EngineFailure
from wwwserve.ports.peer_handle import UserRequest
from wwwserve.values.credits import credits_number
from wwwserve.values.limits import EVENT_BYTES_MAX, REPLY_BYTES_MAX
from wwwserve.values.refusals import FailureKind, Refusal
from wwwserve.wire import Endpoint, Usage

COST_NAME = OWN_FIELD_PREFIX + "cost"
"""In credits: a member of the usage a user asked to see, and a comment in every stream."""
_DONE_EVENT = b"data: " + DONE + b"\n\n"


class Transcript(Protocol):
    """Takes an execution's bytes and gives what its reader should have."""

    @property
    def completion_tokens(self) -> int:
        """Tokens counted so far."""
        ...

    @property
    def text_bytes(self) -> int:
        """Bytes of text counted so far: no token has less than one."""
        ...

    @property
    def has_content(self) -> bool:
        """Whether the model has said anything yet: before that, starting over does not show."""
        ...

    @property
    def digest(self) -> bytes:
        """SHA-256 over all bytes given out."""
        ...

    @property
    def has_usage(self) -> bool:
        """Whether the engine stated its own count."""
        ...

    def get_usage(self, prompt_tokens: int) -> Usage:
        """The engine's count, or else ours with this estimate of the prompt."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take more bytes, give what can be passed on now. Raises `EngineFailure`."""
        ...

    def finish(self) -> bytes:
        """The execution has ended: give the rest. Raises `EngineFailure` if it was not whole."""
        ...

    def show_cost(self, rest: bytes, cost: int) -> bytes:
        """The rest with what the answer cost its user, in micro-credits, where that has a place."""
        ...


def open_work_transcript(endpoint: Endpoint, model: str) -> Transcript:
    """A transcript for the origin of a request executed here; `model` hides the engine's name."""
    if endpoint is Endpoint.EMBEDDINGS:
        return _WholeTranscript(model)
    return _EventTranscript(model)


def open_reply_transcript(
    request: UserRequest, model: str, *, shows_cost: bool = False
) -> Transcript:
    """A transcript for an own user, in the shape the user asked for; `model` is what runs.

    `shows_cost` where answers may cost something: `show_cost` is going to be called.
    """
    name = request.public_model or model
    if request.endpoint is Endpoint.EMBEDDINGS:
        return _WholeTranscript(name)
    if request.is_streamed:
        rewriter = StreamRewriter(
            name,
            shows_usage=request.shows_usage,
            holds_usage=request.shows_usage and shows_cost,
        )
        return _UserTranscript(rewriter)
    return _AssembledTranscript(request.endpoint, name)


def prepare_body(body: bytes, engine_model: str, endpoint: Endpoint) -> bytes:
    """A user's body as the engine gets it. Raises `EngineFailure` for one that is not JSON."""
    try:
        return prepare_engine_body(body, engine_model, endpoint)
    except Refusal as refusal:
        raise EngineFailure(FailureKind.REJECTED, str(refusal), status=400) from refusal


class _Counting:
    """What every transcript of events keeps."""

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self._meter = StreamMeter()
        self._sha256 = hashlib.sha256()

    @property
    def completion_tokens(self) -> int:
        return self._meter.completion_tokens

    @property
    def text_bytes(self) -> int:
        return self._meter.text_bytes

    @property
    def has_content(self) -> bool:
        return self._meter.completion_tokens > 0

    @property
    def has_usage(self) -> bool:
        return self._meter.usage is not None

    @property
    def digest(self) -> bytes:
        return self._sha256.digest()

    def get_usage(self, prompt_tokens: int) -> Usage:
        return self._meter.usage or Usage(prompt_tokens, self._meter.completion_tokens)

    def show_cost(self, rest: bytes, cost: int) -> bytes:
        return rest

    def _cut(self, data: bytes) -> bytes:
        """The events that are now whole."""
        try:
            return self._splitter.cut(data)
        except Refusal as refusal:
            raise EngineFailure(FailureKind.BROKEN, str(refusal)) from refusal

    def _read(self, data: bytes) -> list[TextRun | Chunk]:
        """The events that are now whole, counted, part by part.

        Raises `EngineFailure` when the engine reports an error.
        """
        parts = self._meter.read(self._cut(data))
        self._validate_good()
        return parts

    def _validate_good(self) -> None:
        if self._meter.error:
            raise EngineFailure(FailureKind.BROKEN, self._meter.error)

    def _validate_whole(self) -> None:
        if not self._meter.is_done:
            raise EngineFailure(FailureKind.BROKEN, "the answer ended without [DONE]")


class _RewritingTranscript(_Counting):
    """Events with the engine's name for the model changed, as few bytes touched as that takes."""

    def __init__(self, rewriter: StreamRewriter) -> None:
        super().__init__()
        self._rewriter = rewriter

    def _rewrite(self, data: bytes) -> bytes:
        """Count and rewrite; one token that came alone, as most do, is not taken apart."""
        template = self._meter.runs.template
        if template is not None and self._splitter.is_empty:
            text = self._meter.runs.match(data)
            shown = self._rewriter.show(template) if text else None
            if text and shown is not None:
                self._meter.count_text(text)
                return shown.head + text + shown.tail
        return b"".join([self._rewriter.rewrite(part) for part in self._read(data)])


class _EventTranscript(_RewritingTranscript):
    """Events for an origin, as they come."""

    def __init__(self, model: str) -> None:
        super().__init__(StreamRewriter(model, shows_usage=True))

    def feed(self, data: bytes) -> bytes:
        events = self._rewrite(data)
        self._sha256.update(events)
        return events

    def finish(self) -> bytes:
        self._validate_whole()
        self._sha256.update(_DONE_EVENT)
        return _DONE_EVENT


class _UserTranscript(_RewritingTranscript):
    """Events for a user.

    What precedes the first content (a role, as a rule) is held back, so that an execution that dies
    before it can be started over unseen.
    """

    def __init__(self, rewriter: StreamRewriter) -> None:
        super().__init__(rewriter)
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        events = self._rewrite(data)
        if not self._meter.completion_tokens:
            self._hold(events)
            return b""
        if self._held:
            events = bytes(self._held) + events
            self._held.clear()
        self._sha256.update(events)
        return events

    def _hold(self, events: bytes) -> None:
        self._held += events
        if len(self._held) > EVENT_BYTES_MAX:
            raise EngineFailure(FailureKind.BROKEN, "nothing but empty events")

    def finish(self) -> bytes:
        self._validate_whole()
        rest = bytes(self._held) + _DONE_EVENT
        self._sha256.update(rest)
        return rest

    def show_cost(self, rest: bytes, cost: int) -> bytes:
        shown = credits_number(cost)
        usage = self._rewriter.take_usage(COST_NAME, shown)
        # Lines that begin with a colon are for people: every client must leave them out.
        added = usage + f": {COST_NAME} {shown}\n\n".encode()
        self._sha256.update(added)
        return rest.removesuffix(_DONE_EVENT) + added + _DONE_EVENT


class _AssembledTranscript(_Counting):
    """One JSON body for a user who did not ask for a stream."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__()
        self._assembler = ReplyAssembler(endpoint, model)

    def feed(self, data: bytes) -> bytes:
        try:
            for part in self._read(data):
                self._assembler.add(part)
        except Refusal as refusal:
            raise EngineFailure(FailureKind.BROKEN, str(refusal)) from refusal
        return b""

    def finish(self) -> bytes:
        self._validate_whole()
        try:
            body = self._assembler.result()
        except Refusal as refusal:
            raise EngineFailure(FailureKind.BROKEN, str(refusal)) from refusal
        self._sha256.update(body)
        return body


class _WholeTranscript:
    """An answer that is no stream: kept until it is whole, then given with the model renamed."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._pieces: list[bytes] = []
        self._size = 0
        self._usage: Usage | None = None
        self._digest = b""

    @property
    def completion_tokens(self) -> int:
        return self._usage.completion_tokens if self._usage else 0

    @property
    def text_bytes(self) -> int:
        return self._size

    @property
    def has_content(self) -> bool:
        return False

    @property
    def has_usage(self) -> bool:
        return self._usage is not None

    @property
    def digest(self) -> bytes:
        return self._digest

    def get_usage(self, prompt_tokens: int) -> Usage:
        return self._usage or Usage(prompt_tokens, 0)

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > REPLY_BYTES_MAX:
            raise EngineFailure(FailureKind.BROKEN, f"an answer over {REPLY_BYTES_MAX} bytes")
        self._pieces.append(data)
        return b""

    def finish(self) -> bytes:
        try:
            body = rename_reply(b"".join(self._pieces), self._model)
        except Refusal as refusal:
            raise EngineFailure(FailureKind.BROKEN, str(refusal)) from refusal
        self._usage = read_usage(body)
        self._digest = hashlib.sha256(body).digest()
        return body

    def show_cost(self, rest: bytes, cost: int) -> bytes:
        return rest
