"""The ledger itself: blocks go in, a changed state and facts come out; nothing else changes it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from wwwserve.core.ledger.circulation import circulate
from wwwserve.core.ledger.clock import advance, compute_epoch, settle_dues
from wwwserve.core.ledger.entries import Account, Constitution, Entries, Log, OpenHold
from wwwserve.core.ledger.feeds import apply_feed, validate_feed
from wwwserve.core.ledger.seats import SeatSnapshot
from wwwserve.core.ledger.snapshot import make_state, read_state
from wwwserve.core.ledger.state import State
from wwwserve.core.ledger.tree import StateTree
from wwwserve.core.ledger_facts import LedgerFact
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import (
    BLOCK_FORMAT,
    BlockHeader,
    Genesis,
    OpenedBlock,
    OpenedFeed,
    compute_feeds_hash,
)

OPS_PER_SLICE: Final = 64
"""Ops carried out between two pauses; one feed block more may be under way."""
ENTRIES_PER_SLICE: Final = 64
"""Entries written between two pauses."""


class Ledger:
    """Who owes what, from signed records only."""

    __slots__ = ("_changes", "_is_running", "_state", "_tree")

    def __init__(self, state: State) -> None:
        """Use `from_genesis` or `restore`."""
        self._state = state
        self._tree = StateTree(state.parameters.state_tree_depth)
        self._is_running = False
        self._changes: dict[bytes, bytes | None] = {}
        state.changed = dict.fromkeys(state.list_entry_keys())
        for _ in self._rehash():
            pass
        # No block changed these, and to let go of so many takes longer than a call may.
        self._changes = {}

    @classmethod
    def from_genesis(cls, genesis: Genesis) -> "Ledger":
        """The ledger before its first block; raises `Refusal` for a genesis that is none."""
        return cls(make_state(genesis))

    @classmethod
    def restore(cls, entries: Mapping[bytes, bytes]) -> "Ledger":
        """The ledger of a snapshot. Whoever got it from others compares `root` first.

        Raises `Refusal` if an entry cannot be read.
        """
        return cls(read_state(entries))

    # -- what may be known -----------------------------------------------------------------------

    @property
    def root(self) -> bytes:
        """The digest of the whole state, as the next block names it."""
        assert not self._is_running, "a block is being applied"
        return self._tree.root

    @property
    def log(self) -> Log:
        """Where the log stands. Not to be changed."""
        return self._state.log

    @property
    def constitution(self) -> Constitution:
        """What genesis fixed."""
        return self._state.constitution

    @property
    def parameters(self) -> LedgerParameters:
        """The network's numbers."""
        return self._state.parameters

    @property
    def accounts(self) -> Mapping[NodeId, Account]:
        """Every account. Not to be changed."""
        return self._state.accounts

    @property
    def holds(self) -> Mapping[bytes, OpenHold]:
        """Every open hold. Not to be changed."""
        return self._state.holds

    @property
    def allowances(self) -> Mapping[NodeId, int]:
        """What the treasury pays each period."""
        return self._state.allowances

    @property
    def seats(self) -> Mapping[NodeId, int]:
        """The seats of this epoch's snapshot: a live view, as the draw of executors wants it."""
        return SeatSnapshot(self._state)

    @property
    def due_ms(self) -> int | None:
        """The instant of the ledger clock the state waits for next, so that a block can be made."""
        return self._state.peek_due_ms()

    def check_feed(self, opened: OpenedFeed) -> int:
        """The fee of a feed block if it came next; raises `Refusal` if it would be void."""
        return validate_feed(self._state, opened)

    def take_snapshot(self) -> Entries:
        """The whole state as entries in the order of their keys; for a worker, not for a call."""
        assert not self._is_running, "a block is being applied"
        keys = sorted(self._state.list_entry_keys())
        return {key: value for key in keys if (value := self._state.write_entry(key)) is not None}

    def make_header(
        self, dt_ms: int, feed_ids: Sequence[bytes], vrf_proof: bytes = b""
    ) -> BlockHeader:
        """What the leader of the next height signs."""
        log = self._state.log
        return BlockHeader(
            format=BLOCK_FORMAT,
            height=log.height + 1,
            parent=log.head,
            epoch=compute_epoch(log.time_ms + dt_ms, self.parameters.epoch_ms),
            dt_ms=dt_ms,
            feeds_hash=compute_feeds_hash(tuple(feed_ids)),
            vrf_proof=vrf_proof,
            state_root=self.root,
            leader=self.constitution.sequencer,
        )

    @property
    def last_facts(self) -> tuple[LedgerFact, ...]:
        """What the last block told."""
        return tuple(self._state.facts)

    @property
    def last_changes(self) -> Mapping[bytes, bytes | None]:
        """The entries that the last block changed."""
        return self._changes

    # -- changing it -----------------------------------------------------------------------------

    def begin_block(self, block: OpenedBlock, feeds: Sequence[OpenedFeed]) -> "BlockRun":
        """Start on a block; raises `Refusal`, with nothing changed, if it is not the next one."""
        assert not self._is_running, "a block is being applied"
        self._validate_block(block, feeds)
        self._is_running = True
        return BlockRun(self, self._run(block, feeds))

    def apply_block(
        self, block: OpenedBlock, feeds: Sequence[OpenedFeed]
    ) -> tuple[LedgerFact, ...]:
        """The whole block in one go: for workers, audits and tests."""
        run = self.begin_block(block, feeds)
        while run.step():
            pass
        return run.facts

    def _validate_block(self, block: OpenedBlock, feeds: Sequence[OpenedFeed]) -> None:
        header = block.header
        if self._state.log.halt:
            raise Refusal("halted", "the sequencer signed two histories")
        if block.feed_ids != tuple(feed.feed_id for feed in feeds):
            raise Refusal("block-feeds", "the feed blocks are not those it lists")
        if header.dt_ms > self.parameters.height_ms_max:
            raise Refusal("block-time", f"{header.dt_ms} ms, over {self.parameters.height_ms_max}")
        wanted = self.make_header(header.dt_ms, block.feed_ids)
        for name in BlockHeader.__struct_fields__:
            if getattr(header, name) != getattr(wanted, name):
                raise Refusal(f"block-{name.replace('_', '-')}", f"it is not the {name} due here")

    def _run(self, block: OpenedBlock, feeds: Sequence[OpenedFeed]) -> Iterator[None]:
        state = self._state
        state.facts = []
        state.edit_log().height = block.header.height
        advance(state, block.header.dt_ms)
        yield from settle_dues(state)
        yield from circulate(state)
        yield from self._apply_feeds(feeds)
        log = state.edit_log()
        log.head = block.block_id
        log.beacon = hashlib.sha256(log.beacon + block.block_id).digest()
        yield from self._rehash()
        self._is_running = False

    def _apply_feeds(self, feeds: Sequence[OpenedFeed]) -> Iterator[None]:
        ops = 0
        for opened in feeds:
            apply_feed(self._state, opened)
            ops += len(opened.ops)
            if ops >= OPS_PER_SLICE:
                ops = 0
                yield

    def _rehash(self) -> Iterator[None]:
        self._changes = {}
        for count, key in enumerate(self._state.changed, start=1):
            self._changes[key] = self._state.write_entry(key)
            self._tree.put(key, self._changes[key])
            if count % ENTRIES_PER_SLICE == 0:
                yield
        yield from self._tree.rehash()
        self._state.changed.clear()


class BlockRun:
    """A block being applied, a slice at a time, so that no call is long."""

    __slots__ = ("_is_done", "_ledger", "_slices")

    def __init__(self, ledger: Ledger, slices: Iterator[None]) -> None:
        """`slices` does the work between its pauses."""
        self._ledger = ledger
        self._slices = slices
        self._is_done = False

    def step(self) -> bool:
        """Do one slice of work, about a millisecond; whether there is more."""
        assert not self._is_done, "the block is applied"
        for _ in self._slices:
            return True
        self._is_done = True
        return False

    @property
    def facts(self) -> tuple[LedgerFact, ...]:
        """What the block changed, when it is all applied."""
        assert self._is_done, "the block is not applied yet"
        return self._ledger.last_facts

    @property
    def changes(self) -> Mapping[bytes, bytes | None]:
        """The entries it changed, for the store; None for one that is gone."""
        assert self._is_done, "the block is not applied yet"
        return self._ledger.last_changes
