"""What an account does with its own credits and name: give, stake, register, leave."""

from wwwserve.core.ledger.entries import Registration
from wwwserve.core.ledger.money import (
    add_unbonding,
    credit,
    debit,
    end_newcomer,
    end_newcomer_if_seated,
    refuse_debtor,
    set_stake,
)
from wwwserve.core.ledger.rules import compute_spendable, is_bare
from wwwserve.core.ledger.sponsoring import end_sponsorship
from wwwserve.core.ledger.state import State
from wwwserve.core.ledger_facts import Transferred
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import (
    AccountFlag,
    Bond,
    Proof,
    Register,
    Transfer,
    Unbond,
    Unproven,
)


def transfer(state: State, source: NodeId, op: Transfer) -> None:
    """Give credits to a key; one without an account gets one, if it is given its minimum."""
    target = NodeId(op.target)
    account = state.accounts[source]
    if target == source:
        raise Refusal("transfer-self", "source and target are one")
    refuse_debtor(account)
    spendable = compute_spendable(account, state.parameters)
    is_last_word = op.amount == account.avail and _is_free_to_go(state, source)
    if op.amount > spendable and not is_last_word:
        raise Refusal("balance", f"{op.amount} needed, {spendable} can be spent")
    if target not in state.accounts:
        if op.amount < state.parameters.balance_min:
            detail = f"{op.amount}; a new account begins with {state.parameters.balance_min}"
            raise Refusal("transfer-small", detail)
        state.open_account(target)
    debit(state, source, op.amount)
    credit(state, target, op.amount)
    state.tell(Transferred(source, target, op.amount))


def bond(state: State, account: NodeId, op: Bond) -> None:
    """Move free credits into seats."""
    held = state.accounts[account]
    refuse_debtor(held)
    amount = op.seats * state.parameters.seat_price
    spendable = compute_spendable(held, state.parameters)
    if amount > spendable:
        raise Refusal("balance", f"{amount} needed, {spendable} can be spent")
    debit(state, account, amount)
    set_stake(state, account, bond=held.bond + amount)
    end_newcomer_if_seated(state, account)


def unbond(state: State, account: NodeId, op: Unbond) -> None:
    """Begin to take seats out."""
    held = state.accounts[account]
    amount = op.seats * state.parameters.seat_price
    if amount > held.bond:
        raise Refusal("bond", f"{amount} needed, {held.bond} is staked")
    set_stake(state, account, bond=held.bond - amount)
    add_unbonding(state, account, amount)


def register(state: State, account: NodeId, op: Register, proof: Proof) -> None:
    """Keep what an account says it does; a key once given is replaced only by `Rotate`."""
    if isinstance(proof, Unproven) and proof.detail:
        raise Refusal("register-key", proof.detail)
    if op.flags & AccountFlag.TREASURY:
        raise Refusal("register-flags", "only genesis makes a treasury")
    held = state.accounts[account]
    before = held.registration
    if before and before.hot_key not in {b"", op.hot_key}:
        raise Refusal("register-key", "the hot key is set; only Rotate replaces it")
    state.edit_account(account).registration = Registration(
        vrf_key=op.vrf_key,
        hot_key=op.hot_key,
        models=op.models,
        seed_anchor=op.seed_anchor,
        seed_epoch=state.log.epoch,
        endpoint_hash=op.endpoint_hash,
    )


def leave(state: State, account: NodeId) -> None:
    """Take everything out; what it is owed still comes, what it holds open still settles."""
    held = state.accounts[account]
    if held.lent:
        raise Refusal("leave-sponsor", "it sponsors others; Unsponsor them first")
    if held.newcomer:
        end_newcomer(state, account)
    if held.sponsorship:
        end_sponsorship(state, account, held.sponsorship.amount)
    amount = held.bond
    set_stake(state, account, bond=0)
    add_unbonding(state, account, amount)
    state.edit_account(account).registration = None


def _is_free_to_go(state: State, account: NodeId) -> bool:
    held = state.accounts[account]
    return (
        is_bare(held)
        and state.log.time_ms > held.keep_until_ms
        and account != state.constitution.sequencer
    )
