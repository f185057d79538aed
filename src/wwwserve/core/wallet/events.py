"""What the wallet is told, beside `DeadlineReached`, and what it asks and answers."""

from dataclasses import dataclass

from wwwserve.core.deciding import StakeOrder
from wwwserve.core.effects import Persist
from wwwserve.core.events import DeadlineReached
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger_facts import LedgerFact
from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import Op, SealedFeed

# -- the ledger ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlockApplied:
    """A block changed the ledger here; `AsksLedger` answers from after it."""

    facts: tuple[LedgerFact, ...]


@dataclass(frozen=True, slots=True)
class HeadHeard:
    """A neighbour told its newest block, signed by the sequencer, of this height."""

    height: int


# -- as a payer ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubmitHold:
    """Command: the offer with this hold was answered; its feed block may go to the sequencer."""

    hold_id: bytes


@dataclass(frozen=True, slots=True)
class HoldOver:
    """A hold of ours will be paid no deeper: if its payee does not claim, close it there."""

    hold_id: bytes
    depth: int


# -- as a payee ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeepPreimage:
    """Command: keep what a payer released, checked by whoever received it.

    A deeper one replaces the one before. At depth 0 it is the anchor: to claim that gives the hold
    back.
    """

    hold_id: bytes
    depth: int
    preimage: bytes
    worth: int
    """Micro-credits that this depth pays."""


@dataclass(frozen=True, slots=True)
class ClaimHold:
    """Command: nothing more will be received for this hold; claim what was, once it is final."""

    hold_id: bytes


@dataclass(frozen=True, slots=True)
class ShowFork:
    """Command: an account signed two feed blocks of one number: show both to the ledger."""

    account: NodeId
    seq: int
    entered: SealedFeed
    """The one in the log."""
    void: SealedFeed


# -- the operator --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignOps:
    """Command: say this to the ledger; answered by `OrderSigned` or `OrderRefused`."""

    order: int
    """The caller's number for it."""
    ops: tuple[Op, ...]
    stake: StakeOrder | None = None
    """The policy's, if it is: written down in one with what is signed."""


WalletEvent = (
    BlockApplied
    | HeadHeard
    | SubmitHold
    | HoldOver
    | KeepPreimage
    | ClaimHold
    | ShowFork
    | SignOps
    | DeadlineReached
)


# -- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubmitFeed:
    """Bring a feed block of this node's to the sequencer; again and again until it is in the log.

    Late, repeated or lost ones do no harm.
    """

    feed: SealedFeed
    lane: Lane
    """Not before this lane's pending writes are durable."""


@dataclass(frozen=True, slots=True)
class OrderSigned:
    """An order's ops are signed in this feed block.

    Told again, with another id, if that could not enter the log in its time and was replaced.
    """

    order: int
    feed_id: bytes
    seq: int
    lane: Lane
    """Nobody is to be told before this lane's pending writes are durable."""


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """An order was not signed; nothing has changed."""

    order: int
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class OpDenied:
    """One op of an order, which the ledger refused."""

    position: int
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class OrderSettled:
    """An order is in the log: done, but for the ops the ledger refused."""

    order: int
    feed_id: bytes
    seq: int
    denied: tuple[OpDenied, ...]


WalletEffect = Persist | SubmitFeed | OrderSigned | OrderRefused | OrderSettled
