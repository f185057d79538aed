"""What the chain asks of its node, beside `Persist` and `PublishBlock`."""

from dataclasses import dataclass

from wwwserve.core.effects import Persist, PublishBlock
from wwwserve.core.ledger import LedgerFact
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import OpenedBlock, OpenedFeed, SealedBlock


@dataclass(frozen=True, slots=True)
class SendFeed:
    """Bring the sequencer a feed block (`FeedTold`)."""

    feed: OpenedFeed


@dataclass(frozen=True, slots=True)
class PublishHead:
    """Tell all links of the newest block here (`HeadTold`). Of several only the last matters."""

    head: SealedBlock


@dataclass(frozen=True, slots=True)
class BlocksMissing:
    """Ask a peer for its blocks of these heights, the last included (`BlocksWanted`)."""

    peer: NodeId
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class LedgerTold:
    """A block is applied: what it changed, for the wallet, requests, metrics and people."""

    height: int
    time_ms: int
    facts: tuple[LedgerFact, ...]
    feeds: tuple[OpenedFeed, ...]
    """The feed blocks in it."""


@dataclass(frozen=True, slots=True)
class Suspicious:
    """A peer told what breaks a rule; if the sequencer signed it, the fault is the sequencer's."""

    sender: NodeId
    height: int
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class ForkFound:
    """The sequencer signed two histories: show both, pass them on (`ForkTold`). All stops."""

    first: OpenedBlock
    second: OpenedBlock


ChainEffect = (
    Persist
    | SendFeed
    | PublishBlock
    | PublishHead
    | BlocksMissing
    | LedgerTold
    | Suspicious
    | ForkFound
)
