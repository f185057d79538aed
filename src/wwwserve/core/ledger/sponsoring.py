"""A member's seats, staked for another key: they weigh for it, and its fines reach them."""

from wwwserve.core.ledger.entries import Account, Sponsorship
from wwwserve.core.ledger.money import (
    add_unbonding,
    credit,
    debit,
    set_sponsorship,
    set_stake,
)
from wwwserve.core.ledger.rules import compute_spendable
from wwwserve.core.ledger.state import State
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import Door, Sponsor, Unsponsor


def sponsor(state: State, member: NodeId, op: Sponsor) -> None:
    """Lend seats to a key; one without an account gets one, with the minimum from its sponsor."""
    key = NodeId(op.key)
    amount = op.seats * state.parameters.seat_price
    _validate_sponsoring(state, member, key, amount)
    if key not in state.accounts:
        state.open_account(key)
        debit(state, member, state.parameters.balance_min)
        credit(state, key, state.parameters.balance_min)
    set_stake(state, member, bond=state.accounts[member].bond - amount)
    state.edit_account(member).lent += amount
    before = state.accounts[key].sponsorship
    set_sponsorship(state, key, Sponsorship(member, amount + (before.amount if before else 0)))


def unsponsor(state: State, member: NodeId, op: Unsponsor) -> None:
    """Take lent seats back, or what fines have left of them."""
    key = NodeId(op.key)
    account = state.accounts.get(key)
    sponsorship = account.sponsorship if account else None
    if sponsorship is None or sponsorship.sponsor != member:
        raise Refusal("sponsor-none", "it is not sponsored by this account")
    wanted = op.seats * state.parameters.seat_price
    end_sponsorship(state, key, min(wanted, sponsorship.amount))


def end_sponsorship(state: State, key: NodeId, amount: int) -> None:
    """Give so much of its sponsor's stake back, through unbonding."""
    sponsorship = state.accounts[key].sponsorship
    assert sponsorship is not None
    member = NodeId(sponsorship.sponsor)
    set_sponsorship(state, key, Sponsorship(member, sponsorship.amount - amount))
    state.edit_account(member).lent -= amount
    add_unbonding(state, member, amount)


def _validate_sponsoring(state: State, member: NodeId, key: NodeId, amount: int) -> None:
    if Door.SPONSOR not in state.constitution.doors:
        raise Refusal("door-closed", "this network has no sponsor's door")
    if key == member:
        raise Refusal("sponsor-self", "nobody sponsors itself")
    _validate_sponsored(member, state.accounts.get(key))
    held = state.accounts[member]
    if amount > held.bond:
        raise Refusal("bond", f"{amount} needed, {held.bond} is staked")
    least = state.parameters.balance_min
    if key not in state.accounts and compute_spendable(held, state.parameters) < least:
        raise Refusal("balance", f"{least} needed to open its account")


def _validate_sponsored(member: NodeId, account: Account | None) -> None:
    if account is None:
        return
    if account.newcomer:
        raise Refusal("sponsor-newcomer", "it is earning its way in")
    if account.sponsorship and account.sponsorship.sponsor != member:
        raise Refusal("sponsor-other", "it has a sponsor")
