"""Looking things up in the log a node keeps on its disk, whether the node runs or not.

Whatever is in the log was checked before it was written, so signatures are not checked again here;
who doubts the disk makes an export and audits it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from wwwserve.core.chain import PartReader, block_place, load_chain, read_blocks
from wwwserve.core.ledger import Account, Ledger, OpenHold
from wwwserve.values.ids import NodeId
from wwwserve.wire import Verifier
from wwwserve.wire.chain import read_chain_record
from wwwserve.wire.ledger import (
    BlockHeader,
    Claim,
    Close,
    Hold,
    OpenedBlock,
    PointChecker,
    SignedFeed,
    compute_hold_id,
    open_block,
    read_feed,
)

SCAN_BLOCKS_MAX = 50_000
"""Blocks looked through for an id, from the newest down: at full pace three and a half hours, at
rest over two weeks. What is older is found by the height of its block, or in an export."""
SCAN_STEP = 64
"""Blocks read in one go."""


@dataclass(frozen=True, slots=True)
class FoundFeed:
    """A feed block, and where it is."""

    height: int
    index: int
    feed: SignedFeed


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block with everything in it."""

    block: OpenedBlock
    feeds: tuple[FoundFeed, ...]

    @property
    def header(self) -> BlockHeader:
        """What its leader signed."""
        return self.block.header


@dataclass(frozen=True, slots=True)
class FoundHold:
    """A hold: how it began, and how it stands."""

    hold_id: bytes
    hold: Hold | None
    """As its payer signed it; None if that is further back than was looked."""
    opened: FoundFeed | None
    state: OpenHold | None
    """None once it is settled, or if it was refused."""
    ended: tuple[FoundFeed, Claim | Close] | None
    """The newest claim, else close, that was found."""


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """An account as of the newest block."""

    key: NodeId
    account: Account
    seats: int
    """At this epoch's snapshot."""
    allowance: int


Found = FoundBlock | FoundFeed | FoundHold | FoundAccount


class _Trusting:
    """What is on this disk was checked when it came."""

    def is_signed_by(self, node: NodeId, message: bytes, signature: bytes) -> bool:
        """Always."""
        return bool(node and message and signature)


class LedgerBook:
    """One node's log."""

    def __init__(self, read: PartReader, verifier: Verifier, points: PointChecker) -> None:
        """Read the state. Raises `Refusal` if the log is damaged, `LookupError` without one."""
        loaded = load_chain(read, verifier, points)
        if loaded is None:
            raise LookupError("there is no ledger here")
        self._read = read
        self.ledger: Ledger = loaded.ledger
        """As of the newest block."""

    @property
    def network_id(self) -> bytes:
        """The ledger's identity."""
        return self.ledger.constitution.network_id

    def find_block(self, height: int) -> FoundBlock | None:
        """The block of a height."""
        for _, record in self._read(block_place(height), block_place(height + 1), 1):
            return self._open(record)
        return None

    def find_account(self, key: NodeId) -> FoundAccount | None:
        """An account by its whole key."""
        account = self.ledger.accounts.get(key)
        if account is None:
            return None
        seats = self.ledger.seats.get(key, 0)
        return FoundAccount(key, account, seats, self.ledger.allowances.get(key, 0))

    def find_accounts(self, prefix: bytes, bits: int) -> list[NodeId]:
        """The accounts whose keys begin with so many bits."""
        whole, rest = divmod(bits, 8)
        mask = 0xFF << (8 - rest) & 0xFF
        return [
            key
            for key in self.ledger.accounts
            if key[:whole] == prefix[:whole]
            and (not rest or key[whole] & mask == prefix[whole] & mask)
        ]

    def find_id(self, wanted: bytes) -> Found | None:
        """What 32 bytes name: a hold, a feed block or a block, the newest first."""
        ending: tuple[FoundFeed, Claim | Close] | None = None
        state = self.ledger.holds.get(wanted)
        for block in self._scan():
            if block.block.block_id == wanted:
                return block
            for feed in block.feeds:
                if feed.feed.feed_id == wanted:
                    return feed
                if (hold := _find_hold(feed.feed, wanted)) is not None:
                    return FoundHold(wanted, hold, feed, state, ending)
                ending = _find_ending(feed, wanted, ending)
        if state is None and ending is None:
            return None
        return FoundHold(wanted, None, None, state, ending)

    def complete_id(self, beginning: str) -> bytes | None:
        """The newest whole id with such hexadecimal digits at its beginning, of whatever kind."""
        for block in self._scan():
            for whole in _list_ids(block):
                if whole.hex().startswith(beginning):
                    return whole
        return None

    def _scan(self) -> Iterator[FoundBlock]:
        """The newest blocks, the newest first."""
        top = self.ledger.log.height
        bottom = max(top - SCAN_BLOCKS_MAX, 0)
        while top > bottom:
            first = max(top - SCAN_STEP + 1, bottom + 1)
            blocks = [self._open(record) for _, record in read_blocks(self._read, first, top)]
            yield from reversed(blocks)
            top = first - 1

    def _open(self, record: bytes) -> FoundBlock:
        read = read_chain_record(record)
        trusting = _Trusting()
        block = open_block(read.block, trusting, self.network_id)
        feeds = (read_feed(sealed, trusting, self.network_id) for sealed in read.feeds)
        height = block.header.height
        return FoundBlock(
            block, tuple(FoundFeed(height, index, feed) for index, feed in enumerate(feeds))
        )


def _list_ids(block: FoundBlock) -> Iterator[bytes]:
    """Each id that a block brings into the log."""
    yield block.block.block_id
    for found in block.feeds:
        yield found.feed.feed_id
        for op in found.feed.ops:
            if isinstance(op, Hold):
                yield compute_hold_id(found.feed.account, found.feed.header.seq, op.n)


def _find_hold(feed: SignedFeed, wanted: bytes) -> Hold | None:
    for op in feed.ops:
        if not isinstance(op, Hold):
            continue
        if compute_hold_id(feed.account, feed.header.seq, op.n) == wanted:
            return op
    return None


def _find_ending(
    feed: FoundFeed, wanted: bytes, known: tuple[FoundFeed, Claim | Close] | None
) -> tuple[FoundFeed, Claim | Close] | None:
    """The word that ends a hold: its newest claim, or else its close."""
    for op in feed.feed.ops:
        if isinstance(op, Claim | Close) and op.hold_id == wanted:
            is_better = known is None or (isinstance(op, Claim) and isinstance(known[1], Close))
            known = (feed, op) if is_better else known
    return known
