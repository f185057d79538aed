"""Agreeing on the order of the ledger's blocks: a narrow interface, and one sequencer behind it.

Rules:

1. Words (feed blocks, as bytes) go in; blocks of them come out, in one order, each once.
2. Nothing is told to anybody, here or elsewhere, before it is durable.
3. A sequencer signs one block at a height, and the next only when the state below it is known.
4. The ledger clock runs no faster than the clock of whoever lets it run.
5. Two blocks of one height with the sequencer's signature are proof: everybody stops, for good.

`Ordering` is all that the rest of a node may know of an engine. `Solo` is the engine of one
sequencer and its followers; it tolerates no lie of the sequencer's, but proves two histories.
"""

from wwwserve.core.consensus.events import (
    Applied,
    BlockReceived,
    BlockRefused,
    BlocksMissing,
    ForkFound,
    ForkReceived,
    HeadReceived,
    Keep,
    Kept,
    OrderingEffect,
    OrderingEvent,
    Publish,
    Tick,
)
from wwwserve.core.consensus.following import validate_list
from wwwserve.core.consensus.ordering import Finalised, Head, Ordering, OrderingEngine
from wwwserve.core.consensus.pace import (
    AGE_HEIGHTS_MAX,
    CLOCK_LEAD_MS,
    CLOCK_LEAD_PERMILLE,
    ClockWatch,
    LedgerClock,
)
from wwwserve.core.consensus.pool import POOL_BYTES_MAX, POOL_WORDS_MAX, Pool
from wwwserve.core.consensus.solo import BLOCKS_AHEAD_MAX, LISTENING_US, Solo, SoloSetup

__all__ = [
    "AGE_HEIGHTS_MAX",
    "BLOCKS_AHEAD_MAX",
    "CLOCK_LEAD_MS",
    "CLOCK_LEAD_PERMILLE",
    "LISTENING_US",
    "POOL_BYTES_MAX",
    "POOL_WORDS_MAX",
    "Applied",
    "BlockReceived",
    "BlockRefused",
    "BlocksMissing",
    "ClockWatch",
    "Finalised",
    "ForkFound",
    "ForkReceived",
    "Head",
    "HeadReceived",
    "Keep",
    "Kept",
    "LedgerClock",
    "Ordering",
    "OrderingEffect",
    "OrderingEngine",
    "OrderingEvent",
    "Pool",
    "Publish",
    "Solo",
    "SoloSetup",
    "Tick",
    "validate_list",
]
