"""What the chain is told: everything in it is opened, so signatures and hash chains are checked."""

from dataclasses import dataclass

from wwwserve.core.events import Persisted
from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import OpenedBlock, OpenedFeed


@dataclass(frozen=True, slots=True)
class ChainTick:
    """`next_deadline()` has come. One too early or twice is harmless."""


@dataclass(frozen=True, slots=True)
class BlockTold:
    """A peer told a block, and all of its feed blocks before it."""

    sender: NodeId
    block: OpenedBlock
    feeds: tuple[OpenedFeed, ...]


@dataclass(frozen=True, slots=True)
class HeadTold:
    """A peer told its newest block, without its list."""

    sender: NodeId
    head: OpenedBlock


@dataclass(frozen=True, slots=True)
class ForkTold:
    """A peer told two blocks of one height that the sequencer signed."""

    sender: NodeId
    first: OpenedBlock
    second: OpenedBlock


ChainEvent = ChainTick | BlockTold | HeadTold | ForkTold | Persisted
