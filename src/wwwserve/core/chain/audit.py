"""A third party's look at a whole log: nothing is believed, and the first fault is named.

An export is a genesis, every block with its feed blocks, and an end that says what came before it.
Each record is opened and applied as a node would, so whoever is content at the end has come to the
same state by its own work.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from wwwserve.core.consensus import validate_list
from wwwserve.core.ledger import FeedVoid, Ledger, LedgerFact, OpRefused
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Verifier, encode
from wwwserve.wire.chain import ChainRecord, read_chain_record, read_export_end
from wwwserve.wire.ledger import (
    FeedOpener,
    OpenedBlock,
    OpenedFeed,
    PointChecker,
    SealedFeed,
    compute_genesis_id,
    open_block,
    open_genesis,
    read_feed,
)


@dataclass(eq=False)
class Broken(Exception):
    """The first rule that an export breaks, and where."""

    rule: str
    detail: str
    height: int
    """Of the block, 0 for the genesis; at the end, that of the last block and one more."""
    index: int | None = None
    """Place of the feed block in it."""
    account: NodeId | None = None
    seq: int | None = None

    def __str__(self) -> str:
        place = f"block {self.height}" if self.height else "genesis"
        if self.index is not None:
            place += f", feed block {self.index}"
        return f"{place}: {self.rule}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Totals:
    """What a log comes to. Amounts are micro-credits."""

    network_id: bytes
    name: str
    height: int
    head: bytes
    root: bytes
    time_ms: int
    """The ledger clock."""
    epoch: int
    feeds: int
    """Feed blocks in the log, of which `feeds_void` changed nothing."""
    feeds_void: int
    ops: int
    """Ops of the others, of which `ops_refused` changed nothing."""
    ops_refused: int
    accounts: int
    holds: int
    """Open ones."""
    supply: int
    free: int
    staked: int
    unbonding: int
    held: int
    pool: int
    is_halted: bool
    """Whether the sequencer was proved to have signed two histories."""


class Audit:
    """Takes the records of an export one after the other; each call raises `Broken`."""

    def __init__(self, genesis_record: bytes, verifier: Verifier, points: PointChecker) -> None:
        """Begin with the first record."""
        try:
            self._genesis = open_genesis(genesis_record)
            self._ledger = Ledger.from_genesis(self._genesis)
        except Refusal as refusal:
            raise Broken(refusal.rule, refusal.detail, 0) from refusal
        network_id = compute_genesis_id(self._genesis)
        memory = self._genesis.parameters.puzzle_memory_log2
        self._opener = FeedOpener(verifier, points, network_id, memory)
        self._feeds = self._feeds_void = self._ops = self._ops_refused = 0
        self._validate_sum()

    @property
    def height(self) -> int:
        """Of the last block taken."""
        return self._ledger.log.height

    def take(self, data: bytes) -> None:
        """The next block."""
        try:
            record = read_chain_record(data)
            block = open_block(record.block, self._opener.verifier, self._opener.network_id)
            feeds = tuple(self._open_feeds(record, block))
            validate_list(block.feed_ids, tuple(len(encode(sealed)) for sealed in record.feeds))
            epoch = self._ledger.log.epoch
            facts = self._ledger.apply_block(block, feeds)
        except Refusal as refusal:
            raise Broken(refusal.rule, refusal.detail, self.height + 1) from refusal
        self._count(feeds, facts)
        if self._ledger.log.epoch != epoch:
            self._validate_sum()

    def finish(self, data: bytes, digest: bytes) -> Totals:
        """The end record, and the digest of all bytes before it; gives what the log comes to."""
        log = self._ledger.log
        try:
            end = read_export_end(data)
        except Refusal as refusal:
            raise Broken("export-end", refusal.detail, log.height + 1) from refusal
        if (end.height, end.head) != (log.height, log.head):
            detail = f"it ends with block {log.height}, and was written with {end.height}"
            raise Broken("export-end", detail, log.height + 1)
        if end.digest != digest:
            raise Broken("export-digest", "its bytes are not those written", log.height + 1)
        self._validate_sum()
        return self._sum_up()

    def _open_feeds(self, record: ChainRecord, block: OpenedBlock) -> Iterable[OpenedFeed]:
        if len(record.feeds) != len(block.feed_ids):
            detail = f"{len(record.feeds)} feed blocks, and it lists {len(block.feed_ids)}"
            raise Refusal("block-feeds", detail)
        for index, (sealed, feed_id) in enumerate(zip(record.feeds, block.feed_ids, strict=True)):
            try:
                _validate_listed(sealed, feed_id)
                yield self._opener.open(sealed)
            except Refusal as refusal:
                account, seq = self._name(sealed)
                height = self.height + 1
                raise Broken(refusal.rule, refusal.detail, height, index, account, seq) from refusal

    def _name(self, sealed: SealedFeed) -> tuple[NodeId | None, int | None]:
        """Whose feed block it says it is, if it can be read at all."""
        try:
            said = read_feed(sealed, _Credulous(), self._opener.network_id)
        except Refusal:
            return None, None
        return said.account, said.header.seq

    def _count(self, feeds: tuple[OpenedFeed, ...], facts: tuple[LedgerFact, ...]) -> None:
        void = {fact.feed_id for fact in facts if isinstance(fact, FeedVoid)}
        self._feeds += len(feeds)
        self._feeds_void += len(void)
        self._ops += sum(len(opened.ops) for opened in feeds if opened.feed_id not in void)
        self._ops_refused += sum(1 for fact in facts if isinstance(fact, OpRefused))

    def _validate_sum(self) -> None:
        """All credits add up to the supply, and none is owed by anybody."""
        totals = self._sum_up()
        found = totals.free + totals.staked + totals.unbonding + totals.held + totals.pool
        if found != totals.supply:
            detail = f"all credits are {found} and not {totals.supply}"
            raise Broken("supply", detail, self.height)
        amounts = (account.avail for account in self._ledger.accounts.values())
        if min(amounts, default=0) < 0 or totals.pool < 0:
            raise Broken("negative", "somebody has less than nothing", self.height)

    def _sum_up(self) -> Totals:
        log, accounts = self._ledger.log, self._ledger.accounts.values()
        return Totals(
            network_id=self._opener.network_id,
            name=self._genesis.name,
            height=log.height,
            head=log.head,
            root=self._ledger.root,
            time_ms=log.time_ms,
            epoch=log.epoch,
            feeds=self._feeds,
            feeds_void=self._feeds_void,
            ops=self._ops,
            ops_refused=self._ops_refused,
            accounts=len(accounts),
            holds=len(self._ledger.holds),
            supply=self._genesis.supply,
            free=sum(account.avail + account.audit for account in accounts),
            staked=sum(account.bond + account.lent for account in accounts),
            unbonding=sum(amount for account in accounts for _, amount in account.unbonding),
            held=sum(hold.locked for hold in self._ledger.holds.values()),
            pool=log.pool,
            is_halted=log.halt is not None,
        )


def _validate_listed(sealed: SealedFeed, feed_id: bytes) -> None:
    if sealed.compute_id() != feed_id:
        raise Refusal("block-feeds", "it is not the one that the block lists here")


class _Credulous:
    """Takes any signature, so that a feed block that fails can at least be named."""

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whatever it is."""
        return bool(node_id and message and signature)
