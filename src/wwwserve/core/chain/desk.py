"""The log among neighbours: what it asks of other nodes becomes messages, and theirs its events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from wwwserve.core.chain.effects import (
    BlocksMissing,
    ChainEffect,
    ForkFound,
    LedgerTold,
    PublishHead,
    SendFeed,
    Suspicious,
)
from wwwserve.core.chain.events import ChainTick
from wwwserve.core.chain.finding import tell_genesis
from wwwserve.core.chain.loading import Loaded
from wwwserve.core.chain.machine import Chain
from wwwserve.core.chain.receiving import ChainNews
from wwwserve.core.chain.relaying import FeedRelay
from wwwserve.core.chain.view import LedgerView
from wwwserve.core.effects import Persist, PublishBlock, Report, SendMessage
from wwwserve.core.events import (
    DeadlineReached,
    EnvelopeReceived,
    LinkClosed,
    LinkOpened,
    Persisted,
)
from wwwserve.core.facts import ForkProved, LedgerBegun, PeerRefused
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger import Ledger
from wwwserve.core.log_news import BlockTold, FeedTold, ForkTold, HeadTold
from wwwserve.core.snapshot import LedgerStatus
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import MILLISECOND, NEVER, SECOND, Moment, after
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Signer
from wwwserve.wire import chain as words
from wwwserve.wire.chain import strip_list
from wwwserve.wire.ledger import OpenedFeed, SealedBlock

HEADS_SPACING_US: Final = SECOND // 4
"""Between two heads told to links: of several, only the last matters."""
STALL_GRACE_US: Final = 10 * SECOND
"""After two idle heights without a block the ledger counts as stalled so much later."""
GENESIS_PARTS_MAX: Final = 32
"""Parts of the genesis told to one link: the longest there may be, three times over."""

DeskEvent = ChainNews | DeadlineReached | LinkOpened | LinkClosed | Persisted | EnvelopeReceived
DeskEffect = Persist | PublishBlock | SendMessage | Report | LedgerTold


@dataclass(slots=True)
class _Neighbour:
    """What this node has told somebody it is linked with."""

    genesis_parts: int = 0


class ChainDesk:
    """The log of one node, and its neighbours."""

    def __init__(self, loaded: Loaded, signer: Signer, now: Moment) -> None:
        """Go on from what is on disk, or begin; `signer` is this node's own."""
        self._chain = Chain(loaded, signer, now)
        self._view = LedgerView(self._chain)
        self._relay = FeedRelay(loaded.ledger)
        self._links: dict[NodeId, _Neighbour] = {}
        """Who asked for blocks last stands last."""
        self._head: SealedBlock | None = None
        """The newest block, if links have not been told of it yet."""
        self._heads_at = now
        """When they may be told next."""
        self._asked_height = 0
        """From where on blocks were asked for last."""
        self._applied_at = now
        """When the last block came, or the process began."""

    # -- a look from outside ---------------------------------------------------------------------

    @property
    def ledger(self) -> LedgerView:
        """The ledger as it is here now."""
        return self._view

    @property
    def is_sequencer(self) -> bool:
        """Whether this node orders the log."""
        return self._chain.is_sequencer

    @property
    def sequencer(self) -> NodeId:
        """Who does."""
        return NodeId(self._chain.ledger.constitution.sequencer)

    @property
    def seats(self) -> Mapping[NodeId, int]:
        """The seats of this epoch: a live view."""
        return self._chain.ledger.seats

    @property
    def state(self) -> Ledger:
        """The ledger itself. Not to be changed."""
        return self._chain.ledger

    def get_status(self, now: Moment) -> LedgerStatus:
        """Where the ledger stands."""
        status, ledger = self._chain.get_status(), self._chain.ledger
        return LedgerStatus(
            network_id=status.network_id,
            sequencer=status.sequencer,
            is_sequencer=status.is_sequencer,
            height=status.height,
            head=status.head,
            time_ms=status.time_ms,
            epoch=status.epoch,
            told_height=status.told_height,
            is_stalled=self.is_stalled(now),
            fork=status.fork,
            accounts=len(ledger.accounts),
            holds=len(ledger.holds),
            supply=ledger.constitution.supply,
            tolerates_faults=status.tolerates_faults,
        )

    def is_stalled(self, now: Moment) -> bool:
        """Whether no block came for long, so that the ledger clock stands still."""
        idle_us = self._view.parameters.height_ms_idle * MILLISECOND
        return now >= after(self._applied_at, 2 * idle_us + STALL_GRACE_US)

    # -- the doors -------------------------------------------------------------------------------

    def start(self, links: tuple[NodeId, ...], now: Moment) -> list[DeskEffect]:
        """Begin, with these links open already."""
        status = self._chain.get_status()
        effects = self._carry_all(self._chain.start(), now)
        effects.append(Report(LedgerBegun(status.network_id, status.height, status.is_sequencer)))
        for peer in links:
            effects += self._greet(peer)
        return effects

    def bring(self, feed: OpenedFeed, now: Moment) -> list[DeskEffect]:
        """Bring a feed block to whoever orders the log, once."""
        try:
            return self._carry_all(self._chain.submit(feed), now)
        except Refusal:
            # Mostly it is here already: payer and payee both bring a hold. Whoever brought one
            # that is early, or came to a full pool, brings it again.
            return []

    def bring_until_final(self, feed: OpenedFeed, now: Moment) -> list[DeskEffect]:
        """Bring a feed block again and again, until it is in the log or has expired."""
        self._relay.keep(feed, now)
        return self.bring(feed, now)

    def handle(self, event: DeskEvent, now: Moment) -> list[DeskEffect]:
        """Take in what happened; the answer is what is to be done, in order."""
        match event:
            case BlockTold() | HeadTold() | ForkTold():
                return self._carry_all(self._chain.handle(event, now), now)
            case FeedTold():
                return self._on_feed(event, now)
            case Persisted(lane):
                is_ours = lane is Lane.CHAIN
                return self._carry_all(self._chain.handle(event, now), now) if is_ours else []
            case LinkOpened(peer):
                return self._greet(peer)
            case LinkClosed(peer):
                self._links.pop(peer, None)
                self._relay.on_link_closed(peer)
                return []
            case EnvelopeReceived(envelope):
                return self._on_message(envelope.sender, envelope.message)
            case DeadlineReached():
                return self._on_deadline(now)
            case _:
                assert_never(event)

    def next_deadline(self) -> Moment:
        """When to call `handle(DeadlineReached(), now)`, if nothing happens before."""
        heads_at = self._heads_at if self._head else NEVER
        return min(self._chain.next_deadline(), self._relay.next_deadline(), heads_at)

    def _on_deadline(self, now: Moment) -> list[DeskEffect]:
        effects: list[DeskEffect] = []
        if now >= self._chain.next_deadline():
            effects += self._carry_all(self._chain.handle(ChainTick(), now), now)
        for feed in self._relay.take_due(now):
            effects += self.bring_until_final(feed, now)
        return effects + self._tell_head(now)

    # -- what peers tell -------------------------------------------------------------------------

    def _greet(self, peer: NodeId) -> list[DeskEffect]:
        """Tell a new neighbour where this node stands, or that all has stopped."""
        self._links[peer] = _Neighbour()
        effects: list[DeskEffect] = list(self._relay.on_link_opened(peer))
        newest, fork = self._chain.newest, self._chain.fork
        if fork:
            effects.append(SendMessage(peer, _make_fork_told(ForkFound(*fork))))
        elif newest:
            effects.append(SendMessage(peer, words.HeadTold(strip_list(newest.sealed))))
        return effects

    def _on_feed(self, told: FeedTold, now: Moment) -> list[DeskEffect]:
        if self._chain.is_sequencer:
            return self.bring(told.feed, now)
        return list(self._relay.pass_on(told))

    def _on_message(self, sender: NodeId, message: object) -> list[DeskEffect]:
        neighbour = self._links.get(sender)
        if not isinstance(message, words.GenesisWanted) or neighbour is None:
            return []
        told = tell_genesis(self._chain.genesis_record, self._view.network_id, message)
        if told is None or neighbour.genesis_parts >= GENESIS_PARTS_MAX:
            return []
        neighbour.genesis_parts += 1
        return [SendMessage(sender, told)]

    # -- what the chain asks ---------------------------------------------------------------------

    def _carry_all(self, asked: list[ChainEffect], now: Moment) -> list[DeskEffect]:
        effects: list[DeskEffect] = []
        for effect in asked:
            effects += self._carry(effect, now)
        return effects

    def _carry(self, effect: ChainEffect, now: Moment) -> list[DeskEffect]:
        match effect:
            case Persist() | PublishBlock():
                return [effect]
            case SendFeed(feed):
                return list(self._relay.say(feed))
            case PublishHead(head):
                self._head = head
                return self._tell_head(now)
            case BlocksMissing():
                return self._ask_blocks(effect)
            case LedgerTold():
                return self._on_told(effect, now)
            case Suspicious(sender, height, refusal):
                detail = f"block {height}: {refusal.detail}"
                return [Report(PeerRefused(sender, refusal.rule, detail))]
            case ForkFound():
                return self._tell_fork(effect)
            case _:
                assert_never(effect)

    def _tell_head(self, now: Moment) -> list[DeskEffect]:
        if self._head is None or now < self._heads_at:
            return []
        told = words.HeadTold(self._head)
        self._head, self._heads_at = None, after(now, HEADS_SPACING_US)
        return [SendMessage(peer, told) for peer in self._links]

    def _ask_blocks(self, missing: BlocksMissing) -> list[DeskEffect]:
        """Ask who told of them; if that was in vain or its link is gone, everybody in turn."""
        peer = missing.peer
        if peer not in self._links or missing.first == self._asked_height:
            peer = next(iter(self._links), peer)
        if peer not in self._links:
            return []
        self._asked_height = missing.first
        self._links[peer] = self._links.pop(peer)
        last = min(missing.last, missing.first + words.BLOCKS_TOLD_MAX - 1)
        return [SendMessage(peer, words.BlocksWanted(missing.first, last))]

    def _tell_fork(self, found: ForkFound) -> list[DeskEffect]:
        told = _make_fork_told(found)
        fact = ForkProved(found.first.header.height, found.first.block_id, found.second.block_id)
        return [Report(fact), *(SendMessage(peer, told) for peer in self._links)]

    def _on_told(self, told: LedgerTold, now: Moment) -> list[DeskEffect]:
        self._applied_at = now
        self._relay.on_facts(told.facts)
        return [told]


def _make_fork_told(found: ForkFound) -> words.ForkTold:
    return words.ForkTold(strip_list(found.first.sealed), strip_list(found.second.sealed))
