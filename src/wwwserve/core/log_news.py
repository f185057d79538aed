"""What peers tell of the ledger's log, opened by the shell; a part of the peer's events.

Signatures, hash chains and puzzles in it are checked.
"""

import msgspec

from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import OpenedBlock, OpenedFeed


class FeedTold(msgspec.Struct, frozen=True):
    """A peer told a feed block that the sequencer is to order."""

    sender: NodeId
    feed: OpenedFeed
    hops: int
    """Links it was allowed to go over, the one it came by included."""


class BlockTold(msgspec.Struct, frozen=True):
    """A peer told a block, and all of its feed blocks before it."""

    sender: NodeId
    block: OpenedBlock
    feeds: tuple[OpenedFeed, ...]


class HeadTold(msgspec.Struct, frozen=True):
    """A peer told its newest block, without its list."""

    sender: NodeId
    head: OpenedBlock


class ForkTold(msgspec.Struct, frozen=True):
    """A peer told two blocks of one height that the sequencer signed."""

    sender: NodeId
    first: OpenedBlock
    second: OpenedBlock
