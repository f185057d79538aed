"""How the credits of a private network keep moving: what lies above the mean, back to its members.

Once a period a part of every balance above the mean goes to the treasury, which pays allowances
first and shares out the rest of what was levied among sponsored members. A member costs a sponsor,
so shares feed no made-up identities. All of it happens between two feed blocks, in slices of work.
"""

from collections.abc import Generator, Iterator
from typing import Final

from wwwserve.core.ledger.entries import Account
from wwwserve.core.ledger.money import credit, debit, sweep
from wwwserve.core.ledger.rules import ALLOWANCES_MAX
from wwwserve.core.ledger.state import State
from wwwserve.core.ledger_facts import Circulated
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import AccountFlag, Allow, Circulation, Door

ACCOUNTS_PER_SLICE: Final = 256
"""Balances looked at between two pauses."""
_PERMILLE: Final = 1_000


def allow(state: State, account: NodeId, op: Allow) -> None:
    """Set what the treasury pays a key each period."""
    if not state.accounts[account].flags & AccountFlag.TREASURY:
        raise Refusal("allow-treasury", "only the treasury pays allowances")
    key = NodeId(op.key)
    if key == account:
        raise Refusal("allow-self", "the treasury needs no allowance")
    is_new = op.amount and key not in state.allowances
    if is_new and len(state.allowances) >= ALLOWANCES_MAX:
        raise Refusal("allow-count", f"{ALLOWANCES_MAX} keys have allowances already")
    state.set_allowance(key, op.amount)


def circulate(state: State) -> Iterator[None]:
    """Move credits on if a period has begun, pausing after each slice of work."""
    periods = state.log.time_ms // state.parameters.circulation_period_ms
    if periods == state.log.circulations:
        return
    state.edit_log().circulations = periods
    if state.constitution.circulation is Circulation.OPEN:
        return
    levied = yield from _levy(state)
    paid = yield from _pay_allowances(state)
    yield from _share_out(state, levied, paid)
    yield from _sweep_all(state)


def _levy(state: State) -> Generator[None, None, int]:
    """Take the treasury's part of every balance above the mean; gives what was taken."""
    treasury = NodeId(state.constitution.treasury)
    accounts = list(state.accounts)
    total = -state.accounts[treasury].avail
    for part in _slice(accounts):
        total += sum(state.accounts[account].avail for account in part)
        yield
    mean = total // max(len(accounts) - 1, 1)
    levied = 0
    for part in _slice(accounts):
        for account in part:
            above = max(state.accounts[account].avail - mean, 0)
            levy = above * state.parameters.circulation_permille // _PERMILLE
            if levy and account != treasury:
                debit(state, account, levy)
                levied += levy
        yield
    credit(state, treasury, levied)
    return levied


def _pay_allowances(state: State) -> Generator[None, None, int]:
    """Pay each allowance, or all of them the same part if the treasury has too little."""
    treasury = NodeId(state.constitution.treasury)
    budget = state.accounts[treasury].avail
    total = sum(state.allowances.values())
    paid = 0
    for part in _slice(list(state.allowances)):
        for account in part:
            amount = state.allowances[account]
            if account in state.accounts:
                given = amount if total <= budget else amount * budget // total
                debit(state, treasury, given)
                credit(state, account, given)
                paid += given
        yield
    return paid


def _share_out(state: State, levied: int, paid: int) -> Iterator[None]:
    """Give what allowances left of the levy to sponsored members, in equal shares."""
    members: list[NodeId] = []
    for part in _slice(list(state.accounts)):
        members += (account for account in part if _is_sponsored(state.accounts[account]))
        yield
    rest = max(levied - paid, 0) if members else 0
    share = rest // len(members) if members else 0
    debit(state, NodeId(state.constitution.treasury), rest)
    for part in _slice(members):
        for account in part:
            credit(state, account, share)
        yield
    # What does not divide goes where all remainders go.
    state.edit_log().pool += rest - share * len(members)
    state.tell(Circulated(levied, paid, share, len(members)))


def _sweep_all(state: State) -> Iterator[None]:
    """Remove those whom the levy left less than the minimum."""
    touched = list(state.touched)
    state.touched.clear()
    for part in _slice(touched):
        state.touched.update(dict.fromkeys(part))
        sweep(state)
        yield


def _is_sponsored(account: Account) -> bool:
    return account.door == Door.SPONSOR and account.sponsorship is not None


def _slice(accounts: list[NodeId]) -> Iterator[list[NodeId]]:
    for start in range(0, len(accounts), ACCOUNTS_PER_SLICE):
        yield accounts[start : start + ACCOUNTS_PER_SLICE]
