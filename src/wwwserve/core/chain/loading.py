"""Finding the log again on disk: the state as it was written, and the blocks above it applied.

The state on disk is that of some block, and the blocks above it are there, so snapshot and tail
come to what a replay from genesis comes to. The root that the next block names proves the snapshot.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from wwwserve.core.chain.places import (
    BLOCKS,
    FORK_PLACE,
    GENESIS_PLACE,
    STATE,
    block_place,
    read_height,
)
from wwwserve.core.ledger import Ledger
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Verifier, decode, encode
from wwwserve.wire.chain import ForkTold, read_chain_record, strip_list
from wwwserve.wire.ledger import (
    FeedOpener,
    Genesis,
    OpenedBlock,
    OpenedFeed,
    PointChecker,
    compute_genesis_id,
    open_block,
    open_block_header,
    open_genesis,
)

BLOCKS_READ_MAX: Final = 32
"""Blocks read in one go: 160 MiB at the very most, and mostly a few hundred KiB."""
ENTRIES_READ_MAX: Final = 4_096
"""Entries of the state read in one go."""
RECENT_BLOCKS: Final = 256
"""Newest blocks whose ids are known after a start, to compare heads with: a minute at full pace."""
FORK_BYTES_MAX: Final = 2_048

_FORK = msgspec.msgpack.Decoder(ForkTold)


class PartReader(Protocol):
    """Reads a part of the `CHAIN` lane in the order of its keys."""

    def __call__(self, first: bytes, last: bytes, count_max: int, /) -> list[tuple[bytes, bytes]]:
        """The first so many keys from `first` on and below `last`, with their values."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A log as it was found, or as it begins."""

    ledger: Ledger
    genesis_record: bytes
    is_new: bool
    """Whether nothing of it is on disk yet."""
    changes: Mapping[bytes, bytes | None]
    """Entries of the state that are not on disk as they are now."""
    recent: tuple[OpenedBlock, ...]
    """The newest blocks, the last of them the head."""
    fork: tuple[OpenedBlock, OpenedBlock] | None
    """Proof that the sequencer signed two histories."""


def begin_chain(genesis: Genesis) -> Loaded:
    """A log of which there is only the genesis."""
    ledger = Ledger.from_genesis(genesis)
    return Loaded(
        ledger=ledger,
        genesis_record=encode(genesis),
        is_new=True,
        changes=dict(ledger.take_snapshot()),
        recent=(),
        fork=None,
    )


def load_chain(read: PartReader, verifier: Verifier, points: PointChecker) -> Loaded | None:
    """The log on disk, or None if there is none; raises `Refusal` if it is damaged."""
    found = read(GENESIS_PLACE, GENESIS_PLACE + b"\0", 1)
    if not found:
        return None
    genesis_record = found[0][1]
    genesis = open_genesis(genesis_record)
    network_id = compute_genesis_id(genesis)
    ledger = Ledger.restore(dict(_read_state(read)))
    if ledger.constitution.network_id != network_id:
        raise Refusal("chain-genesis", "the state on disk is of another genesis")
    memory = genesis.parameters.puzzle_memory_log2
    opener = FeedOpener(verifier, points, network_id, memory)
    changes: dict[bytes, bytes | None] = {}
    for _, record in read_blocks(read, ledger.log.height + 1):
        block, feeds = open_record(record, opener)
        ledger.apply_block(block, feeds)
        changes.update(ledger.last_changes)
    return Loaded(
        ledger=ledger,
        genesis_record=genesis_record,
        is_new=False,
        changes=changes,
        recent=_read_recent(read, ledger, opener),
        fork=_read_fork(read, verifier, network_id),
    )


def read_blocks(
    read: PartReader, first: int, last: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Heights and records of the blocks on disk, in order; None for all there are."""
    beyond = BLOCKS[1] if last is None else block_place(last + 1)
    place = block_place(first)
    while found := read(place, beyond, BLOCKS_READ_MAX):
        for key, record in found:
            yield read_height(key), record
        place = found[-1][0] + b"\0"


def open_record(record: bytes, opener: FeedOpener) -> tuple[OpenedBlock, tuple[OpenedFeed, ...]]:
    """A stored block with everything in it checked; raises `Refusal`."""
    read = read_chain_record(record)
    block = open_block(read.block, opener.verifier, opener.network_id)
    return block, tuple(opener.open(sealed) for sealed in read.feeds)


def _read_state(read: PartReader) -> Iterator[tuple[bytes, bytes]]:
    place, beyond = STATE
    while found := read(place, beyond, ENTRIES_READ_MAX):
        for key, value in found:
            yield key[1:], value
        place = found[-1][0] + b"\0"


def _read_recent(read: PartReader, ledger: Ledger, opener: FeedOpener) -> tuple[OpenedBlock, ...]:
    first = max(ledger.log.height - RECENT_BLOCKS + 1, 1)
    heads = (strip_list(read_chain_record(record).block) for _, record in read_blocks(read, first))
    return tuple(open_block_header(head, opener.verifier, opener.network_id) for head in heads)


def _read_fork(
    read: PartReader, verifier: Verifier, network_id: bytes
) -> tuple[OpenedBlock, OpenedBlock] | None:
    found = read(FORK_PLACE, FORK_PLACE + b"\0", 1)
    if not found:
        return None
    told = decode(found[0][1], _FORK, bytes_max=FORK_BYTES_MAX)
    first, second = (
        open_block_header(sealed, verifier, network_id) for sealed in (told.first, told.second)
    )
    return first, second
