"""What the chain is told: everything in it is opened, so signatures and hash chains are checked."""

from dataclasses import dataclass

from wwwserve.core.events import (
    Persisted,
)
from wwwserve.core.log_news import BlockTold, ForkTold, HeadTold


@dataclass(frozen=True, slots=True)
class ChainTick:
    """`next_deadline()` has come. One too early or twice is harmless."""


ChainEvent = ChainTick | BlockTold | HeadTold | ForkTold | Persisted
