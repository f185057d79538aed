"""What the ledger remembers, and the one way to change it: ask for a thing by `edit`, then set it.

Asking marks the entry as changed, so that the state root and the store follow, and the account as
touched, so that one with nothing left is removed.
"""

import heapq
from dataclasses import dataclass, field
from enum import IntEnum

from wwwserve.core.ledger.entries import (
    CONSTITUTION_KEY,
    LOG_KEY,
    Account,
    Constitution,
    Log,
    OpenHold,
    account_key,
    allowance_key,
    hold_key,
)
from wwwserve.core.ledger.rules import compute_due_ms, compute_first_seq, list_dues
from wwwserve.core.ledger_facts import AccountOpened, LedgerFact
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.wire import encode
from wwwserve.wire.ledger import NO_DIGEST


class Due(IntEnum):
    """What falls due; at one instant, in this order."""

    HOLD = 1
    ACCOUNT = 2


@dataclass(slots=True)
class State:
    """Everything the rules share."""

    constitution: Constitution
    log: Log
    accounts: dict[NodeId, Account] = field(default_factory=dict)
    holds: dict[bytes, OpenHold] = field(default_factory=dict)
    allowances: dict[NodeId, int] = field(default_factory=dict)
    dues: list[tuple[int, Due, bytes]] = field(default_factory=list)
    """A heap. It may name what is long settled: whoever takes an item looks at the thing itself."""
    changed: dict[bytes, None] = field(default_factory=dict)
    """Entries changed since the last root."""
    touched: dict[NodeId, None] = field(default_factory=dict)
    """Accounts that may have nothing left."""
    facts: list[LedgerFact] = field(default_factory=list)

    @property
    def parameters(self) -> LedgerParameters:
        """The network's numbers."""
        return self.constitution.parameters

    def tell(self, fact: LedgerFact) -> None:
        """Say what has changed."""
        self.facts.append(fact)

    # -- changing --------------------------------------------------------------------------------

    def edit_log(self) -> Log:
        """The log's own words, to be changed."""
        self.changed[LOG_KEY] = None
        return self.log

    def edit_account(self, account: NodeId) -> Account:
        """An account that is there, to be changed."""
        self.changed[account_key(account)] = None
        self.touched[account] = None
        return self.accounts[account]

    def open_account(self, account: NodeId, *, head: bytes = NO_DIGEST) -> Account:
        """A new account, without anything; numbered so that no former life can be replayed."""
        assert account not in self.accounts
        seq = compute_first_seq(self.log.height)
        self.accounts[account] = Account(seq=seq, head=head, fined_seq=seq)
        self.tell(AccountOpened(account, seq))
        return self.edit_account(account)

    def remove_account(self, account: NodeId) -> None:
        """Forget an account; its money must be elsewhere already."""
        assert not self.accounts[account].avail
        self.changed[account_key(account)] = None
        del self.accounts[account]

    def edit_hold(self, hold_id: bytes) -> OpenHold:
        """A hold that is there, to be changed."""
        self.changed[hold_key(hold_id)] = None
        return self.holds[hold_id]

    def add_hold(self, hold_id: bytes, hold: OpenHold) -> None:
        """A new hold."""
        assert hold_id not in self.holds
        self.holds[hold_id] = hold
        self.changed[hold_key(hold_id)] = None
        self.push_due(compute_due_ms(hold), Due.HOLD, hold_id)

    def remove_hold(self, hold_id: bytes) -> None:
        """Forget a hold; its money must be elsewhere already."""
        self.changed[hold_key(hold_id)] = None
        del self.holds[hold_id]

    def set_allowance(self, account: NodeId, amount: int) -> None:
        """What the treasury pays a key each period; 0 for nothing."""
        self.changed[allowance_key(account)] = None
        if amount:
            self.allowances[account] = amount
        else:
            self.allowances.pop(account, None)

    def push_due(self, due_ms: int, due: Due, subject: bytes) -> None:
        """Look at a thing again at an instant of the ledger clock."""
        heapq.heappush(self.dues, (due_ms, due, subject))

    def pop_due(self) -> tuple[int, Due, bytes] | None:
        """The next thing whose instant has come, in one order for everybody; None if none has."""
        if not self.dues or self.dues[0][0] > self.log.time_ms:
            return None
        return heapq.heappop(self.dues)

    def peek_due_ms(self) -> int | None:
        """When the next thing may fall due; None if nothing will."""
        # Claimed holds are most of what is settled before its time: theirs would be empty blocks.
        while self.dues and self.dues[0][1] is Due.HOLD and self.dues[0][2] not in self.holds:
            heapq.heappop(self.dues)
        return self.dues[0][0] if self.dues else None

    def rebuild_dues(self) -> None:
        """Find all instants again from what is there, after a restart."""
        self.dues = [(compute_due_ms(hold), Due.HOLD, key) for key, hold in self.holds.items()]
        for key, account in self.accounts.items():
            self.dues += [(due_ms, Due.ACCOUNT, key) for due_ms in list_dues(account)]
        heapq.heapify(self.dues)

    # -- writing ---------------------------------------------------------------------------------

    def write_entry(self, key: bytes) -> bytes | None:
        """The canonical bytes of an entry, or None if there is no such thing now."""
        subject = key[1:]
        value: object
        match key[:1]:
            case b"a":
                value = self.accounts.get(NodeId(subject))
            case b"h":
                value = self.holds.get(subject)
            case b"p":
                value = self.allowances.get(NodeId(subject))
            case b"l":
                value = self.log
            case b"c":
                value = self.constitution
            case _:
                raise AssertionError(key)
        return None if value is None else encode(value)

    def list_entry_keys(self) -> list[bytes]:
        """The keys of everything there is."""
        return [
            CONSTITUTION_KEY,
            LOG_KEY,
            *map(account_key, self.accounts),
            *map(hold_key, self.holds),
            *map(allowance_key, self.allowances),
        ]
