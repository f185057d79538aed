"""The ledger's state as values: accounts, holds, and the few words about the log itself.

All of it is written as entries, key and canonical bytes: a snapshot is the list of them, and the
state root is over them. Fields are only ever appended.
"""

from typing import Final

import msgspec

from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.wire.ledger import NO_DIGEST, Circulation, Door

NO_CLOSE: Final = -1
"""The depth of a hold whose payer has not closed it."""
NOT_KEPT: Final = -1
"""An instant before the first: of an account that may be removed at once."""
NO_EPOCH: Final = -1
"""An epoch that never was."""


class Sponsorship(msgspec.Struct, array_like=True, frozen=True):
    """Another member's stake that weighs for an account."""

    sponsor: bytes
    amount: int


class Newcomer(msgspec.Struct, array_like=True, frozen=True):
    """How it stands with one who is earning a first seat."""

    until_ms: int
    """The slot is lost at this instant."""
    debt: int = 0
    """Fees to be paid from the first proceeds."""
    failed_by: tuple[bytes, ...] = ()
    """Seated payers whose holds came to nothing."""


class Registration(msgspec.Struct, array_like=True, frozen=True):
    """What an account says it does."""

    vrf_key: bytes
    hot_key: bytes
    models: tuple[bytes, ...]
    seed_anchor: bytes
    seed_epoch: int
    """The epoch in which the anchor was registered."""
    endpoint_hash: bytes


class Standing(msgspec.Struct, array_like=True, frozen=True):
    """What audits have found (stage 3; nobody has one before)."""

    evidence: int
    fault_score: int
    gold: int
    frozen_until_ms: int
    unaudited: tuple[tuple[int, int, int], ...]
    """Epoch, holds and expected cost of audits still owed."""


class Account(msgspec.Struct, array_like=True):
    """One key's money and standing. Changed only after `State.edit_account`."""

    seq: int
    """Number of its last feed block in the log."""
    head: bytes = NO_DIGEST
    """Id of that feed block."""
    avail: int = 0
    """Free credits."""
    bond: int = 0
    """Staked for itself; a part of a seat may stand here, but weighs nothing."""
    lent: int = 0
    """Staked for those it sponsors."""
    unbonding: tuple[tuple[int, int], ...] = ()
    """Instant of release and amount, in that order."""
    audit: int = 0
    """The purse that pays its audits (stage 3)."""
    holds_out: int = 0
    """Open holds it pays."""
    holds_in: int = 0
    """Open holds that pay it."""
    flags: int = 0
    door: int = 0
    """By which door it came; 0 for none."""
    sponsorship: Sponsorship | None = None
    newcomer: Newcomer | None = None
    registration: Registration | None = None
    standing: Standing | None = None
    seats_before: int = 0
    """Its seats when this epoch began, if they changed in it."""
    seats_epoch: int = NO_EPOCH
    """The epoch in which they last changed."""
    ops_used: int = 0
    ops_epoch: int = NO_EPOCH
    """Ops of its in the log in that epoch."""
    fined_seq: int = 0
    """No fork up to this number is fined any more."""
    keep_until_ms: int = NOT_KEPT
    """It is not removed before, so that its first word cannot be said again."""


class OpenHold(msgspec.Struct, array_like=True):
    """Credits set aside for one payee. Changed only after `State.edit_hold`."""

    payer: bytes
    payee: bytes
    first: int
    unit: int
    units_max: int
    unit_tokens: int
    anchor: bytes
    req_commit: bytes
    quote_hash: bytes
    deadline_ms: int
    """Instant by which the request must be done."""
    ttl_ms: int
    """Instant at which it is over in any case."""
    seed_epoch: int
    flags: int
    height: int
    """Of its inclusion."""
    locked: int
    """What it keeps from the payer: the most it can pay, and from stage 3 the audit's share."""
    is_payer_seated: bool
    close_depth: int = NO_CLOSE
    close_due_ms: int = 0


class Halt(msgspec.Struct, array_like=True, frozen=True):
    """Two blocks of one height, both of the sequencer."""

    height: int
    first: bytes
    second: bytes


class Log(msgspec.Struct, array_like=True):
    """Where the log stands. Changed only after `State.edit_log`."""

    head: bytes
    beacon: bytes
    """R of the last block."""
    epoch_beacon: bytes
    """R when this epoch began."""
    epoch_beacon_before: bytes
    """R when the epoch before began."""
    pool: int
    """Credits of no account."""
    height: int = 0
    time_ms: int = 0
    """The ledger clock."""
    epoch: int = 0
    newcomers: int = 0
    """Slots taken."""
    faucet_epoch: int = 0
    faucet_granted: int = 0
    """Granted in that epoch."""
    circulations: int = 0
    """Periods of circulation that have begun."""
    halt: Halt | None = None


class Constitution(msgspec.Struct, array_like=True, frozen=True):
    """What genesis fixed."""

    network_id: bytes
    parameters: LedgerParameters
    sequencer: bytes
    circulation: Circulation
    doors: tuple[Door, ...]
    supply: int
    treasury: bytes
    """Empty where there is none."""


Entries = dict[bytes, bytes]
"""The whole state as it is stored and sent: canonical bytes by key."""

CONSTITUTION_KEY: Final = b"c"
LOG_KEY: Final = b"l"


def account_key(account: NodeId) -> bytes:
    """The entry of an account."""
    return b"a" + account


def hold_key(hold_id: bytes) -> bytes:
    """The entry of a hold."""
    return b"h" + hold_id


def allowance_key(account: NodeId) -> bytes:
    """The entry of an allowance."""
    return b"p" + account
