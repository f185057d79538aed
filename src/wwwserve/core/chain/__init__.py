"""The log of this node: an ordering engine, the ledger its blocks change, and the disk under both.

Rules:

1. A feed block enters only if it would count after all that waits before it, so that nobody fills
   the log with words that cost nothing.
2. A block is durable before it is told or applied; with it goes what the block below it changed.
   So the disk always holds the state below its newest block, and a restart applies that one again.
3. Blocks are applied a slice in a call, so that no call is long.
4. What an export holds is enough for anybody to come to the same state, or to name the first
   record that breaks a rule (`Audit`).

`Chain` is the machine; `load_chain` finds it again on disk; `Audit` believes nothing.
"""

from wwwserve.core.chain.admission import ACCOUNT_WAITING_MAX, Admission
from wwwserve.core.chain.audit import Audit, Broken, Totals
from wwwserve.core.chain.effects import (
    BlocksMissing,
    ChainEffect,
    ForkFound,
    LedgerTold,
    PublishBlock,
    PublishHead,
    SendFeed,
    Suspicious,
)
from wwwserve.core.chain.events import (
    BlockTold,
    ChainEvent,
    ChainTick,
    ForkTold,
    HeadTold,
)
from wwwserve.core.chain.exporting import Export
from wwwserve.core.chain.loading import (
    Loaded,
    PartReader,
    begin_chain,
    load_chain,
    open_record,
    read_blocks,
)
from wwwserve.core.chain.machine import Chain, ChainStatus
from wwwserve.core.chain.places import GENESIS_PLACE, block_place

__all__ = [
    "ACCOUNT_WAITING_MAX",
    "GENESIS_PLACE",
    "Admission",
    "Audit",
    "BlockTold",
    "BlocksMissing",
    "Broken",
    "Chain",
    "ChainEffect",
    "ChainEvent",
    "ChainStatus",
    "ChainTick",
    "Export",
    "ForkFound",
    "ForkTold",
    "HeadTold",
    "LedgerTold",
    "Loaded",
    "PartReader",
    "PublishBlock",
    "PublishHead",
    "SendFeed",
    "Suspicious",
    "Totals",
    "begin_chain",
    "block_place",
    "load_chain",
    "open_record",
    "read_blocks",
]
