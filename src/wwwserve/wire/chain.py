"""Whole blocks of the ledger's log, as they are stored, exported, and told to other nodes.

A node that knows only the id of its network's genesis asks any peer for it: the id is its hash, so
it matters not who answers.

A block names its feed blocks by their ids and does not contain them. Between nodes the feed blocks
go ahead, each in a message of its own, so that none is longer than a frame; on disk and in an
export one record holds both.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wwwserve.values.limits import KIB, MIB
from wwwserve.values.refusals import Refusal
from wwwserve.wire.encoding import decode, decode_canonical
from wwwserve.wire.ledger import (
    DIGEST_BYTES,
    FEEDS_PER_BLOCK_MAX,
    GENESIS_BYTES_MAX,
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
FEED_HOPS_MAX: Final = 3
"""Links a feed block goes over on its way to the sequencer."""
BLOCKS_TOLD_MAX: Final = 64
"""Heights of one answer to `BlocksWanted`; who wants more asks again."""
GENESIS_PART_BYTES_MAX: Final = 48 * KIB
"""Of a genesis in one message; a long one comes in several."""
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
    hops: Annotated[int, Meta(ge=0, le=FEED_HOPS_MAX)] = 0
    """Links it may go over until it is at the sequencer, this one included; 0: it goes ahead of a
    block, and no further."""


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


class GenesisWanted(msgspec.Struct, array_like=True, frozen=True, tag=65):
    """Tell me the genesis of this id, from a byte on."""

    genesis: Digest
    first: Annotated[int, Meta(ge=0, lt=GENESIS_BYTES_MAX)]


class GenesisTold(msgspec.Struct, array_like=True, frozen=True, tag=66):
    """A part of the genesis record of this id; where it ends before `total`, ask on there."""

    genesis: Digest
    first: Annotated[int, Meta(ge=0, lt=GENESIS_BYTES_MAX)]
    total: Annotated[int, Meta(ge=1, le=GENESIS_BYTES_MAX)]
    part: Annotated[bytes, Meta(min_length=1, max_length=GENESIS_PART_BYTES_MAX)]


ChainMessage = (
    FeedTold | BlockTold | HeadTold | BlocksWanted | ForkTold | GenesisWanted | GenesisTold
)
"""What nodes say to each other about the log."""

_CHAIN_TAGS: Final = (60, 66)
_ARRAY: Final = 0x90
"""A short array's first byte in msgpack, but for its length."""
_ARRAY_MASK: Final = 0xF0
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


def is_chain_message(data: bytes) -> bool:
    """Whether an encoded message is about the log, by its tag alone: they have a ration of theirs.

    One that is not what its tag says is refused when it is decoded.
    """
    first, last = _CHAIN_TAGS
    return len(data) > 1 and data[0] & _ARRAY_MASK == _ARRAY and first <= data[1] <= last


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
