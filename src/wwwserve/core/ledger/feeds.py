"""One feed block: is it the account's next word, what does it cost, and what do its ops do.

A feed block that is not the account's next, not in its time, or not paid for is void: it changes
nothing. Otherwise its number and fee are used up, and then each op is carried out or, changing
nothing, refused.
"""

from typing import assert_never

from msgspec.structs import replace

from wwwserve.core.ledger.circulation import allow
from wwwserve.core.ledger.doors import enter, join
from wwwserve.core.ledger.entries import Account
from wwwserve.core.ledger.evidence import apply_evidence
from wwwserve.core.ledger.holds import claim_hold, close_hold, open_hold
from wwwserve.core.ledger.money import collect_fee, get_seats, sweep
from wwwserve.core.ledger.sponsoring import sponsor, unsponsor
from wwwserve.core.ledger.standing import bond, leave, register, transfer, unbond
from wwwserve.core.ledger.state import State
from wwwserve.core.ledger_facts import FeedApplied, FeedVoid, OpRefused
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import (
    Allow,
    Bond,
    Claim,
    Close,
    Evidence,
    Hold,
    Join,
    Leave,
    Op,
    OpenedFeed,
    PaymentOp,
    Proof,
    Register,
    Sponsor,
    Transfer,
    Unbond,
    Unsponsor,
    get_stage,
)


def apply_feed(state: State, opened: OpenedFeed) -> None:
    """Carry out a feed block as far as the rules allow, and tell what became of it."""
    try:
        fee = _take_in(state, opened)
    except Refusal as refusal:
        rule, detail = refusal.rule, refusal.detail
        state.tell(FeedVoid(opened.feed_id, opened.account, rule, detail))
        return
    state.tell(FeedApplied(opened.feed_id, opened.account, opened.header.seq, fee))
    if opened.header.seq > 0:
        for position, (op, proof) in enumerate(zip(opened.ops, opened.proofs, strict=True)):
            try:
                _apply_op(state, opened, op, proof)
            except Refusal as refusal:
                rule, detail = refusal.rule, refusal.detail
                state.tell(OpRefused(opened.feed_id, position, rule, detail))
    sweep(state)


def validate_feed(state: State, opened: OpenedFeed) -> int:
    """Say what a feed block would cost an account; raises `Refusal` if it would be void now."""
    _validate_time(state, opened)
    account = state.accounts.get(opened.account)
    if account is None:
        raise Refusal("account-unknown", "there is no such account")
    header = opened.header
    if header.seq != account.seq + 1:
        raise Refusal("feed-seq", f"number {header.seq} where {account.seq + 1} is next")
    if header.previous != account.head:
        raise Refusal("feed-previous", "it does not follow the account's last feed block")
    fee = _compute_fee(state, opened.account, account, len(opened.ops))
    if fee > _compute_payable(state, account):
        raise Refusal("feed-fee", f"the fee is {fee}, and cannot be paid")
    return fee


def _take_in(state: State, opened: OpenedFeed) -> int:
    """Use up a feed block's number and fee; gives the fee."""
    if opened.account not in state.accounts:
        _validate_time(state, opened)
        fee = state.parameters.op_fee * len(opened.ops)
        _count_ops(state, enter(state, opened, fee), len(opened.ops))
        return fee
    fee = validate_feed(state, opened)
    account = state.edit_account(opened.account)
    account.seq, account.head = opened.header.seq, opened.feed_id
    _count_ops(state, account, len(opened.ops))
    _charge(state, account, fee)
    return fee


def _validate_time(state: State, opened: OpenedFeed) -> None:
    if state.log.halt:
        raise Refusal("halted", "the sequencer signed two histories")
    now_ms, until_ms = state.log.time_ms, opened.header.valid_until_ms
    if until_ms < now_ms:
        raise Refusal("feed-expired", f"valid until {until_ms}, and it is {now_ms}")
    if until_ms > now_ms + 2 * state.parameters.epoch_ms:
        raise Refusal("feed-early", f"valid until {until_ms}, more than two epochs from {now_ms}")


# -- fees ----------------------------------------------------------------------------------------


def _compute_fee(state: State, key: NodeId, account: Account, ops: int) -> int:
    """The fee of so many ops: dearer for who has used up what its seats allow in this epoch."""
    parameters = state.parameters
    allowance = max(parameters.rate_ops, get_seats(state, key) * parameters.rate_ops_per_seat)
    factor = 1 + _get_ops_used(state, account) // allowance
    if factor > parameters.rate_fee_factor_max:
        raise Refusal("feed-rate", f"over {parameters.rate_fee_factor_max} x {allowance} ops")
    return factor * parameters.op_fee * ops


def _get_ops_used(state: State, account: Account) -> int:
    return account.ops_used if account.ops_epoch == state.log.epoch else 0


def _count_ops(state: State, account: Account, ops: int) -> None:
    account.ops_used = _get_ops_used(state, account) + ops
    account.ops_epoch = state.log.epoch


def _compute_payable(state: State, account: Account) -> int:
    """What an account can pay in fees: all it has, and for a newcomer what it may still owe."""
    if account.newcomer is None:
        return account.avail
    return account.avail + max(state.parameters.newcomer_debt_max - account.newcomer.debt, 0)


def _charge(state: State, account: Account, fee: int) -> None:
    paid = min(fee, account.avail)
    account.avail -= paid
    if account.newcomer:
        account.newcomer = replace(account.newcomer, debt=account.newcomer.debt + fee - paid)
    collect_fee(state, paid)


# -- ops -----------------------------------------------------------------------------------------


def _apply_op(state: State, opened: OpenedFeed, op: Op, proof: Proof) -> None:
    if state.log.halt:
        raise Refusal("halted", "the sequencer signed two histories")
    stage = get_stage(op)
    if stage > state.parameters.stage:
        detail = f"{type(op).__name__} comes with stage {stage}, this is {state.parameters.stage}"
        raise Refusal("stage", detail)
    match op:
        case Hold() | Claim() | Close() | Transfer():
            _apply_payment(state, opened, op, proof)
        case Bond() | Unbond() | Leave() | Sponsor() | Unsponsor():
            _apply_stake(state, opened.account, op)
        case Register() | Join() | Allow() | Evidence():
            _apply_standing(state, opened.account, op, proof)
        case _:
            # Of a later stage, and refused above.
            raise AssertionError(op)


def _apply_payment(state: State, opened: OpenedFeed, op: PaymentOp, proof: Proof) -> None:
    match op:
        case Hold():
            open_hold(state, opened.account, opened.header.seq, op)
        case Claim():
            claim_hold(state, opened.account, op, proof)
        case Close():
            close_hold(state, opened.account, op, proof)
        case Transfer():
            transfer(state, opened.account, op)
        case _:
            assert_never(op)


def _apply_stake(
    state: State, account: NodeId, op: Bond | Unbond | Leave | Sponsor | Unsponsor
) -> None:
    match op:
        case Bond():
            bond(state, account, op)
        case Unbond():
            unbond(state, account, op)
        case Leave():
            leave(state, account)
        case Sponsor():
            sponsor(state, account, op)
        case Unsponsor():
            unsponsor(state, account, op)
        case _:
            assert_never(op)


def _apply_standing(
    state: State, account: NodeId, op: Register | Join | Allow | Evidence, proof: Proof
) -> None:
    match op:
        case Register():
            register(state, account, op, proof)
        case Join():
            join(state, account, op, proof)
        case Allow():
            allow(state, account, op)
        case Evidence():
            apply_evidence(state, proof)
        case _:
            assert_never(op)
