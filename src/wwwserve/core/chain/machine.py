"""The chain as one machine: feed blocks and blocks go in; durable blocks and facts come out."""

from dataclasses import dataclass
from typing import assert_never

from wwwserve.core import consensus
from wwwserve.core.chain.admission import Admission
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
from wwwserve.core.chain.loading import Loaded
from wwwserve.core.chain.places import FORK_PLACE, GENESIS_PLACE, block_place, state_place
from wwwserve.core.consensus import (
    BLOCKS_AHEAD_MAX,
    Applied,
    BlockReceived,
    BlockRefused,
    Finalised,
    ForkReceived,
    Head,
    HeadReceived,
    Keep,
    Kept,
    OrderingEffect,
    OrderingEvent,
    Publish,
    Solo,
    SoloSetup,
    Tick,
)
from wwwserve.core.effects import Persist, PublishBlock
from wwwserve.core.events import (
    Persisted,
)
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger import BlockRun, Ledger
from wwwserve.core.log_news import BlockTold, ForkTold, HeadTold
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire import Signer, encode
from wwwserve.wire.chain import ChainRecord, strip_list
from wwwserve.wire.chain import ForkTold as ForkMessage
from wwwserve.wire.ledger import HeadFork, OpenedBlock, OpenedFeed, is_head_fork

_AT_ONCE = Moment(0)
"""A deadline that is past: a slice of a block is to be applied."""


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """Where the log stands, for people."""

    network_id: bytes
    sequencer: NodeId
    is_sequencer: bool
    height: int
    head: bytes
    time_ms: int
    epoch: int
    told_height: int
    """The highest height any peer has told of: more than `height` while this node catches up."""
    waiting: int
    """Feed blocks that wait for a block; only the sequencer knows of any."""
    fork: tuple[bytes, bytes] | None
    """Ids of two blocks of one height. Whoever has both has proof, and everything has stopped."""
    tolerates_faults: bool = False
    """Whether the log would survive a lying minority. One sequencer: no."""


class Chain:
    """The ordered log of this node and the ledger that follows from it."""

    def __init__(self, loaded: Loaded, signer: Signer | None, now: Moment) -> None:
        """Go on from what is on disk; `signer` is this node's own."""
        self._ledger = loaded.ledger
        self._loaded = loaded
        self._number = 0
        self._writing: dict[int, tuple[ChainRecord, tuple[OpenedFeed, ...]]] = {}
        """Blocks on their way to the disk, by the number of the write."""
        self._kept: tuple[ChainRecord, tuple[OpenedFeed, ...]] | None = None
        """The block that was last made durable."""
        self._changes = loaded.changes
        """Entries that the last applied block changed, to be written with the next."""
        self._run: tuple[Finalised, tuple[OpenedFeed, ...], BlockRun] | None = None
        self._is_applied = False
        """Whether all slices of it are done, and its end is not."""
        self._opened: dict[bytes, OpenedFeed] = {}
        """Feed blocks that wait; until the block with them is applied."""
        self._told: dict[bytes, tuple[int, tuple[OpenedFeed, ...]]] = {}
        """Height and feed blocks of blocks that a peer told, until they are durable."""
        self._admission = Admission(self._ledger)
        constitution, log = self._ledger.constitution, self._ledger.log
        self._sequencer = NodeId(constitution.sequencer)
        own = signer if signer is not None and signer.node_id == self._sequencer else None
        self._is_sequencer = own is not None
        setup = SoloSetup(constitution.network_id, self._ledger.parameters, self._sequencer, own)
        head = Head(
            log.height, log.head, log.beacon, log.time_ms, self._ledger.root, self._ledger.due_ms
        )
        self._engine = Solo(setup, head, now, loaded.recent)
        self._newest = loaded.recent[-1] if loaded.recent else None
        if loaded.fork:
            # It is on disk already, so nothing is to be done about it but to stop.
            self._engine.handle(ForkReceived(*loaded.fork), now)

    # -- a look from outside ---------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The ledger; between two calls it may stand between two feed blocks of one block."""
        return self._ledger

    @property
    def newest(self) -> OpenedBlock | None:
        """The newest durable block, for a new link to be told; None before the first."""
        return self._newest

    @property
    def is_sequencer(self) -> bool:
        """Whether this node orders the log."""
        return self._is_sequencer

    @property
    def fork(self) -> tuple[OpenedBlock, OpenedBlock] | None:
        """Proof that the sequencer signed two histories, once there is one."""
        return self._engine.fork

    @property
    def genesis_record(self) -> bytes:
        """The first record of the log."""
        return self._loaded.genesis_record

    def get_status(self) -> ChainStatus:
        """Where the log stands."""
        head, fork = self._engine.head, self._engine.fork
        return ChainStatus(
            network_id=self._ledger.constitution.network_id,
            sequencer=self._sequencer,
            is_sequencer=self._is_sequencer,
            height=head.height,
            head=head.block_id,
            time_ms=head.time_ms,
            epoch=head.time_ms // self._ledger.parameters.epoch_ms,
            told_height=self._engine.told_height,
            waiting=self._engine.pool_count,
            fork=(fork[0].block_id, fork[1].block_id) if fork else None,
        )

    # -- the doors -------------------------------------------------------------------------------

    def start(self) -> list[ChainEffect]:
        """Have a new log's genesis and first state written, before anything else."""
        if not self._loaded.is_new:
            return []
        changes = self._take_changes()
        return [self._persist(((GENESIS_PLACE, self._loaded.genesis_record), *changes))]

    def submit(self, opened: OpenedFeed) -> list[ChainEffect]:
        """Have a feed block ordered, here or by the sequencer; raises `Refusal` if it cannot be."""
        if not self._is_sequencer:
            return [SendFeed(opened)]
        if opened.feed_id in self._opened:
            raise Refusal("pool-known", "it is here already", Severity.IGNORE)
        self._admission.admit(opened)
        try:
            self._engine.submit(encode(opened.signed.sealed))
        except Refusal:
            self._admission.withdraw(opened)
            raise
        self._opened[opened.feed_id] = opened
        return []

    def handle(self, event: ChainEvent, now: Moment) -> list[ChainEffect]:
        """Take in what happened; the answer is what is to be done, in order."""
        match event:
            case ChainTick():
                return self._step(now) if self._run else self._tell(Tick(), now)
            case BlockTold():
                return self._on_block(event, now)
            case HeadTold(sender, head):
                return self._tell(HeadReceived(sender, head), now)
            case ForkTold():
                return self._on_fork(event, now)
            case Persisted():
                return self._on_persisted(event, now)
            case _:
                assert_never(event)

    def next_deadline(self) -> Moment:
        """When to call `handle(ChainTick(), now)`, if nothing happens before."""
        return _AT_ONCE if self._run else self._engine.next_deadline()

    # -- what peers tell -------------------------------------------------------------------------

    def _on_block(self, event: BlockTold, now: Moment) -> list[ChainEffect]:
        block, height = event.block, event.block.header.height
        # The two above: the one being written, and the first that waits.
        is_wanted = 0 < height - self._engine.head.height < BLOCKS_AHEAD_MAX + 2
        if is_wanted and block.leader == self._sequencer:
            self._told[block.block_id] = (height, event.feeds)
        words = tuple(encode(opened.signed.sealed) for opened in event.feeds)
        return self._tell(BlockReceived(event.sender, block, words), now)

    def _on_fork(self, event: ForkTold, now: Moment) -> list[ChainEffect]:
        first, second = event.first, event.second
        if is_head_fork(first, second) and first.leader == self._sequencer:
            return self._tell(ForkReceived(first, second), now)
        refusal = Refusal("evidence-void", "the two blocks prove nothing of the sequencer")
        return [Suspicious(event.sender, first.header.height, refusal)]

    # -- what the engine asks --------------------------------------------------------------------

    def _tell(self, event: OrderingEvent, now: Moment) -> list[ChainEffect]:
        effects: list[ChainEffect] = []
        for asked in self._engine.handle(event, now):
            effect = self._carry(asked)
            if isinstance(effect, ForkFound):
                effects.append(self._write_fork(effect))
            effects.append(effect)
        if self._run is None and (final := self._engine.finalised()) is not None:
            self._begin(final)
        return effects

    def _carry(self, effect: OrderingEffect) -> ChainEffect:
        match effect:
            case Keep(block):
                return self._keep(block)
            case Publish(block, is_own):
                assert self._kept is not None
                self._newest = block
                record = self._kept[0]
                return PublishBlock(record) if is_own else PublishHead(strip_list(block.sealed))
            case consensus.BlocksMissing(peer, first, last):
                return BlocksMissing(peer, first, last)
            case BlockRefused(sender, block, refusal):
                self._told.pop(block.block_id, None)
                return Suspicious(sender, block.header.height, refusal)
            case consensus.ForkFound(first, second):
                return ForkFound(first, second)
            case _:
                assert_never(effect)

    def _keep(self, block: OpenedBlock) -> Persist:
        told = self._told.get(block.block_id)
        feeds = told[1] if told else tuple(self._opened[feed_id] for feed_id in block.feed_ids)
        record = ChainRecord(block.sealed, tuple(opened.signed.sealed for opened in feeds))
        place = block_place(block.header.height)
        write = self._persist(((place, encode(record)), *self._take_changes()))
        self._writing[write.number] = (record, feeds)
        return write

    def _write_fork(self, found: ForkFound) -> Persist:
        """A proof outlives the process, or a restart would forget why it stopped."""
        proof = ForkMessage(strip_list(found.first.sealed), strip_list(found.second.sealed))
        return self._persist(((FORK_PLACE, encode(proof)),))

    def _take_changes(self) -> tuple[tuple[bytes, bytes | None], ...]:
        changes, self._changes = self._changes, {}
        return tuple((state_place(key), value) for key, value in changes.items())

    def _persist(self, changes: tuple[tuple[bytes, bytes | None], ...]) -> Persist:
        self._number += 1
        return Persist(Lane.CHAIN, self._number, changes)

    def _on_persisted(self, event: Persisted, now: Moment) -> list[ChainEffect]:
        written = self._writing.pop(event.number, None)
        if written is None:
            return []
        self._kept = written
        return self._tell(Kept(self._engine.head.height + 1), now)

    # -- applying blocks -------------------------------------------------------------------------

    def _begin(self, final: Finalised) -> None:
        assert self._kept is not None
        feeds = self._kept[1]
        # The engine has checked what the ledger checks here again, down to the root of the state.
        self._run = (final, feeds, self._ledger.begin_block(final.block, feeds))

    def _step(self, now: Moment) -> list[ChainEffect]:
        """Apply one slice; after the last, in a call of its own, tell what the block changed."""
        assert self._run is not None
        final, feeds, run = self._run
        if not self._is_applied:
            self._is_applied = not run.step()
            return []
        self._run, self._is_applied = None, False
        self._changes = run.changes
        self._admission.on_final(feeds)
        for feed_id in final.block.feed_ids:
            self._opened.pop(feed_id, None)
        self._told = {
            block_id: told for block_id, told in self._told.items() if told[0] > final.height
        }
        answers: list[ChainEffect] = [LedgerTold(final.height, final.time_ms, run.facts, feeds)]
        if self._ledger.log.halt:
            answers += self._tell(_find_fork(feeds), now)
        applied = Applied(final.height, self._ledger.root, self._ledger.due_ms)
        return answers + self._tell(applied, now)


def _find_fork(feeds: tuple[OpenedFeed, ...]) -> ForkReceived:
    """The proof in a block that halted the ledger."""
    proofs = (proof for opened in feeds for proof in opened.proofs)
    fork = next(proof for proof in proofs if isinstance(proof, HeadFork))
    return ForkReceived(fork.first, fork.second)
