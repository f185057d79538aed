"""One sequencer orders the log; everybody else follows it, checks it, and compares heads.

- The sequencer makes a block when something waits, at most every `height_ms_min`; when the state
  waits for the clock, at that instant; else every `height_ms_idle`.
- It signs the next block only when the last is durable and the state after it is known, so a crash
  at any point leaves at most one block of a height that anybody has seen.
- After a restart it listens first. If a peer knows a later block of its own (an old backup was
  restored), it takes its own blocks from its peers, and signs nothing below the last of them.
- A follower takes blocks in order, each with everything in it checked, and none that moves the
  ledger clock ahead of its own. Blocks it has missed are history: its own clock says nothing of
  them.
- Two blocks of one height stop everybody.
"""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

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
from wwwserve.core.consensus.following import validate_leader, validate_next
from wwwserve.core.consensus.heads import Fork, HeadWatch
from wwwserve.core.consensus.ordering import Finalised, Head
from wwwserve.core.consensus.pace import ClockWatch, LedgerClock
from wwwserve.core.consensus.pool import Pool
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.values.moments import MILLISECOND, NEVER, SECOND, Moment, after
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Signer
from wwwserve.wire.ledger import (
    BLOCK_FORMAT,
    BlockHeader,
    OpenedBlock,
    compute_feeds_hash,
    seal_block,
)

LISTENING_US: Final = 3 * SECOND
"""How long a restarted sequencer listens before it signs: a few rounds of heads from its links."""
BLOCKS_AHEAD_MAX: Final = 64
"""Received blocks waiting for the one below them; of more, the rest is asked for again."""
ASK_AGAIN_US: Final = SECOND
"""How long a peer may take to tell blocks before it, or another, is asked again."""


@dataclass(frozen=True, slots=True)
class SoloSetup:
    """What an engine of one sequencer is born with."""

    network_id: bytes
    parameters: LedgerParameters
    sequencer: NodeId
    signer: Signer | None
    """The sequencer's own; None on every other node."""


class Solo:
    """`OrderingEngine` by one sequencer: this node if it can sign for it, else another."""

    def __init__(
        self, setup: SoloSetup, head: Head, now: Moment, recent: Sequence[OpenedBlock] = ()
    ) -> None:
        """Go on from a head; `recent` are the newest blocks on disk, to compare heads with."""
        assert setup.signer is None or setup.signer.node_id == setup.sequencer
        self._setup = setup
        self._head = head
        self._is_applied = True
        self._keeping: tuple[OpenedBlock, tuple[bytes, ...]] | None = None
        self._final: deque[Finalised] = deque()
        self._pool = Pool()
        self._heads = HeadWatch()
        for block in recent:
            self._heads.on_own(block)
        self._ahead: dict[int, BlockReceived] = {}
        self._told: tuple[int, NodeId] = (0, setup.sequencer)
        """The highest height heard of, and from whom."""
        self._asked: tuple[int, Moment] = (0, now)
        """The last height asked for, and until when no peer is asked for it again."""
        self._history_height = 0
        """Up to here blocks were missed, so that one's own clock says nothing of them ..."""
        self._live_height = 0
        """... but for those up to here, told while one before them had to wait for it."""
        self._is_holding = False
        """Whether the next block is here, and waits for one's own clock."""
        self._clock = LedgerClock(setup.parameters, now)
        self._watch = ClockWatch(setup.parameters, head.time_ms, now)
        self._entered_at = Moment(now - setup.parameters.height_ms_min * MILLISECOND)
        self._signs_at = after(now, LISTENING_US) if head.height else now
        self._fork: Fork | None = None
        self._validators: tuple[int, Mapping[NodeId, int]] = (0, {setup.sequencer: 1})

    # -- `Ordering` ------------------------------------------------------------------------------

    def submit(self, word: bytes) -> None:
        """See `Ordering`. Only the sequencer's pool is ever drawn from."""
        if self._fork:
            raise Refusal("halted", "the sequencer signed two histories")
        self._pool.add(word)

    def finalised(self) -> Finalised | None:
        """See `Ordering`."""
        return self._final.popleft() if self._final else None

    def set_validators(self, epoch: int, weights: Mapping[NodeId, int]) -> None:
        """See `Ordering`. One sequencer leads whatever they are, until it hands over."""
        self._validators = (epoch, dict(weights))

    # -- a look from outside ---------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """The last durable block."""
        return self._head

    @property
    def pool_count(self) -> int:
        """Words that wait."""
        return len(self._pool)

    @property
    def told_height(self) -> int:
        """The highest height any peer has told of."""
        return max(self._told[0], self._head.height)

    @property
    def fork(self) -> Fork | None:
        """Proof of two histories, once there is one."""
        return self._fork

    @property
    def validators(self) -> tuple[int, Mapping[NodeId, int]]:
        """Who could vote after a handover, and from which epoch."""
        return self._validators

    # -- the machine -----------------------------------------------------------------------------

    def handle(self, event: OrderingEvent, now: Moment) -> list[OrderingEffect]:
        """See `OrderingEngine`."""
        if self._fork:
            return self._finish(event, now)
        match event:
            case Tick():
                return self._go_on(now)
            case BlockReceived():
                return self._on_block(event, now)
            case HeadReceived(sender, head):
                return self._on_head(sender, head, now)
            case ForkReceived(first, second):
                return self._stop((first, second))
            case Kept() | Applied():
                return self._finish(event, now)
            case _:
                assert_never(event)

    def next_deadline(self) -> Moment:
        """See `OrderingEngine`."""
        if self._fork or self._keeping or not self._is_applied:
            return NEVER
        held = self._ahead.get(self._head.height + 1)
        if held is not None:
            return self._watch.compute_moment(self._compute_time_ms(held.block))
        return self._compute_making() if self._is_leading() else self._compute_asking()

    # -- making blocks ---------------------------------------------------------------------------

    def _is_leading(self) -> bool:
        """Whether this node may sign the next block: none of its own is missing here."""
        return self._setup.signer is not None and self._told[0] <= self._head.height

    def _compute_making(self) -> Moment:
        parameters = self._setup.parameters
        earliest = max(
            after(self._entered_at, parameters.height_ms_min * MILLISECOND), self._signs_at
        )
        if len(self._pool):
            return earliest
        wait_ms = parameters.height_ms_idle
        if self._head.due_ms is not None:
            wait_ms = min(wait_ms, max(self._head.due_ms - self._head.time_ms, 0))
        return max(earliest, self._clock.compute_moment(wait_ms))

    def _make(self, now: Moment) -> list[OrderingEffect]:
        signer = self._setup.signer
        assert signer is not None
        ids, words = self._pool.peek()
        dt_ms = self._clock.take_step(now)
        header = BlockHeader(
            format=BLOCK_FORMAT,
            height=self._head.height + 1,
            parent=self._head.block_id,
            epoch=(self._head.time_ms + dt_ms) // self._setup.parameters.epoch_ms,
            dt_ms=dt_ms,
            feeds_hash=compute_feeds_hash(ids),
            vrf_proof=b"",
            state_root=self._head.root,
            leader=signer.node_id,
        )
        block = seal_block(header, ids, signer, self._setup.network_id)
        self._entered_at = now
        return self._keep(block, words)

    def _keep(self, block: OpenedBlock, words: tuple[bytes, ...]) -> list[OrderingEffect]:
        self._keeping = (block, words)
        return [Keep(block, words)]

    # -- following -------------------------------------------------------------------------------

    def _on_block(self, event: BlockReceived, now: Moment) -> list[OrderingEffect]:
        block, height = event.block, event.block.header.height
        answers = self._compare(event.sender, block)
        if answers:
            return answers
        self._note_told(height, event.sender)
        is_wanted = self._next_height() <= height < self._next_height() + BLOCKS_AHEAD_MAX
        if is_wanted:
            self._ahead.setdefault(height, event)
        return self._go_on(now)

    def _on_head(self, sender: NodeId, head: OpenedBlock, now: Moment) -> list[OrderingEffect]:
        answers = self._compare(sender, head)
        if answers:
            return answers
        self._note_told(head.header.height, sender)
        return self._go_on(now)

    def _compare(self, sender: NodeId, block: OpenedBlock) -> list[OrderingEffect]:
        """Refuse what is not the sequencer's, and stop at a fork."""
        try:
            validate_leader(block, self._setup.sequencer)
        except Refusal as refusal:
            return [BlockRefused(sender, block, refusal)]
        fork = self._heads.on_told(block)
        return self._stop(fork) if fork else []

    def _stop(self, fork: Fork) -> list[OrderingEffect]:
        self._fork = fork
        self._ahead.clear()
        return [ForkFound(*fork)]

    def _next_height(self) -> int:
        """The lowest height of which there is no block here."""
        return self._head.height + (2 if self._keeping else 1)

    def _note_told(self, height: int, sender: NodeId) -> None:
        if height >= self._told[0]:
            self._told = (height, sender)
        if self._is_holding:
            self._live_height = max(self._live_height, height)
        elif height > self._next_height():
            # A block was missed, or this node has just begun.
            self._history_height = max(self._history_height, height)

    def _go_on(self, now: Moment) -> list[OrderingEffect]:
        """Do what is due: take the next received block, make one, or ask for one."""
        if self._keeping or not self._is_applied:
            return []
        received = self._ahead.get(self._head.height + 1)
        if received is not None:
            return self._follow(received, now)
        if self._is_leading():
            return self._make(now) if now >= self._compute_making() else []
        return self._ask(now)

    def _ask(self, now: Moment) -> list[OrderingEffect]:
        if now < self._compute_asking():
            return []
        height, peer = self._told
        first = self._head.height + 1
        last = min(height, self._head.height + BLOCKS_AHEAD_MAX)
        self._asked = (last, after(now, ASK_AGAIN_US))
        return [BlocksMissing(peer, first, last)]

    def _compute_asking(self) -> Moment:
        if self._told[0] <= self._head.height:
            return NEVER
        last, again_at = self._asked
        return again_at if self._head.height < last else Moment(0)

    def _follow(self, received: BlockReceived, now: Moment) -> list[OrderingEffect]:
        block = received.block
        try:
            validate_next(received, self._head, self._setup.parameters)
        except Refusal as refusal:
            del self._ahead[block.header.height]
            return [BlockRefused(received.sender, block, refusal)]
        time_ms = self._compute_time_ms(block)
        self._is_holding = False
        if self._live_height < block.header.height <= self._history_height:
            self._watch.on_history(time_ms, now)
        elif now < self._watch.compute_moment(time_ms):
            self._is_holding = True
            return []
        else:
            self._watch.on_believed(time_ms, now)
        del self._ahead[block.header.height]
        return self._keep(block, received.words)

    def _compute_time_ms(self, block: OpenedBlock) -> int:
        return self._head.time_ms + block.header.dt_ms

    # -- what is durable, and what is applied ----------------------------------------------------

    def _finish(self, event: OrderingEvent, now: Moment) -> list[OrderingEffect]:
        """Go on with a block that was begun; after a fork with nothing else."""
        match event:
            case Kept(height):
                return self._on_kept(height)
            case Applied(height, root, due_ms) if height == self._head.height:
                self._head = replace(self._head, root=root, due_ms=due_ms)
                self._is_applied = True
                return [] if self._fork else self._go_on(now)
            case _:
                return []

    def _on_kept(self, height: int) -> list[OrderingEffect]:
        assert self._keeping is not None
        block, words = self._keeping
        assert block.header.height == height
        self._keeping = None
        time_ms = self._compute_time_ms(block)
        beacon = hashlib.sha256(self._head.beacon + block.block_id).digest()
        # Its root is not known before the state machine has it, and nothing is made until then.
        self._head = Head(height, block.block_id, beacon, time_ms, root=b"")
        self._is_applied = False
        self._pool.on_final(block.feed_ids)
        self._final.append(Finalised(height, words, beacon, time_ms, block))
        fork = self._heads.on_own(block)
        told: list[OrderingEffect] = [Publish(block, is_own=self._setup.signer is not None)]
        return told + (self._stop(fork) if fork and not self._fork else [])
