"""Frames of a request's stream: each decodes into a frame that says the same, or is refused."""

from random import Random

from tests.fuzz.mutating import mutate_msgpack
from tests.fuzz.targets.messages import make_messages
from wwwserve.values.limits import FRAME_BYTES_MAX
from wwwserve.values.refusals import DeclineReason, FailureKind, Refusal
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    BodyPart,
    Decline,
    Ended,
    Extension,
    Failed,
    Offer,
    Output,
    Probe,
    Progress,
    RequestFrame,
    Unit,
    Usage,
    decode_frame,
    encode_frame,
)


def make_frames() -> list[RequestFrame]:
    """One of each."""
    (summary,) = (one.summary for one in make_messages() if isinstance(one, Probe))
    return [
        Offer(OFFER_VERSION, summary, attempt=1, model="org/small"),
        BodyPart(b'{"model":"org/small"}', is_last=True),
        Accept(OFFER_VERSION, "org/small"),
        Decline(DeclineReason.BUSY, 10**6, "all slots are taken"),
        Output(b'data: {"choices":[]}\n\n'),
        Progress(17),
        Ended(Usage(100, 17), bytes(32)),
        Failed(FailureKind.REJECTED, 400, b'{"error":{"message":"no"}}'),
        Unit(3, bytes(32)),
        Extension(b"paid"),
    ]


def make_seeds() -> list[bytes]:
    """One of each, as it travels."""
    return [encode_frame(frame) for frame in make_frames()]


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change a field; None for what msgpack cannot read."""
    return mutate_msgpack(data, chance)


def consume(data: bytes) -> None:
    """Decode it; what decodes says the same again."""
    try:
        frame = decode_frame(data)
    except Refusal as refusal:
        assert refusal.rule
        return
    assert len(data) <= FRAME_BYTES_MAX
    assert decode_frame(encode_frame(frame)) == frame
