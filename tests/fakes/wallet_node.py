"""One node's wallet on a pretend disk, in virtual time, with a ledger of its own to follow.

A write passes three points: asked for, done, acknowledged. What names the lane leaves only behind
the writes before it. A kill keeps some first ones of the unfinished writes; a power loss may take
the newest finished ones too.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.asked_ledger import AskedLedger
from tests.property.ledger_world import Pen
from wwwserve.core.effects import Persist
from wwwserve.core.events import DeadlineReached
from wwwserve.core.holding import HoldDraft, SignedHold
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger import Ledger
from wwwserve.core.wallet import (
    BlockApplied,
    HeadHeard,
    OrderRefused,
    OrderSettled,
    OrderSigned,
    SubmitFeed,
    Wallet,
    WalletEffect,
    WalletEvent,
    WalletSetup,
)
from wwwserve.values.moments import Moment
from wwwserve.wire.ledger import OpenedBlock, OpenedFeed, SealedFeed

STEPS_MAX = 1_000
"""Deadlines in a row after which a wallet is said never to rest."""


@dataclass
class FeedDisk:
    """The `FEED` lane of one node; it outlives processes."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    before: list[dict[bytes, bytes]] = field(default_factory=list)
    """As it was before each write."""

    def write(self, persist: Persist) -> None:
        assert persist.lane is Lane.FEED
        self.before.append(dict(self.values))
        for key, value in persist.changes:
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    def lose(self, writes: int) -> None:
        """The machine crashed: the newest writes were not on the platter."""
        if writes and self.before:
            self.values = dict(self.before[-min(writes, len(self.before))])
        self.before = []


@dataclass
class WalletNode:
    """A process with a wallet."""

    number: int
    node_id: Pen
    ledger: Ledger
    show: Callable[[SealedFeed], None]
    """Told of each feed block that somebody else may have seen from now on."""
    bring: Callable[[SealedFeed], None]
    """Told of each that is to go to the sequencer."""
    disk: FeedDisk = field(default_factory=FeedDisk)
    at: int = 0
    is_clean_boot: bool = True
    signed: dict[int, bytes] = field(default_factory=dict)
    """Orders that were acknowledged, with the feed block named last."""
    settled: dict[int, OrderSettled] = field(default_factory=dict)
    refused: dict[int, OrderRefused] = field(default_factory=dict)
    offered: list[SignedHold] = field(default_factory=list)
    """Holds whose offers have left."""
    is_quick: bool = True
    """Whether the disk does each write at once."""

    def __post_init__(self) -> None:
        self._doing: deque[WalletEffect | SignedHold] = deque()
        """What waits for writes, and these."""
        own = self.node_id.node_id
        setup = WalletSetup(
            self.node_id,
            stored=dict(self.disk.values),
            is_clean_boot=self.is_clean_boot,
            held={
                hold_id: hold.locked
                for hold_id, hold in self.ledger.holds.items()
                if hold.payer == own
            },
        )
        self.wallet = Wallet(setup, AskedLedger(lambda: self.ledger))
        self.carry(self.wallet.start(Moment(self.at)))

    # -- what happens to it ----------------------------------------------------------------------

    @property
    def has_noted_boot(self) -> bool:
        """Whether its first write is done, so that the host may call the boot clean from now on."""
        return self.is_clean_boot or bool(self.disk.before)

    def tell(self, event: WalletEvent) -> None:
        self.carry(self.wallet.handle(event, Moment(self.at)))

    def hear(self, height: int) -> None:
        self.tell(HeadHeard(height))

    def apply(self, block: OpenedBlock, feeds: tuple[OpenedFeed, ...]) -> None:
        self.tell(BlockApplied(self.ledger.apply_block(block, feeds)))

    def sign_hold(self, draft: HoldDraft) -> SignedHold:
        signed = self.wallet.sign_hold(draft, Moment(self.at))
        self.carry([*signed.writes])
        self._doing.append(signed)
        self._do()
        return signed

    def run(self, until: int) -> None:
        """Let own time pass."""
        for _ in range(STEPS_MAX):
            deadline = self.wallet.next_deadline()
            if deadline > until:
                break
            self.at = max(self.at, deadline)
            self.tell(DeadlineReached())
        else:
            raise AssertionError("it never rests")
        self.at = until

    # -- its disk --------------------------------------------------------------------------------

    @property
    def unfinished(self) -> list[Persist]:
        return [effect for effect in self._doing if isinstance(effect, Persist)]

    def carry(self, effects: list[WalletEffect]) -> None:
        self._doing += effects
        self._do()

    def finish_writes(self) -> None:
        while self.unfinished:
            self.finish_write()

    def finish_write(self) -> None:
        """The oldest unfinished write is durable; what waited for it is done."""
        persist = self._doing.popleft()
        assert isinstance(persist, Persist)
        self.disk.write(persist)
        self._release()

    def end(self, kept_writes: int) -> None:
        """The process was killed; of the unfinished writes some first ones were done."""
        for persist in self.unfinished[:kept_writes]:
            self.disk.write(persist)
        self._doing.clear()

    def _do(self) -> None:
        self._release()
        if self.is_quick:
            self.finish_writes()

    def _release(self) -> None:
        while self._doing and not isinstance(self._doing[0], Persist):
            self._carry_out(self._doing.popleft())

    def _carry_out(self, effect: WalletEffect | SignedHold) -> None:
        match effect:
            case SubmitFeed(feed, lane):
                assert lane is Lane.FEED
                self.show(feed)
                self.bring(feed)
            case SignedHold():
                self.offered.append(effect)
                self.show(effect.feed)
            case OrderSigned():
                self.signed[effect.order] = effect.feed_id
            case OrderSettled():
                self.settled[effect.order] = effect
            case OrderRefused():
                self.refused[effect.order] = effect
            case Persist():
                raise AssertionError(effect)
