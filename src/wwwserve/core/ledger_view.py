"""What wallet and payments ask of the ledger: the one thing they know of it.

Answers are those of the newest block applied here, which trails the sequencer's by a moment; what
this node has signed since then, only its wallet knows.
"""

from dataclasses import dataclass
from typing import Protocol

from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import LedgerParameters


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account as the ledger has it."""

    seq: int
    """Number of its last feed block in the log."""
    head: bytes
    """Id of that feed block."""
    avail: int
    """Micro-credits that are free."""
    spendable: int
    """Of these, what may leave: the minimum balance stays."""
    bond: int
    """Micro-credits staked by itself."""
    stake: int
    """With what its sponsor staked for it: what can be taken for its faults."""
    unbonding: int
    seats: int
    """At the snapshot of this epoch: how it is drawn."""
    holds_out: int
    """Open holds it pays."""
    debt: int
    """What a newcomer owes for fees; nothing can be spent until it is paid."""
    ops_used: int
    """Ops of its in the log in this epoch: how dear the next one is."""
    fees_max: int
    """What it can pay in fees: all that is free, and for a newcomer what it may still owe."""


@dataclass(frozen=True, slots=True)
class HoldView:
    """An open hold as the ledger has it."""

    payer: NodeId
    payee: NodeId
    locked: int
    units_max: int
    anchor: bytes
    close_depth: int
    """Where its payer closed it; -1: it has not."""
    ttl_ms: int
    """When it ends by itself."""


class AsksLedger(Protocol):
    """The ledger as it is here now."""

    @property
    def network_id(self) -> bytes:
        """Under which everything is signed."""
        ...

    @property
    def parameters(self) -> LedgerParameters:
        """The network's numbers."""
        ...

    @property
    def time_ms(self) -> int:
        """The ledger clock at the newest block."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch of that moment."""
        ...

    @property
    def height(self) -> int:
        """Of the newest block."""
        ...

    @property
    def is_halted(self) -> bool:
        """Whether the sequencer signed two histories, so that nothing goes on."""
        ...

    def find_account(self, key: NodeId) -> AccountView | None:
        """An account, if the key has one."""
        ...

    def find_hold(self, hold_id: bytes) -> HoldView | None:
        """An open hold; None before it is final, and after it is settled."""
        ...
