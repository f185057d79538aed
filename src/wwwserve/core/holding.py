"""A hold about to be signed: the words in which payments and the wallet speak of it."""

from dataclasses import dataclass

from wwwserve.core.effects import Persist
from wwwserve.core.paying import PayerTerms
from wwwserve.values.ids import NodeId
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


@dataclass(frozen=True, slots=True)
class Payment:
    """A hold for one request, signed and about to be written down."""

    frame: bytes
    """`Offer.payment`."""
    terms: PayerTerms
    writes: tuple[Persist, ...]
    """Before these are durable the offer must not leave: nobody signs one number twice."""
