"""Questions and sums of the ledger that change nothing."""

from typing import Final

from wwwserve.core.ledger.entries import NO_CLOSE, NOT_KEPT, Account, OpenHold
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.wire.ledger import Hold

UNIT_TOKENS_MIN: Final = 4
"""The finest unit: below it, payments would outweigh the tokens they pay."""
HOLDS_OPEN_MAX: Final = 4_096
"""Open holds of one payer; one more is refused until some are settled."""
UNBONDINGS_MAX: Final = 16
"""Amounts one account may have unbonding; of more, the newest two become one and wait together."""
ALLOWANCES_MAX: Final = 4_096
"""Keys a treasury may support; one more is refused until another's allowance ends."""
SEQ_LIVES: Final = 2**20
"""An account opened at a height begins at this many numbers times the height: more than a former
life under the same key can have used, so nothing of it can be said again."""


def compute_hold_max(hold: Hold) -> int:
    """The most a hold can pay."""
    return hold.first + (hold.units_max - 1) * hold.unit


def compute_pay(hold: OpenHold, depth: int) -> int:
    """What a preimage of a depth is worth."""
    return hold.first + (depth - 1) * hold.unit if depth > 0 else 0


def compute_due_ms(hold: OpenHold) -> int:
    """When a hold is settled if nobody claims it."""
    return hold.ttl_ms if hold.close_depth == NO_CLOSE else hold.close_due_ms


def compute_spendable(account: Account, parameters: LedgerParameters) -> int:
    """What an account may set aside, stake or give away and still keep its minimum."""
    return max(account.avail - parameters.balance_min, 0)


def compute_stake(account: Account) -> int:
    """What is staked for an account, by itself and by its sponsor."""
    lent = account.sponsorship.amount if account.sponsorship else 0
    return account.bond + lent


def compute_first_seq(height: int) -> int:
    """The number that an account opened at a height counts as its last."""
    return height * SEQ_LIVES


def is_bare(account: Account) -> bool:
    """Whether nothing but free credits keeps an account, so that it may empty itself."""
    return not (
        account.bond
        or account.lent
        or account.audit
        or account.unbonding
        or account.holds_out
        or account.holds_in
        or account.flags
        or account.sponsorship
        or account.newcomer
    )


def is_power_of_two(number: int) -> bool:
    """Whether a positive number is one."""
    return number & (number - 1) == 0


def list_dues(account: Account) -> list[int]:
    """The instants at which something falls due for an account."""
    dues = [due_ms for due_ms, _ in account.unbonding]
    if account.newcomer:
        dues.append(account.newcomer.until_ms)
    if account.keep_until_ms != NOT_KEPT:
        dues.append(account.keep_until_ms + 1)
    return dues
