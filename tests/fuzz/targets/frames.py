"""Bytes of a link, cut into frames: the same ones however they were chopped, or one named fault."""

from wwwserve.adapters.transports import frames
from wwwserve.adapters.transports.frames import (
    HEADER_BYTES,
    Frame,
    FrameError,
    FrameReader,
    FrameType,
    Hello,
)
from wwwserve.ports.transport import CloseReason, ResetCode
from wwwserve.values.limits import FRAME_BYTES_MAX


def make_seeds() -> list[bytes]:
    """A number of bytes to feed at once, then frames of every type."""
    hello = frames.pack_hello(Hello(1, 3, b"n" * 32))
    data = frames.pack_frame(FrameType.DATA, 3, b"some bytes of a stream")
    rest = [
        frames.pack_frame(FrameType.END, 3),
        frames.pack_reset(5, ResetCode.CANCELLED),
        frames.pack_credit(0, 1),
        frames.pack_frame(FrameType.MESSAGE, 0, b"\x93\x01\x02\x90"),
        frames.pack_ping(7),
        frames.pack_frame(FrameType.PONG, 0, bytes(8)),
        frames.pack_close(CloseReason.LEAVING, "for the night"),
    ]
    return [
        b"\x00" + hello + data,
        b"\x08" + hello + b"".join(rest),
        *(b"\xff" + one for one in rest),
    ]


def consume(data: bytes) -> None:
    """Read the bytes at once and in pieces, and take each payload apart."""
    piece_length, stream = data[:1], data[1:]
    size = 1 + int.from_bytes(piece_length, "big")
    whole, fault = _read([stream])
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert _read(pieces) == (whole, fault)
    packed = b"".join(frames.pack_frame(FrameType(kind), at, text) for kind, at, text in whole)
    assert stream.startswith(packed)
    for kind, _, payload in whole:
        _parse(FrameType(kind), payload)


def _read(pieces: list[bytes]) -> tuple[list[Frame], str]:
    reader = FrameReader()
    found: list[Frame] = []
    try:
        for piece in pieces:
            found.extend(reader.feed(piece))
            assert reader.held_bytes < HEADER_BYTES + FRAME_BYTES_MAX
    except FrameError as error:
        return found, str(error)
    return found, ""


def _parse(kind: FrameType, payload: bytes) -> None:
    match kind:
        case FrameType.HELLO:
            _parse_hello(payload)
        case FrameType.CREDIT:
            _parse_credit(payload)
        case FrameType.RESET:
            assert isinstance(frames.parse_reset(payload), ResetCode)
        case FrameType.PING | FrameType.PONG:
            assert frames.parse_token(payload).to_bytes(8, "big") == payload
        case FrameType.CLOSE:
            reason, detail = frames.parse_close(payload)
            assert isinstance(reason, CloseReason)
            assert detail.isprintable()
        case FrameType.DATA | FrameType.END | FrameType.MESSAGE:
            pass


def _parse_hello(payload: bytes) -> None:
    try:
        hello = frames.parse_hello(payload)
    except FrameError:
        return
    packed = frames.pack_hello(hello)[HEADER_BYTES:]
    assert payload.startswith(packed)


def _parse_credit(payload: bytes) -> None:
    try:
        assert frames.parse_credit(payload) > 0
    except FrameError:
        assert payload == bytes(4)
