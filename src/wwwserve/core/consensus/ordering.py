"""The interface to any engine that orders the log: three calls, and nothing else crosses.

`submit` puts a word in, `finalised` takes the next block out, `set_validators` says who may vote.
Whoever takes a block out tells the engine by the event `Applied` which state it came to, because
the next block names it. An engine is a machine without input or output, as all of the core.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wwwserve.core.consensus.events import OrderingEffect, OrderingEvent
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.wire.ledger import OpenedBlock


@dataclass(frozen=True, slots=True)
class Finalised:
    """One block of the log, final and durable."""

    height: int
    words: tuple[bytes, ...]
    beacon: bytes
    """R of this height: the hash of R below it and this block's id."""
    time_ms: int
    """The ledger clock after this block."""
    block: OpenedBlock
    """What its leader signed, so that the ledger need not believe the engine."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log stands, for an engine to go on from."""

    height: int
    block_id: bytes
    """Of the last block, or the network id before the first."""
    beacon: bytes
    time_ms: int
    root: bytes
    """Of the state after the last block."""
    due_ms: int | None = None
    """When that state next waits for the ledger clock; None for never."""


class Ordering(Protocol):
    """One order of words for everybody."""

    def submit(self, word: bytes) -> None:
        """Have a word ordered; raises `Refusal` if it is one already here, or there is no room."""
        ...

    def finalised(self) -> Finalised | None:
        """The next block, if there is one; each is given once, and in the order of heights."""
        ...

    def set_validators(self, epoch: int, weights: Mapping[NodeId, int]) -> None:
        """Who may vote from an epoch on, and with what weight."""
        ...


class OrderingEngine(Ordering, Protocol):
    """An engine as its host drives it."""

    def handle(self, event: OrderingEvent, now: Moment) -> Sequence[OrderingEffect]:
        """Take in what happened; the answer is what is to be done, in order."""
        ...

    def next_deadline(self) -> Moment:
        """When to call `handle(Tick(), now)`, if nothing happens before."""
        ...
