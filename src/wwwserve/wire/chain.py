"""Whole blocks of the ledger's log, as they are stored, exported, and told to other nodes.

A block names its feed blocks by their ids and does not contain them. Between nodes the feed blocks
go ahead, each in a message of its own, so that none is longer than a frame; on disk and in an
export one record holds both.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wwwserve.values.limits import MIB
from wwwserve.values.refusals import Refusal
from wwwserve.wire.encoding import decode, decode_canonical
from wwwserve.wire.ledger import (
    DIGEST_BYTES,
    FEEDS_PER_BLOCK_MAX,
    OPS_BYTES_MAX,
    SealedBlock,
    SealedFeed,
)

FEED_BYTES_MAX: Final = OPS_BYTES_MAX + 512
"""One feed block as it travels."""
BLOCK_FEEDS_BYTES_MAX: Final = 4 * MIB
"""All feed blocks of one block together; a block with more is refused."""
CHAIN_RECORD_BYTES_MAX: Final = 5 * MIB
"""A block with its feed blocks; the bound above, their ids, and what encoding adds."""
EXPORT_END_BYTES_MAX: Final = 128
EXPORT_FORMAT: Final = 1
"""The export format this code writes and reads."""

Height = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Digest = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]


class ChainRecord(msgspec.Struct, array_like=True, frozen=True):
    """A block and what it orders."""

    block: SealedBlock
    feeds: Annotated[tuple[SealedFeed, ...], Meta(max_length=FEEDS_PER_BLOCK_MAX)]


class ExportEnd(msgspec.Struct, array_like=True, frozen=True):
    """The last record of an export: what must have come before it."""

    height: Height
    head: Digest
    """The id of the last block, or the network id if there is none."""
    digest: Digest
    """SHA-256 of every byte of the file before this record."""


class FeedTold(msgspec.Struct, array_like=True, frozen=True, tag=60):
    """A feed block: for the sequencer to order, or ahead of a block that names it."""

    feed: SealedFeed


class BlockTold(msgspec.Struct, array_like=True, frozen=True, tag=61):
    """A block, after all of its feed blocks were sent over the same link."""

    block: SealedBlock


class HeadTold(msgspec.Struct, array_like=True, frozen=True, tag=62):
    """The sender's newest block without its list: who has another one at that height has proof."""

    head: SealedBlock


class BlocksWanted(msgspec.Struct, array_like=True, frozen=True, tag=63):
    """Tell me your blocks of these heights, the last included, each after its feed blocks."""

    first: Height
    last: Height


class ForkTold(msgspec.Struct, array_like=True, frozen=True, tag=64):
    """Two blocks of one height, both signed by the sequencer: stop, and pass it on."""

    first: SealedBlock
    second: SealedBlock


ChainMessage = FeedTold | BlockTold | HeadTold | BlocksWanted | ForkTold
"""What nodes say to each other about the log."""

_RECORD: "msgspec.msgpack.Decoder[ChainRecord]" = msgspec.msgpack.Decoder(ChainRecord)
_FEED: "msgspec.msgpack.Decoder[SealedFeed]" = msgspec.msgpack.Decoder(SealedFeed)
_END: "msgspec.msgpack.Decoder[ExportEnd]" = msgspec.msgpack.Decoder(ExportEnd)


def read_feed_shape(data: bytes) -> SealedFeed:
    """A feed block whose signature is still to be checked; raises `Refusal` if it is none."""
    return decode(data, _FEED, bytes_max=FEED_BYTES_MAX)


def read_chain_record(data: bytes) -> ChainRecord:
    """A stored block with its feed blocks, still unchecked; raises `Refusal` if it is none."""
    return decode_canonical(data, _RECORD, bytes_max=CHAIN_RECORD_BYTES_MAX)


def read_export_end(data: bytes) -> ExportEnd:
    """The end of an export; raises `Refusal` if it is none."""
    return decode_canonical(data, _END, bytes_max=EXPORT_END_BYTES_MAX)


def strip_list(block: SealedBlock) -> SealedBlock:
    """A block without its list, as heads are told and forks are proved."""
    return msgspec.structs.replace(block, feed_ids=())


def validate_feeds_size(sizes: tuple[int, ...]) -> None:
    """Refuse more feed blocks than one block may hold."""
    if len(sizes) > FEEDS_PER_BLOCK_MAX:
        raise Refusal("block-feeds", f"{len(sizes)} feed blocks; at most {FEEDS_PER_BLOCK_MAX}")
    if sum(sizes) > BLOCK_FEEDS_BYTES_MAX:
        detail = f"{sum(sizes)} bytes of feed blocks; at most {BLOCK_FEEDS_BYTES_MAX}"
        raise Refusal("block-bytes", detail)
