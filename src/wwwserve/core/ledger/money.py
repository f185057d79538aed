"""Where money goes: fees, earnings, fines, stake, and what is left of an account.

Every function here moves credits from one place to another; none makes or loses any.
"""

from msgspec.structs import replace

from wwwserve.core.ledger.entries import Account, Sponsorship
from wwwserve.core.ledger.rules import UNBONDINGS_MAX, compute_stake, is_bare
from wwwserve.core.ledger.state import Due, State
from wwwserve.core.ledger_facts import AccountRemoved, NewcomerEnded, StakeChanged
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal


def credit(state: State, account: NodeId, amount: int) -> None:
    """Add free credits to an account."""
    state.edit_account(account).avail += amount


def debit(state: State, account: NodeId, amount: int) -> None:
    """Take free credits from an account that has them."""
    edited = state.edit_account(account)
    assert edited.avail >= amount
    edited.avail -= amount


def collect_fee(state: State, amount: int) -> None:
    """Give half of a fee to the sequencer, who does the work, and the rest to the pool."""
    sequencer = NodeId(state.constitution.sequencer)
    share = amount // 2 if sequencer in state.accounts else 0
    if share:
        credit(state, sequencer, share)
    state.edit_log().pool += amount - share


def pay_earner(state: State, account: NodeId, amount: int) -> None:
    """Pay somebody for work: a newcomer's fees and first seat come first."""
    edited = state.edit_account(account)
    newcomer = edited.newcomer
    if newcomer:
        repaid = min(newcomer.debt, amount)
        edited.newcomer = replace(newcomer, debt=newcomer.debt - repaid)
        collect_fee(state, repaid)
        amount -= repaid
        vested = min(state.parameters.seat_price - edited.bond, amount)
        set_stake(state, account, bond=edited.bond + vested)
        amount -= vested
        end_newcomer_if_seated(state, account)
    edited.avail += amount


# -- newcomers -----------------------------------------------------------------------------------


def end_newcomer_if_seated(state: State, account: NodeId) -> None:
    """Free the slot of a newcomer that has its first seat."""
    edited = state.edit_account(account)
    if edited.newcomer and edited.bond >= state.parameters.seat_price:
        edited.newcomer = None
        state.edit_log().newcomers -= 1
        state.tell(NewcomerEnded(account, is_seated=True))


def end_newcomer(state: State, account: NodeId) -> None:
    """Take a newcomer's slot: what it has earned is its own, less the fees it owes."""
    edited = state.edit_account(account)
    assert edited.newcomer
    repaid = min(edited.newcomer.debt, edited.bond)
    collect_fee(state, repaid)
    edited.avail += edited.bond - repaid
    edited.newcomer = None
    set_stake(state, account, bond=0)
    state.edit_log().newcomers -= 1
    state.tell(NewcomerEnded(account, is_seated=False))


def refuse_debtor(account: Account) -> None:
    """A newcomer that owes fees cannot spend."""
    if account.newcomer and account.newcomer.debt:
        detail = f"{account.newcomer.debt} micro-credits of fees are owed; earn them first"
        raise Refusal("newcomer-debt", detail)


# -- stake ---------------------------------------------------------------------------------------


def get_seats(state: State, account: NodeId) -> int:
    """The seats an account weighs with in this epoch: those it had when the epoch began."""
    held = state.accounts.get(account)
    if held is None:
        return 0
    if held.seats_epoch == state.log.epoch:
        return held.seats_before
    return compute_stake(held) // state.parameters.seat_price


def set_stake(state: State, account: NodeId, *, bond: int) -> None:
    """Change what an account has staked for itself."""
    before = _remember_seats(state, account)
    state.edit_account(account).bond = bond
    _tell_stake(state, account, before)


def set_sponsorship(state: State, account: NodeId, sponsorship: Sponsorship | None) -> None:
    """Change what another has staked for an account; nothing staked is no sponsorship."""
    before = _remember_seats(state, account)
    given = sponsorship if sponsorship and sponsorship.amount else None
    state.edit_account(account).sponsorship = given
    _tell_stake(state, account, before)


def add_unbonding(state: State, account: NodeId, amount: int) -> None:
    """Have stake come free after the unbonding time."""
    if not amount:
        return
    edited = state.edit_account(account)
    due_ms = state.log.time_ms + state.parameters.unbonding_ms
    waiting = edited.unbonding
    if len(waiting) >= UNBONDINGS_MAX:
        amount += waiting[-1][1]
        waiting = waiting[:-1]
    edited.unbonding = (*waiting, (due_ms, amount))
    state.push_due(due_ms, Due.ACCOUNT, account)


def _remember_seats(state: State, account: NodeId) -> int:
    """Keep the seats of this epoch's beginning, before they change in it for the first time.

    Gives the seats staked now, for `_tell_stake`.
    """
    edited = state.edit_account(account)
    seats = compute_stake(edited) // state.parameters.seat_price
    if edited.seats_epoch != state.log.epoch:
        edited.seats_before, edited.seats_epoch = seats, state.log.epoch
    return seats


def _tell_stake(state: State, account: NodeId, before: int) -> None:
    seats = compute_stake(state.accounts[account]) // state.parameters.seat_price
    if seats != before:
        state.tell(StakeChanged(account, seats))


# -- fines ---------------------------------------------------------------------------------------


def take_fine(state: State, account: NodeId, amount: int) -> int:
    """Take a fine of what an account has, and gives what could be taken, for the caller to place.

    First its bond, then what is unbonding, then free credits, and last its sponsor's stake.
    """
    left = amount - _take_bond(state, account, amount)
    left -= _take_unbonding(state, account, left)
    edited = state.edit_account(account)
    taken = min(edited.avail, left)
    edited.avail -= taken
    left -= taken
    left -= _take_lent(state, account, left)
    return amount - left


def _take_bond(state: State, account: NodeId, amount: int) -> int:
    bond = state.accounts[account].bond
    taken = min(bond, amount)
    if taken:
        set_stake(state, account, bond=bond - taken)
    return taken


def _take_unbonding(state: State, account: NodeId, amount: int) -> int:
    edited = state.edit_account(account)
    left = amount
    kept: list[tuple[int, int]] = []
    # The newest first: what is about to come free has been at stake the longest.
    for due_ms, waiting in reversed(edited.unbonding):
        taken = min(waiting, left)
        left -= taken
        if waiting > taken:
            kept.append((due_ms, waiting - taken))
    edited.unbonding = tuple(reversed(kept))
    return amount - left


def _take_lent(state: State, account: NodeId, amount: int) -> int:
    sponsorship = state.accounts[account].sponsorship
    if not sponsorship or not amount:
        return 0
    taken = min(sponsorship.amount, amount)
    set_sponsorship(state, account, Sponsorship(sponsorship.sponsor, sponsorship.amount - taken))
    state.edit_account(NodeId(sponsorship.sponsor)).lent -= taken
    return taken


# -- the end of an account -----------------------------------------------------------------------


def sweep(state: State) -> None:
    """Remove every touched account that has nothing left to keep it; dust goes to the pool."""
    for account in list(state.touched):
        held = state.accounts.get(account)
        if held is not None and _is_removable(state, account, held):
            dust = held.avail
            state.edit_log().pool += dust
            held.avail = 0
            state.remove_account(account)
            state.tell(AccountRemoved(account, dust))
    state.touched.clear()


def _is_removable(state: State, account: NodeId, held: Account) -> bool:
    return (
        held.avail < state.parameters.balance_min
        and is_bare(held)
        and state.log.time_ms > held.keep_until_ms
        and account != state.constitution.sequencer
    )
