"""What the ledger tells: all that a block changed and that a wallet, operator or test looks at."""

from dataclasses import dataclass
from enum import Enum

from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import Door


class Ending(Enum):
    """How a hold came to its end."""

    CLAIMED = "claimed"
    CLOSED = "closed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class FeedApplied:
    """A feed block is in the log: its number and fee are used up, whatever became of its ops."""

    feed_id: bytes
    account: NodeId
    seq: int
    fee: int


@dataclass(frozen=True, slots=True)
class FeedVoid:
    """A feed block in a block changed nothing at all."""

    feed_id: bytes
    account: NodeId
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class OpRefused:
    """One op of an applied feed block changed nothing."""

    feed_id: bytes
    position: int
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class HoldOpened:
    """Credits are set aside for a payee until `ttl_ms` of the ledger clock."""

    hold_id: bytes
    payer: NodeId
    payee: NodeId
    locked: int
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class HoldClosing:
    """The payer has said how deep it paid; the payee may go deeper until `due_ms`."""

    hold_id: bytes
    depth: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class HoldSettled:
    """A hold is over: `paid` went to the payee, `returned` to the payer."""

    hold_id: bytes
    payer: NodeId
    payee: NodeId
    paid: int
    returned: int
    ending: Ending


@dataclass(frozen=True, slots=True)
class Transferred:
    """Credits changed hands."""

    source: NodeId
    target: NodeId
    amount: int


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """A key has an account; its next feed block has number `seq` + 1."""

    account: NodeId
    seq: int


@dataclass(frozen=True, slots=True)
class AccountRemoved:
    """An account with nothing left but `dust`, which went to the pool."""

    account: NodeId
    dust: int


@dataclass(frozen=True, slots=True)
class StakeChanged:
    """What an account has staked, itself or by its sponsor; it weighs so from the next epoch."""

    account: NodeId
    seats: int


@dataclass(frozen=True, slots=True)
class Unbonded:
    """Stake that came free."""

    account: NodeId
    amount: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A key came in by a door."""

    account: NodeId
    door: Door
    granted: int


@dataclass(frozen=True, slots=True)
class NewcomerEnded:
    """A newcomer's slot is free again: it earned its seat, or it did not."""

    account: NodeId
    is_seated: bool


@dataclass(frozen=True, slots=True)
class Fined:
    """An account signed two feed blocks of one number: `compensated` of `taken` went to payees."""

    account: NodeId
    seq: int
    taken: int
    compensated: int


@dataclass(frozen=True, slots=True)
class Circulated:
    """A private network's credits moved on: allowances first, the rest in equal shares."""

    levied: int
    allowances: int
    share: int
    members: int


@dataclass(frozen=True, slots=True)
class EpochTurned:
    """An epoch began, and with it another snapshot of the seats."""

    epoch: int


@dataclass(frozen=True, slots=True)
class LedgerHalted:
    """The sequencer signed two histories: everybody stops and shows both."""

    height: int
    first: bytes
    second: bytes


LedgerFact = (
    FeedApplied
    | FeedVoid
    | OpRefused
    | HoldOpened
    | HoldClosing
    | HoldSettled
    | Transferred
    | AccountOpened
    | AccountRemoved
    | StakeChanged
    | Unbonded
    | Joined
    | NewcomerEnded
    | Fined
    | Circulated
    | EpochTurned
    | LedgerHalted
)
"""The closed set. Amounts are micro-credits, instants those of the ledger clock."""
