"""The one canonical form of everything that travels or is stored: msgpack arrays.

Structs are arrays, so field order is the schema: fields are only ever appended, with defaults.
What is signed must re-encode to its own bytes; anything else is refused, so a value has exactly one
encoding and a signature covers exactly one value.
"""

from typing import TypeVar

import msgspec

from wwwserve.values.refusals import Refusal

T = TypeVar("T")

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def encode(value: object) -> bytes:
    """The canonical bytes of a value."""
    return _ENCODER.encode(value)


def decode(data: bytes, decoder: "msgspec.msgpack.Decoder[T]", *, bytes_max: int) -> T:
    """Read untrusted bytes; raises `Refusal` if they are too long or not of the decoder's shape."""
    if len(data) > bytes_max:
        raise Refusal("encoding-size", f"{len(data)} bytes where at most {bytes_max} are allowed")
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError, OverflowError) as error:
        raise Refusal("encoding-shape", str(error)) from error


def decode_canonical(data: bytes, decoder: "msgspec.msgpack.Decoder[T]", *, bytes_max: int) -> T:
    """As `decode`, and refuse any bytes but the value's own canonical encoding."""
    value = decode(data, decoder, bytes_max=bytes_max)
    if encode(value) != data:
        raise Refusal("encoding-canonical", "the value does not re-encode to its own bytes")
    return value
