"""Who owes what, from signed records only: the state machine behind the one ordered log.

Rules, in the order of `spec/ledger.md`, which says why:

1. A block moves the ledger clock, settles what fell due, and carries out its feed blocks in order.
2. A feed block that is its account's next word uses up its number and its fee; each of its ops is
   carried out, or refused and then changes nothing.
3. A hold locks the most a request can cost. The payee claims with preimages, the payer closes, and
   whatever nobody claimed returns.
4. Stake weighs from the next epoch, is freed after a time, and can be fined until then.
5. A new key comes in by a sponsor, by earning, or by a capped faucet.
6. Two signatures that contradict each other are proof: a fork is fined, two histories halt.
7. No credit is made or lost: accounts, holds and the pool add up to the supply, always.

Signatures, hash chains and puzzles are checked before (`wire.ledger.FeedOpener`). Nothing here
waits, and no step of a `BlockRun` is long.

Public: `Ledger` (the machine), `BlockRun`, `LedgerFact` and the facts it is one of, and the values
of the state: `Account`, `OpenHold`, `Log`, `Constitution`, `Entries`; and what follows from an
account (`compute_spendable`, `compute_stake`).
"""

from wwwserve.core.ledger.entries import (
    NO_CLOSE,
    Account,
    Constitution,
    Entries,
    Halt,
    Log,
    Newcomer,
    OpenHold,
    Registration,
    Sponsorship,
)
from wwwserve.core.ledger.machine import BlockRun, Ledger
from wwwserve.core.ledger.rules import compute_spendable, compute_stake
from wwwserve.core.ledger_facts import (
    AccountOpened,
    AccountRemoved,
    Circulated,
    Ending,
    EpochTurned,
    FeedApplied,
    FeedVoid,
    Fined,
    HoldClosing,
    HoldOpened,
    HoldSettled,
    Joined,
    LedgerFact,
    LedgerHalted,
    NewcomerEnded,
    OpRefused,
    StakeChanged,
    Transferred,
    Unbonded,
)

__all__ = [
    "NO_CLOSE",
    "Account",
    "AccountOpened",
    "AccountRemoved",
    "BlockRun",
    "Circulated",
    "Constitution",
    "Ending",
    "Entries",
    "EpochTurned",
    "FeedApplied",
    "FeedVoid",
    "Fined",
    "Halt",
    "HoldClosing",
    "HoldOpened",
    "HoldSettled",
    "Joined",
    "Ledger",
    "LedgerFact",
    "LedgerHalted",
    "Log",
    "Newcomer",
    "NewcomerEnded",
    "OpRefused",
    "OpenHold",
    "Registration",
    "Sponsorship",
    "StakeChanged",
    "Transferred",
    "Unbonded",
    "compute_spendable",
    "compute_stake",
]
