"""How a new key comes in: by a sponsor, by earning, or by a faucet; never free without a bound.

A key without an account says a single Join, numbered 0, as its first word. What it pays for that
comes out of what it is given, or, while it earns its way in, becomes a debt.
"""

from msgspec.structs import replace

from wwwserve.core.ledger.entries import Account, Newcomer
from wwwserve.core.ledger.money import collect_fee, credit, debit
from wwwserve.core.ledger.rules import compute_stake
from wwwserve.core.ledger.state import Due, State
from wwwserve.core.ledger_facts import Joined
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import NO_DIGEST, Door, Join, OpenedFeed, Proof, PuzzleBits


def join(state: State, account: NodeId, op: Join, proof: Proof) -> None:
    """Let a key that has an account in by a door."""
    held = state.accounts[account]
    if held.door:
        raise Refusal("join-twice", f"it came in by door {held.door} already")
    if op.door is Door.SPONSOR and not held.sponsorship:
        raise Refusal("join-sponsor", "nobody sponsors it")
    if op.door is Door.EARN and compute_stake(held):
        raise Refusal("join-seated", "it has stake already")
    _validate_door(state, op, proof)
    _let_in(state, account, op.door)


def enter(state: State, opened: OpenedFeed, fee: int) -> Account:
    """Open an account for a key whose first word is a Join; raises `Refusal` if it may not."""
    op, proof = opened.ops[0], opened.proofs[0]
    header = opened.header
    if len(opened.ops) != 1 or not isinstance(op, Join) or op.door is Door.SPONSOR:
        raise Refusal("account-unknown", "a key without an account can only Join, by a free door")
    if header.seq != 0 or header.previous != NO_DIGEST:
        raise Refusal("feed-seq", "the first word of a key has number 0 and nothing before it")
    _validate_door(state, op, proof)
    if op.door is Door.EARN and fee > state.parameters.newcomer_debt_max:
        raise Refusal("feed-fee", f"the fee is {fee}, over what a newcomer may owe")
    account = state.open_account(opened.account, head=opened.feed_id)
    account.keep_until_ms = header.valid_until_ms
    state.push_due(header.valid_until_ms + 1, Due.ACCOUNT, opened.account)
    _let_in(state, opened.account, op.door)
    _charge_entry(state, opened.account, fee)
    return account


def _let_in(state: State, account: NodeId, door: Door) -> None:
    edited = state.edit_account(account)
    edited.door = door
    granted = 0
    if door is Door.EARN:
        until_ms = state.log.time_ms + state.parameters.newcomer_slot_ms
        edited.newcomer = Newcomer(until_ms)
        state.edit_log().newcomers += 1
        state.push_due(until_ms, Due.ACCOUNT, account)
    elif door is not Door.SPONSOR:
        granted = _grant(state, account)
    state.tell(Joined(account, door, granted))


def _grant(state: State, account: NodeId) -> int:
    granted = state.parameters.faucet_grant
    log = state.edit_log()
    given = get_faucet_granted(state)
    log.faucet_epoch, log.faucet_granted = log.epoch, given + granted
    log.pool -= granted
    credit(state, account, granted)
    return granted


def get_faucet_granted(state: State) -> int:
    """What the faucets have given in this epoch."""
    return state.log.faucet_granted if state.log.faucet_epoch == state.log.epoch else 0


def _charge_entry(state: State, account: NodeId, fee: int) -> None:
    edited = state.edit_account(account)
    paid = min(fee, edited.avail)
    debit(state, account, paid)
    collect_fee(state, paid)
    if edited.newcomer:
        edited.newcomer = replace(edited.newcomer, debt=fee - paid)


# -- what is refused -----------------------------------------------------------------------------


def _validate_door(state: State, op: Join, proof: Proof) -> None:
    if op.door not in state.constitution.doors:
        raise Refusal("door-closed", f"this network has no door {op.door.name}")
    if op.door in {Door.EARN, Door.FAUCET}:
        _validate_puzzle(state, op, proof)
    if op.door is Door.EARN and state.log.newcomers >= state.parameters.newcomer_slots:
        raise Refusal("door-full", "all newcomers' slots are taken")
    if op.door in {Door.FAUCET, Door.DEV}:
        _validate_grant(state)


def _validate_puzzle(state: State, op: Join, proof: Proof) -> None:
    if op.proof is None or not isinstance(proof, PuzzleBits):
        raise Refusal("puzzle", "this door asks for a puzzle")
    if op.proof.beacon not in {state.log.epoch_beacon, state.log.epoch_beacon_before}:
        raise Refusal("puzzle", "its beacon is not of this epoch or the one before")
    if proof.count < state.parameters.puzzle_bits:
        detail = f"{proof.count} zero bits where {state.parameters.puzzle_bits} are needed"
        raise Refusal("puzzle", detail)


def _validate_grant(state: State) -> None:
    parameters = state.parameters
    if get_faucet_granted(state) + parameters.faucet_grant > parameters.faucet_epoch_max:
        raise Refusal("door-full", "this epoch's grants are given; try in the next")
    if parameters.faucet_grant > state.log.pool:
        raise Refusal("door-full", "the pool cannot pay a grant")
