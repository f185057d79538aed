"""One node's chain in virtual time, on a pretend disk that can die at any write; and its users.

A write passes three points: asked for, done, acknowledged. `Disk.dies_at` names a write and whether
the process ends before or after it was done; then `ChainNode.run` raises `Died`, and a new node may
be made over what the disk holds.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from tests.property.ledger_world import Anyone, Pen, make_genesis, name
from wwwserve.core.chain import (
    BlocksMissing,
    Chain,
    ChainEffect,
    ChainEvent,
    ChainTick,
    ForkFound,
    LedgerTold,
    PublishHead,
    SendFeed,
    Suspicious,
    begin_chain,
    load_chain,
)
from wwwserve.core.effects import Persist, PublishBlock
from wwwserve.core.events import (
    Persisted,
)
from wwwserve.core.ledger import FeedApplied
from wwwserve.core.log_news import BlockTold
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.moments import MILLISECOND, Moment
from wwwserve.wire.chain import ChainRecord
from wwwserve.wire.ledger import (
    FeedOpener,
    Genesis,
    Op,
    OpenedFeed,
    Transfer,
    compute_genesis_id,
    open_block,
    seal_feed,
)

DISK_US: Final = 3 * MILLISECOND
STEPS_MAX: Final = 100_000
LEADER: Final = 0


class Died(Exception):
    """The process ended at a write."""


@dataclass
class Disk:
    """The `CHAIN` lane of one node; it outlives processes."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    writes: int = 0
    dies_at: tuple[int, bool] | None = None
    """Number of a write since the disk was made, and whether it is done before the process ends."""

    def read(self, first: bytes, last: bytes, count_max: int) -> list[tuple[bytes, bytes]]:
        keys = sorted(key for key in self.values if first <= key < last)
        return [(key, self.values[key]) for key in keys[:count_max]]

    def write(self, persist: Persist) -> None:
        self.writes += 1
        dies = self.dies_at is not None and self.dies_at[0] == self.writes
        if dies and self.dies_at and not self.dies_at[1]:
            raise Died
        for key, value in persist.changes:
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        if dies:
            raise Died


@dataclass
class User:
    """An account that signs feed blocks in order, as a wallet does."""

    number: int
    opener: FeedOpener
    seq: int = 0
    head: bytes = bytes(32)

    def say(self, *ops: Op, until_ms: int = 2 * TINY_LEDGER.epoch_ms) -> OpenedFeed:
        self.seq += 1
        sealed = seal_feed(
            ops,
            seq=self.seq,
            previous=self.head,
            valid_until_ms=until_ms,
            signer=Pen(name(self.number)),
            network_id=self.opener.network_id,
        )
        self.head = sealed.compute_id()
        return self.opener.open(sealed)

    def pay(self, target: int, amount: int, until_ms: int = 2 * TINY_LEDGER.epoch_ms) -> OpenedFeed:
        return self.say(Transfer(name(target), amount), until_ms=until_ms)


class ChainNode:
    """A chain, its clock and its disk."""

    def __init__(
        self, number: int, disk: Disk | None = None, genesis: Genesis | None = None, at: int = 0
    ) -> None:
        self.genesis = genesis or make_genesis()
        self.network_id = compute_genesis_id(self.genesis)
        self.opener = FeedOpener(Anyone(), Anyone(), self.network_id, puzzle_memory_log2=1)
        self.disk = disk or Disk()
        self.number, self.at = number, at
        self.published: list[ChainRecord] = []
        self.told: list[LedgerTold] = []
        self.others: list[PublishHead | SendFeed | BlocksMissing | Suspicious | ForkFound] = []
        self._writing: deque[tuple[int, Persist]] = deque()
        loaded = load_chain(self.disk.read, Anyone(), Anyone()) or begin_chain(self.genesis)
        self.chain = Chain(loaded, Pen(name(number)), Moment(at))
        self.carry(self.chain.start())

    def submit(self, *feeds: OpenedFeed) -> None:
        for opened in feeds:
            self.carry(self.chain.submit(opened))

    def tell(self, event: ChainEvent) -> None:
        self.carry(self.chain.handle(event, Moment(self.at)))

    def tell_record(self, record: ChainRecord, sender: int = 5) -> None:
        """Tell a block as a peer would, signatures checked."""
        block = open_block(record.block, Anyone(), self.network_id)
        feeds = tuple(self.opener.open(sealed) for sealed in record.feeds)
        self.tell(BlockTold(name(sender), block, feeds))

    def carry(self, effects: list[ChainEffect]) -> None:
        for effect in effects:
            match effect:
                case Persist():
                    self._writing.append((self.at + DISK_US, effect))
                case PublishBlock():
                    self.published.append(effect.record)
                case LedgerTold():
                    self.told.append(effect)
                case _:
                    self.others.append(effect)

    def run(self, span_us: int) -> None:
        """Let time pass; raises `Died` where the disk says so."""
        end = self.at + span_us
        for _ in range(STEPS_MAX):
            deadline = self.chain.next_deadline()
            done_at = self._writing[0][0] if self._writing else end + 1
            at = min(max(self.at, deadline), done_at)
            if at > end:
                break
            self.at = at
            if at == done_at:
                persist = self._writing.popleft()[1]
                self.disk.write(persist)
                self.tell(Persisted(persist.lane, persist.number))
            else:
                self.tell(ChainTick())
        else:
            raise AssertionError("it never rests")
        self.at = end

    @property
    def acknowledged(self) -> list[bytes]:
        """Ids of feed blocks that this process said are in the log."""
        return [
            fact.feed_id
            for told in self.told
            for fact in told.facts
            if isinstance(fact, FeedApplied)
        ]

    def balance(self, number: int) -> int:
        return self.chain.ledger.accounts[NodeId(name(number))].avail
