"""The types of the ledger's fields: what bytes from outside must be to become a value at all."""

from typing import Annotated, Final

from msgspec import Meta

from wwwserve.values.credits import MICROCREDITS_MAX

DIGEST_BYTES: Final = 32
"""SHA-256, everywhere."""
OPS_MAX: Final = 64
"""Ops of one feed block."""
OPS_BYTES_MAX: Final = 24_576
"""All ops of one feed block; 64 holds are about 19 KiB."""
HEADER_BYTES_MAX: Final = 256
"""A feed block without its ops."""
FEEDS_PER_BLOCK_MAX: Final = 1_024
"""Feed blocks of one block: at four blocks a second as many as a validator can apply."""
BLOCK_BYTES_MAX: Final = 49_152
"""A block, which names its feed blocks and does not contain them."""
DEPTH_MAX: Final = 1_024
"""Units of the longest hash chain."""
MODELS_MAX: Final = 64
"""Model tags of one registration."""
LATER_BYTES_MAX: Final = 16_384
"""Any byte string of an op of a later stage."""

Amount = Annotated[int, Meta(ge=0, le=MICROCREDITS_MAX)]
"""Micro-credits."""
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A sequence number, height, epoch or count."""
Millis = Annotated[int, Meta(ge=0, le=2**53)]
"""Milliseconds of the ledger clock: since genesis where it is an instant."""
Seats = Annotated[int, Meta(ge=1, le=2**31)]
Depth = Annotated[int, Meta(ge=0, le=DEPTH_MAX)]
Digest = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
MaybeDigest = Annotated[bytes, Meta(max_length=DIGEST_BYTES)]
"""A digest, or empty for none."""
Later = Annotated[bytes, Meta(max_length=LATER_BYTES_MAX)]
"""Bytes that a later stage gives a meaning."""
NO_DIGEST: Final = bytes(DIGEST_BYTES)
"""Stands where a digest must be and there is nothing: before a key's first feed block, in a tab."""
