"""The frames of a link as bytes: twelve bytes of header, then a bounded payload. Pure.

    type (8 bits) | payload length (24 bits) | stream id (64 bits) | payload

Stream 0 is the link itself. Ids are 64 bits wide so that they never run out: there is no code for
wrapping them. What a frame means, and when it is allowed, is said in `mux`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from wwwserve.ports.transport import CloseReason, ResetCode
from wwwserve.values.limits import FRAME_BYTES_MAX, MESSAGE_BYTES_MAX

MAGIC: Final = b"WWWS"
CLOSE_DETAIL_BYTES_MAX: Final = 512
"""Bytes of the sentence in a closing frame; ours is cut there, a longer one closes the link."""
HELLO_BYTES_MAX: Final = 256
"""A hello with room for fields of later versions, which this one skips."""
STREAM_ID_MAX: Final = 2**64 - 1

_HEADER: Final = Struct(">IQ")
_HELLO: Final = Struct(">4sHHI32s")
_NUMBER: Final = Struct(">I")
_TOKEN: Final = Struct(">Q")
_CODE: Final = Struct(">H")
_LENGTH_BITS: Final = 24
_LENGTH_MASK: Final = (1 << _LENGTH_BITS) - 1

HEADER_BYTES: Final = _HEADER.size


class FrameType(IntEnum):
    """What a frame is. Numbers travel: append only."""

    HELLO = 1
    """The first frame of each side: who speaks which versions in which network."""
    DATA = 2
    """One frame of a stream. The first one on a new id opens the stream."""
    END = 3
    """The sender has finished its direction of the stream."""
    RESET = 4
    """The sender cuts off both directions of the stream; answered by END or RESET."""
    CREDIT = 5
    """So many more bytes may be sent on the stream, or on the whole link (stream 0)."""
    MESSAGE = 6
    """One control message, outside all streams."""
    PING = 7
    """Are you there? Carries eight bytes to be sent back."""
    PONG = 8
    """The bytes of the ping."""
    CLOSE = 9
    """The last frame of the sender, with the reason."""


Frame = tuple[int, int, bytes]
"""A frame's type, stream id and payload; a plain tuple, since one is made for every token."""

# The lengths a payload may have, and whether the frame belongs to the link (stream 0), to a stream,
# or to either: a frame outside these is refused before anything looks at it.
_ON_LINK: Final = (0, 0)
_ON_STREAM: Final = (1, STREAM_ID_MAX)
_ON_EITHER: Final = (0, STREAM_ID_MAX)
_SHAPES: Final[dict[int, tuple[int, int, int, int]]] = {
    FrameType.HELLO: (_HELLO.size, HELLO_BYTES_MAX, *_ON_LINK),
    FrameType.DATA: (0, FRAME_BYTES_MAX, *_ON_STREAM),
    FrameType.END: (0, 0, *_ON_STREAM),
    FrameType.RESET: (_CODE.size, _CODE.size, *_ON_STREAM),
    FrameType.CREDIT: (_NUMBER.size, _NUMBER.size, *_ON_EITHER),
    FrameType.MESSAGE: (0, MESSAGE_BYTES_MAX, *_ON_LINK),
    FrameType.PING: (_TOKEN.size, _TOKEN.size, *_ON_LINK),
    FrameType.PONG: (_TOKEN.size, _TOKEN.size, *_ON_LINK),
    FrameType.CLOSE: (_CODE.size, _CODE.size + CLOSE_DETAIL_BYTES_MAX, *_ON_LINK),
}


class FrameError(Exception):
    """The bytes are no frame, or a frame no peer may send; the text says which rule they broke."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What each side says first."""

    version_min: int
    version_max: int
    network_id: bytes
    """32 bytes; `values.parameters.compute_network_id`."""
    features: int = 0
    """Reserved bits, 0 for now; a receiver ignores those it does not know."""


def pack_frame(kind: FrameType, stream_id: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEADER.pack(kind << _LENGTH_BITS | len(payload), stream_id) + payload


def pack_data_header(stream_id: int, length: int) -> bytes:
    """The header of a DATA frame alone, so that its payload need not be copied behind it."""
    return _HEADER.pack(FrameType.DATA << _LENGTH_BITS | length, stream_id)


def pack_hello(hello: Hello) -> bytes:
    """The first frame of a side."""
    payload = _HELLO.pack(
        MAGIC, hello.version_min, hello.version_max, hello.features, hello.network_id
    )
    return pack_frame(FrameType.HELLO, 0, payload)


def pack_credit(stream_id: int, credit_bytes: int) -> bytes:
    """A CREDIT frame; stream 0 means the whole link."""
    return pack_frame(FrameType.CREDIT, stream_id, _NUMBER.pack(credit_bytes))


def pack_reset(stream_id: int, code: ResetCode) -> bytes:
    """A RESET frame."""
    return pack_frame(FrameType.RESET, stream_id, _CODE.pack(code))


def pack_close(reason: CloseReason, detail: str) -> bytes:
    """The last frame of a side; a long `detail` is cut."""
    text = detail.encode("utf-8", "replace")[:CLOSE_DETAIL_BYTES_MAX]
    return pack_frame(FrameType.CLOSE, 0, _CODE.pack(reason) + text)


def pack_ping(token: int) -> bytes:
    """A heartbeat; the peer sends the same eight bytes back."""
    return pack_frame(FrameType.PING, 0, _TOKEN.pack(token))


def parse_hello(payload: bytes) -> Hello:
    """Read a HELLO's payload; raises `FrameError` when it is not of this protocol at all."""
    magic, version_min, version_max, features, network_id = _HELLO.unpack_from(payload)
    if magic != MAGIC:
        raise FrameError(f"a hello opens with {MAGIC!r}, this one with {magic!r}")
    if version_min > version_max:
        raise FrameError(f"a hello with versions {version_min} to {version_max}, which is none")
    return Hello(version_min, version_max, network_id, features)


def parse_credit(payload: bytes) -> int:
    """Read a CREDIT's payload; raises `FrameError` when it gives nothing."""
    (credit_bytes,) = _NUMBER.unpack(payload)
    if credit_bytes == 0:
        raise FrameError("a credit of no bytes")
    return int(credit_bytes)


def parse_reset(payload: bytes) -> ResetCode:
    """Read a RESET's payload; a code of a later version counts as an internal fault."""
    (code,) = _CODE.unpack(payload)
    try:
        known = ResetCode(code)
    except ValueError:
        return ResetCode.INTERNAL
    return ResetCode.INTERNAL if known is ResetCode.LINK_LOST else known


def parse_close(payload: bytes) -> tuple[CloseReason, str]:
    """Read a CLOSE's payload; a reason of a later version counts as a lost connection."""
    (reason,) = _CODE.unpack_from(payload)
    detail = payload[_CODE.size :].decode("utf-8", "replace")
    # It goes to logs and terminals: nothing in it may move a cursor or start a line.
    detail = "".join(letter if letter.isprintable() else "?" for letter in detail)
    try:
        return CloseReason(reason), detail
    except ValueError:
        return CloseReason.LOST, f"unknown reason {reason}: {detail}"


def parse_token(payload: bytes) -> int:
    """Read a PING's or PONG's payload."""
    (token,) = _TOKEN.unpack(payload)
    return int(token)


class FrameReader:
    """Cuts a stream of bytes, however it was chopped on the way, back into frames.

    Holds at most one incomplete frame. After a `FrameError` the bytes make no sense any more and
    the reader must not be used again.
    """

    __slots__ = ("_partial", "_wanted")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._wanted = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of an incomplete frame waiting for the rest."""
        return len(self._partial)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the frames completed by `data`, in order; raises `FrameError` at the first bad one.

        The iterator must be exhausted, unless the connection is given up.
        """
        if self._partial:
            # Copied once when complete, and not at every piece: pieces may be one byte long.
            self._partial += data
            if len(self._partial) < self._wanted:
                return
            data = bytes(self._partial)
            self._partial.clear()
        start, end = 0, len(data)
        while end - start >= HEADER_BYTES:
            word, stream_id = _HEADER.unpack_from(data, start)
            length = word & _LENGTH_MASK
            kind = word >> _LENGTH_BITS
            _check_shape(kind, stream_id, length)
            payload_start = start + HEADER_BYTES
            if end - payload_start < length:
                self._keep(data[start:], HEADER_BYTES + length)
                return
            start = payload_start + length
            yield kind, stream_id, data[payload_start:start]
        if start < end:
            self._keep(data[start:], HEADER_BYTES)

    def _keep(self, rest: bytes, wanted: int) -> None:
        self._partial += rest
        self._wanted = wanted


def _check_shape(kind: int, stream_id: int, length: int) -> None:
    """Refuse what can be refused by the header alone, before any of the payload is held."""
    shape = _SHAPES.get(kind)
    if shape is None:
        raise FrameError(f"a frame of unknown type {kind}")
    length_min, length_max, stream_min, stream_max = shape
    if not length_min <= length <= length_max:
        name = FrameType(kind).name
        raise FrameError(f"{name} of {length} bytes; {length_min} to {length_max} are allowed")
    if not stream_min <= stream_id <= stream_max:
        raise FrameError(f"{FrameType(kind).name} does not belong on stream {stream_id}")
