"""What travels about a request: its summary, quotes, and the frames of its stream.

One request stream is one multiplexed stream of a link. The origin sends `Offer`, then the body in
`BodyPart`s; the executor answers `Accept` or `Decline` as its first frame, then `Output` as tokens
come, `Progress` between, and one `Ended` or `Failed`. A cancel is the stream's reset. Where the
request is paid, the origin sends a `Unit` for each part that was delivered, the last one after the
last frame, and an `Extension` when a hold is nearly used up.

Every frame is an array led by its tag; fields are appended only, with defaults. What `payment`
holds is in `wire.paying`; `segment` is reserved, so that healed streams need no other frames
(product.md 2, steps 4 to 7).
"""

from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from wwwserve.values.ids import REQUEST_ID_BYTES
from wwwserve.values.limits import (
    BODY_BYTES_MAX,
    FRAME_BYTES_MAX,
    PREFIX_HASHES_MAX,
    TOKENS_MAX,
)
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire.encoding import decode, encode
from wwwserve.wire.records import Count, Name

OFFER_VERSION = 1
"""Version of the offer and all frames that follow it on the stream."""
_EVEN_STEPS, _STEP_TOKENS, _STEPS_AN_OCTAVE = 8, 256, 4


def _list_prefix_lengths() -> tuple[int, ...]:
    """Even steps first; then four to each doubling, so that none is off by more than a quarter."""
    lengths = [_STEP_TOKENS * step for step in range(1, _EVEN_STEPS + 1)]
    while len(lengths) < PREFIX_HASHES_MAX:
        lengths.append(lengths[-_STEPS_AN_OCTAVE] * 2)
    return tuple(lengths)


PREFIX_TOKENS = _list_prefix_lengths()
"""How many tokens the hash in each place of `RequestSummary.prefixes` stands for: 256 to 131 072.
The same for all requests, so that nothing is told of where their messages begin and end."""
OUTPUT_BYTES_MAX = FRAME_BYTES_MAX - 64
"""Bytes one `Output` or `BodyPart` may carry so that its frame stays within the link's bound."""
PAYMENT_BYTES_MAX = 16_384
"""What one frame says about money; a hold with its quote and signatures is about 700 bytes."""

Identifier = Annotated[bytes, Meta(min_length=REQUEST_ID_BYTES, max_length=REQUEST_ID_BYTES)]
Payment = Annotated[bytes, Meta(max_length=PAYMENT_BYTES_MAX)]
Status = Annotated[int, Meta(ge=0, le=599)]
Tokens = Annotated[int, Meta(ge=0, le=TOKENS_MAX)]


class Endpoint(IntEnum):
    """Which OpenAI call a request is. Numbers travel: append only."""

    CHAT = 1
    COMPLETIONS = 2
    EMBEDDINGS = 3


class RequestSummary(msgspec.Struct, array_like=True, frozen=True):
    """What deciding about a request needs to know of it; never its text."""

    request: Identifier
    """The same on every hop and retry."""
    endpoint: Endpoint
    models: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    """Canonical ids that would do, the most wanted first."""
    prompt_tokens: Tokens
    """Estimated."""
    completion_tokens_max: Tokens
    """What the user allows; 0 = no limit stated."""
    body_bytes: Annotated[int, Meta(ge=0, le=BODY_BYTES_MAX)]
    priority: Count = 0
    """Class: 0 interactive, higher waits longer."""
    deadline_us: Count = 0
    """Time left until the answer is worth nothing; 0 = none."""
    needs: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    """Capabilities it cannot do without (tools, vision, logprobs ...)."""
    prefixes: Annotated[
        tuple[Annotated[bytes, Meta(max_length=16)], ...], Meta(max_length=PREFIX_HASHES_MAX)
    ] = ()
    """Hashes of the prompt's first `PREFIX_TOKENS`, longest last, under its origin's own key.

    Equal ones tell an executor that two prompts of one origin begin alike, and nothing else.
    """
    is_private: bool = False
    """Never audited, and only executors its owner allows."""
    is_streamed: bool = True
    """Whether the user wants the tokens as they come."""
    completion_tokens_expected: Tokens = 0
    """How long its origin expects the answer to be, of the answers it has seen; 0 = not told."""
    due_us: Count = 0
    """Time left in which its user hopes for the whole answer; 0 = no such hope is stated."""


class Probe(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Would you run this, and how soon? Answered by `Quote`."""

    probe: Count
    """Pairs the answer with the question."""
    summary: RequestSummary


class Quote(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """The answer to a probe: an expected time, or a decline."""

    probe: Count
    decline: DeclineReason | None
    """Why not, or none when willing."""
    model: Name = ""
    """Which of the wanted models it would run."""
    first_token_us: Count = 0
    """Expected from arrival of the offer to the first token, its queue included."""
    finish_us: Count = 0
    """Expected from arrival of the offer to the last token."""
    saved_prompt_tokens: Tokens = 0
    """Prompt tokens its prefix cache saves."""
    expiry_us: Count = 0
    """How long the quote holds."""
    retry_after_us: Count = 0
    """With a decline: when asking again may help."""
    payment: Payment = b""
    """A `FirmQuote` under its signature; empty where nothing is paid."""
    burden_us: Count = 0
    """How much later all that runs there would end, added up, because this ran beside it."""
    harmed: Count = 0
    """How many of those would be late for that alone."""


class Room(msgspec.Struct, array_like=True, frozen=True, tag=22):
    """You asked, and there was no room for it; there may be now. Asks for nothing."""

    models: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    """For which of its models."""


class Segment(msgspec.Struct, array_like=True, frozen=True):
    """Reserved: which part of an answer a stream carries when it continues a broken one."""

    index: Count = 0
    text_bytes: Count = 0
    tokens: Tokens = 0


class Offer(msgspec.Struct, array_like=True, frozen=True, tag=40):
    """First frame of a request stream: run this. The body follows in `BodyPart`s."""

    version: Count
    summary: RequestSummary
    attempt: Count
    """Counts executions of one request, so that late news of an old one is recognised."""
    model: Name
    """Which model the quote named."""
    payment: Payment = b""
    """A `PaidOffer`: the hold, the quote it pays, and what opens its commitment."""
    commitment: Payment = b""
    """Reserved: the commitment to the request is in the hold."""
    segment: Segment | None = None
    """Reserved for healing a stream mid-way."""


class BodyPart(msgspec.Struct, array_like=True, frozen=True, tag=41):
    """A piece of the request's body, in order; the last has `is_last`."""

    data: Annotated[bytes, Meta(max_length=FRAME_BYTES_MAX)]
    is_last: bool


class Accept(msgspec.Struct, array_like=True, frozen=True, tag=42):
    """First answer on a request stream: generation starts at once."""

    version: Count
    model: Name
    payment: Payment = b""
    """A `HoldAccept` under its signature."""


class Decline(msgspec.Struct, array_like=True, frozen=True, tag=43):
    """First answer on a request stream: not here; the stream ends."""

    reason: DeclineReason
    retry_after_us: Count = 0
    detail: Name = ""
    payment: Payment = b""
    """Reserved for audits: a `HoldDecline` under its signature."""


class Output(msgspec.Struct, array_like=True, frozen=True, tag=44):
    """Bytes of the engine's event stream (or body), in order."""

    data: Annotated[bytes, Meta(max_length=FRAME_BYTES_MAX)]


class Progress(msgspec.Struct, array_like=True, frozen=True, tag=45):
    """At most four a second: the executor is alive and has delivered this much."""

    completion_tokens: Tokens
    segment: Segment | None = None
    """Reserved for healing a stream mid-way."""


class Usage(msgspec.Struct, array_like=True, frozen=True):
    """Tokens of one execution, by the engine's own count where it gives one."""

    prompt_tokens: Tokens
    completion_tokens: Tokens
    cached_tokens: Tokens = 0


class Ended(msgspec.Struct, array_like=True, frozen=True, tag=46):
    """Last frame of a stream that went well."""

    usage: Usage
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """SHA-256 over all `Output` bytes: both ends can check nothing was lost."""
    payment: Payment = b""
    """A `Final` under its signature."""


class Failed(msgspec.Struct, array_like=True, frozen=True, tag=47):
    """Last frame of a stream that did not go well."""

    kind: FailureKind
    status: Status = 0
    """HTTP status the engine gave, or 0."""
    body: Annotated[bytes, Meta(max_length=PAYMENT_BYTES_MAX)] = b""
    """The engine's own words for the user, with `REJECTED` only; else empty."""
    detail: Name = ""


class Unit(msgspec.Struct, array_like=True, frozen=True, tag=48):
    """Pays all up to a depth of the newest hold of this stream: the preimage at that depth."""

    depth: Annotated[int, Meta(ge=1, le=1_024)]
    preimage: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Extension(msgspec.Struct, array_like=True, frozen=True, tag=49):
    """Another hold, for what the one before cannot pay; units are its own from now on."""

    payment: Payment
    """A `PaidOffer`."""


OriginFrame = Offer | BodyPart | Unit | Extension
"""What an origin sends on a request stream."""
ExecutorFrame = Accept | Decline | Output | Progress | Ended | Failed
"""What an executor sends on a request stream."""
RequestFrame = OriginFrame | ExecutorFrame

_FRAME_DECODER: "msgspec.msgpack.Decoder[RequestFrame]" = msgspec.msgpack.Decoder(RequestFrame)


def encode_frame(frame: RequestFrame) -> bytes:
    """The bytes of one frame of a request stream."""
    return encode(frame)


def decode_frame(data: bytes) -> RequestFrame:
    """Read one frame of a request stream; raises `Refusal` for anything else."""
    return decode(data, _FRAME_DECODER, bytes_max=FRAME_BYTES_MAX)
