"""What an account can still sign for: all it has by the ledger, less all that is signed and waits.

The ledger decides when a feed block is in the log; the wallet assumes the dearest case, so that it
signs nothing that the ledger will refuse.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from wwwserve.core.ledger_view import AccountView
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.wire.ledger import Bond, Hold, Op, Sponsor, Transfer


@dataclass(frozen=True, slots=True)
class Expense:
    """What one feed block may cost at the most, its fee aside."""

    ops: int
    spends: int
    held: int
    """What of it a hold would lock."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left for the next feed block."""

    free: int
    """Credits that nothing signed will take."""
    fees_max: int
    """What can be paid in fees: a newcomer may owe some."""
    op_fee: int
    """Of each op of the next feed block."""
    is_rated: bool
    """Whether the account has said all it may in this epoch."""
    is_in_debt: bool
    balance_min: int

    @property
    def spendable(self) -> int:
        """What one more op may set aside, with its own fee paid and the minimum kept."""
        if self.is_rated or self.is_in_debt:
            return 0
        return max(self.free - self.op_fee - self.balance_min, 0)

    def count_ops(self, wanted: int) -> int:
        """How many of so many ops can be paid for that set nothing aside."""
        if self.is_rated:
            return 0
        return min(wanted, self.fees_max // self.op_fee) if self.op_fee else wanted


def compute_budget(
    account: AccountView, parameters: LedgerParameters, waiting: Iterable[Expense]
) -> Budget:
    """What an account has left behind feed blocks that wait for the log, in their order."""
    allowance = max(parameters.rate_ops, account.seats * parameters.rate_ops_per_seat)
    used, costs = account.ops_used, 0
    for expense in waiting:
        factor = 1 + used // allowance
        costs += factor * parameters.op_fee * expense.ops + expense.spends
        used += expense.ops
    factor = 1 + used // allowance
    return Budget(
        free=account.avail - costs,
        fees_max=max(account.fees_max - costs, 0),
        op_fee=factor * parameters.op_fee,
        is_rated=factor > parameters.rate_fee_factor_max,
        is_in_debt=account.debt > 0,
        balance_min=parameters.balance_min,
    )


def compute_spending(op: Op, parameters: LedgerParameters) -> int:
    """The most an op can take of free credits, beside its fee."""
    match op:
        case Hold():
            return op.first + (op.units_max - 1) * op.unit
        case Transfer():
            return op.amount
        case Bond():
            return op.seats * parameters.seat_price
        case Sponsor():
            return parameters.balance_min
        case _:
            return 0


def compute_expense(ops: tuple[Op, ...], parameters: LedgerParameters) -> Expense:
    """What a feed block with these ops may cost at the most."""
    spends = [compute_spending(op, parameters) for op in ops]
    held = sum(spent for op, spent in zip(ops, spends, strict=True) if isinstance(op, Hold))
    return Expense(len(ops), sum(spends), held)
