"""What payments ask of the wallet, which `core.accounting` hands to them."""

from dataclasses import dataclass
from typing import Protocol

from wwwserve.core.effects import Persist
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.wire.ledger import SealedFeed


@dataclass(frozen=True, slots=True)
class HoldDraft:
    """A hold but for what the wallet adds: its number, its hash chain and its signature."""

    payee: NodeId
    first: int
    unit: int
    units_max: int
    unit_tokens: int
    req_commit: bytes
    quote_hash: bytes
    deadline_ms: int
    flags: int = 0

    @property
    def locked(self) -> int:
        """The most it can pay."""
        return self.first + (self.units_max - 1) * self.unit


@dataclass(frozen=True, slots=True)
class SignedHold:
    """A hold in a feed block that is about to be written down."""

    hold_id: bytes
    feed: SealedFeed
    position: int
    """Which op of the feed block it is."""
    links: bytes
    """Its hash chain, the anchor first."""
    writes: tuple[Persist, ...]
    """Nothing of it may leave before these are durable."""


class AsksWallet(Protocol):
    """This node's own account (`core.wallet.Wallet`)."""

    @property
    def spendable(self) -> int:
        """Micro-credits that can be set aside now: all that was signed since is taken off."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether anything can be signed now: its head is known, and the ledger goes on."""
        ...

    def sign_hold(self, draft: HoldDraft, now: Moment) -> SignedHold:
        """Open a hold. Only while `is_ready` and it is covered: anything else is a bug."""
        ...
