"""What the ledger tells: all that a block changed and that a wallet, operator or test looks at."""

from enum import Enum

import msgspec

from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import Door


class Ending(Enum):
    """How a hold came to its end."""

    CLAIMED = "claimed"
    CLOSED = "closed"
    EXPIRED = "expired"


class FeedApplied(msgspec.Struct, frozen=True):
    """A feed block is in the log: its number and fee are used up, whatever became of its ops."""

    feed_id: bytes
    account: NodeId
    seq: int
    fee: int


class FeedVoid(msgspec.Struct, frozen=True):
    """A feed block in a block changed nothing at all."""

    feed_id: bytes
    account: NodeId
    rule: str
    detail: str


class OpRefused(msgspec.Struct, frozen=True):
    """One op of an applied feed block changed nothing."""

    feed_id: bytes
    position: int
    rule: str
    detail: str


class HoldOpened(msgspec.Struct, frozen=True):
    """Credits are set aside for a payee until `ttl_ms` of the ledger clock."""

    hold_id: bytes
    payer: NodeId
    payee: NodeId
    locked: int
    ttl_ms: int


class HoldClosing(msgspec.Struct, frozen=True):
    """The payer has said how deep it paid; the payee may go deeper until `due_ms`."""

    hold_id: bytes
    depth: int
    due_ms: int


class HoldSettled(msgspec.Struct, frozen=True):
    """A hold is over: `paid` went to the payee, `returned` to the payer."""

    hold_id: bytes
    payer: NodeId
    payee: NodeId
    paid: int
    returned: int
    ending: Ending


class Transferred(msgspec.Struct, frozen=True):
    """Credits changed hands."""

    source: NodeId
    target: NodeId
    amount: int


class AccountOpened(msgspec.Struct, frozen=True):
    """A key has an account; its next feed block has number `seq` + 1."""

    account: NodeId
    seq: int


class AccountRemoved(msgspec.Struct, frozen=True):
    """An account with nothing left but `dust`, which went to the pool."""

    account: NodeId
    dust: int


class StakeChanged(msgspec.Struct, frozen=True):
    """What an account has staked, itself or by its sponsor; it weighs so from the next epoch."""

    account: NodeId
    seats: int


class Unbonded(msgspec.Struct, frozen=True):
    """Stake that came free."""

    account: NodeId
    amount: int


class Joined(msgspec.Struct, frozen=True):
    """A key came in by a door."""

    account: NodeId
    door: Door
    granted: int


class NewcomerEnded(msgspec.Struct, frozen=True):
    """A newcomer's slot is free again: it earned its seat, or it did not."""

    account: NodeId
    is_seated: bool


class Fined(msgspec.Struct, frozen=True):
    """An account signed two feed blocks of one number: `compensated` of `taken` went to payees."""

    account: NodeId
    seq: int
    taken: int
    compensated: int


class Circulated(msgspec.Struct, frozen=True):
    """A private network's credits moved on: allowances first, the rest in equal shares."""

    levied: int
    allowances: int
    share: int
    members: int


class EpochTurned(msgspec.Struct, frozen=True):
    """An epoch began, and with it another snapshot of the seats."""

    epoch: int


class LedgerHalted(msgspec.Struct, frozen=True):
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
