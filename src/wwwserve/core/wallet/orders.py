"""An operator's order: what the wallet does not sign, because the ledger would refuse it."""

from wwwserve.core.ledger_view import AccountView
from wwwserve.core.wallet.budget import Budget, compute_expense
from wwwserve.values.credits import credits_text
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.values.refusals import Refusal
from wwwserve.wire import encode
from wwwserve.wire.ledger import (
    OPS_BYTES_MAX,
    OPS_MAX,
    Claim,
    Close,
    Door,
    Hold,
    Join,
    Op,
    Sponsor,
    Unbond,
    get_stage,
)


def validate_words(ops: tuple[Op, ...], parameters: LedgerParameters) -> None:
    """Refuse ops that fit no feed block, or are not an operator's to say."""
    if not 1 <= len(ops) <= OPS_MAX:
        raise Refusal("order-ops", f"{len(ops)} ops; from 1 to {OPS_MAX} fit one feed block")
    size = len(encode(ops))
    if size > OPS_BYTES_MAX:
        raise Refusal("order-size", f"{size} bytes of ops, over {OPS_BYTES_MAX}")
    for op in ops:
        if isinstance(op, Hold | Claim | Close):
            raise Refusal("order-payment", "holds, claims and closes come with requests alone")
        if get_stage(op) > parameters.stage:
            detail = f"{type(op).__name__} comes with stage {get_stage(op)}"
            raise Refusal("stage", f"{detail}, this is {parameters.stage}")


def validate_entry(ops: tuple[Op, ...]) -> None:
    """Refuse what a key without an account cannot say."""
    op = ops[0]
    if len(ops) > 1 or not isinstance(op, Join) or op.door is Door.SPONSOR:
        detail = "without an account a node can only Join, by a door that needs no sponsor"
        raise Refusal("account-unknown", detail)


def validate_cover(
    ops: tuple[Op, ...], account: AccountView, budget: Budget, parameters: LedgerParameters
) -> None:
    """Refuse what an account cannot pay for with all that waits paid first."""
    if budget.count_ops(len(ops)) < len(ops):
        raise Refusal("fee", f"{len(ops)} ops cost {credits_text(len(ops) * budget.op_fee)}")
    wanted = compute_expense(ops, parameters).spends
    spendable = max(budget.free - len(ops) * budget.op_fee - budget.balance_min, 0)
    if wanted and budget.is_in_debt:
        raise Refusal("newcomer-debt", f"{credits_text(account.debt)} of fees are owed first")
    if wanted > spendable:
        detail = f"{credits_text(wanted)} needed, {credits_text(spendable)} can be spent"
        raise Refusal("balance", detail)
    staked = sum(op.seats for op in ops if isinstance(op, Unbond | Sponsor))
    if staked * parameters.seat_price > account.bond:
        detail = f"{credits_text(staked * parameters.seat_price)} needed"
        raise Refusal("bond", f"{detail}, {credits_text(account.bond)} is staked")
