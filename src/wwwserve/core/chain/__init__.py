"""The log of this node: an ordering engine, the ledger its blocks change, and the disk under both.

Rules:

1. A feed block enters only if it would count after all that waits before it, so that nobody fills
   the log with words that cost nothing.
2. A block is durable before it is told or applied; with it goes what the block below it changed.
   So the disk always holds the state below its newest block, and a restart applies that one again.
3. Blocks are applied a slice in a call, so that no call is long.
4. What an export holds is enough for anybody to come to the same state, or to name the first
   record that breaks a rule (`Audit`).

`Chain` is the machine, and `ChainDesk` speaks for it to the neighbours; `load_chain` finds it again
on disk; `Audit` believes nothing.
"""

from wwwserve.core.chain.admission import ACCOUNT_WAITING_MAX, Admission
from wwwserve.core.chain.audit import Audit, Broken, Totals
from wwwserve.core.chain.desk import ChainDesk, DeskEffect, DeskEvent
from wwwserve.core.chain.effects import (
    BlocksMissing,
    ChainEffect,
    ForkFound,
    LedgerTold,
    PublishHead,
    SendFeed,
    Suspicious,
)
from wwwserve.core.chain.events import ChainEvent, ChainTick
from wwwserve.core.chain.exporting import Export, has_log
from wwwserve.core.chain.finding import GenesisSearch, tell_genesis
from wwwserve.core.chain.loading import (
    Loaded,
    PartReader,
    begin_chain,
    load_chain,
    open_record,
    read_blocks,
)
from wwwserve.core.chain.machine import Chain, ChainStatus
from wwwserve.core.chain.news import pick_facts
from wwwserve.core.chain.places import GENESIS_PLACE, block_place
from wwwserve.core.chain.receiving import ChainNews, ChainWord, Receiver
from wwwserve.core.chain.relaying import FeedRelay
from wwwserve.core.chain.view import EntryView, LedgerView

__all__ = [
    "ACCOUNT_WAITING_MAX",
    "GENESIS_PLACE",
    "Admission",
    "Audit",
    "BlocksMissing",
    "Broken",
    "Chain",
    "ChainDesk",
    "ChainEffect",
    "ChainEvent",
    "ChainNews",
    "ChainStatus",
    "ChainTick",
    "ChainWord",
    "DeskEffect",
    "DeskEvent",
    "EntryView",
    "Export",
    "FeedRelay",
    "ForkFound",
    "GenesisSearch",
    "LedgerTold",
    "LedgerView",
    "Loaded",
    "PartReader",
    "PublishHead",
    "Receiver",
    "SendFeed",
    "Suspicious",
    "Totals",
    "begin_chain",
    "block_place",
    "has_log",
    "load_chain",
    "open_record",
    "pick_facts",
    "read_blocks",
    "tell_genesis",
]
