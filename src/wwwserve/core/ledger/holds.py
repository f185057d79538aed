"""Payment by the unit: credits set aside for one payee, claimed by preimages of a hash chain.

- A hold locks the most it can pay. Nobody else's word can move what it locks.
- The payee alone claims, with a preimage that leads to the anchor; that is final at once.
- The payer alone closes, once; the payee has a window to claim deeper, never shallower.
- At its time to live a hold pays its close, or returns whole.
"""

from msgspec.structs import replace

from wwwserve.core.ledger.entries import NO_CLOSE, OpenHold
from wwwserve.core.ledger.money import (
    credit,
    debit,
    end_newcomer,
    get_seats,
    pay_earner,
    refuse_debtor,
)
from wwwserve.core.ledger.rules import (
    HOLDS_OPEN_MAX,
    UNIT_TOKENS_MIN,
    compute_due_ms,
    compute_hold_max,
    compute_pay,
    compute_spendable,
    is_power_of_two,
)
from wwwserve.core.ledger.state import Due, State
from wwwserve.core.ledger_facts import Ending, HoldClosing, HoldOpened, HoldSettled
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Anchor,
    Claim,
    Close,
    Hold,
    HoldFlag,
    Proof,
    compute_hold_id,
)


def open_hold(state: State, payer: NodeId, seq: int, op: Hold) -> None:
    """Set aside the most a request can cost."""
    _validate_terms(state, op)
    _validate_flags(state, op)
    _validate_parties(state, payer, op)
    hold_id = compute_hold_id(payer, seq, op.n)
    if hold_id in state.holds:
        raise Refusal("hold-exists", f"number {op.n} is used twice in one feed block")
    locked = compute_hold_max(op)
    ttl_ms = state.log.time_ms + op.deadline_ms + 2 * state.parameters.claim_window_ms
    hold = OpenHold(
        payer=payer,
        payee=op.payee,
        first=op.first,
        unit=op.unit,
        units_max=op.units_max,
        unit_tokens=op.unit_tokens,
        anchor=op.anchor,
        req_commit=op.req_commit,
        quote_hash=op.quote_hash,
        deadline_ms=state.log.time_ms + op.deadline_ms,
        ttl_ms=ttl_ms,
        seed_epoch=op.seed_epoch,
        flags=op.flags,
        height=state.log.height,
        locked=locked,
        is_payer_seated=get_seats(state, payer) > 0,
    )
    debit(state, payer, locked)
    state.edit_account(payer).holds_out += 1
    state.edit_account(NodeId(op.payee)).holds_in += 1
    state.add_hold(hold_id, hold)
    state.tell(HoldOpened(hold_id, payer, NodeId(op.payee), locked, ttl_ms))


def claim_hold(state: State, payee: NodeId, op: Claim, proof: Proof) -> None:
    """Pay the payee what its preimage is worth, and the payer the rest."""
    hold = _find(state, op.hold_id)
    if hold.payee != payee:
        raise Refusal("claim-payee", "only the payee of a hold can claim it")
    _validate_depth(hold, op.depth, proof)
    if op.depth < hold.close_depth:
        detail = f"depth {op.depth}, and the payer has closed at {hold.close_depth}"
        raise Refusal("claim-depth", detail)
    _settle(state, op.hold_id, op.depth, Ending.CLAIMED)


def close_hold(state: State, payer: NodeId, op: Close, proof: Proof) -> None:
    """Have a hold settled at a depth when the payee's time to go deeper is over."""
    hold = _find(state, op.hold_id)
    if hold.payer != payer:
        raise Refusal("close-payer", "only the payer of a hold can close it")
    if hold.close_depth != NO_CLOSE:
        raise Refusal("close-twice", f"it is closed already, at {hold.close_depth}")
    _validate_depth(hold, op.depth, proof)
    due_ms = min(state.log.time_ms + state.parameters.claim_window_ms, hold.ttl_ms)
    edited = state.edit_hold(op.hold_id)
    edited.close_depth, edited.close_due_ms = op.depth, due_ms
    state.push_due(due_ms, Due.HOLD, op.hold_id)
    state.tell(HoldClosing(op.hold_id, op.depth, due_ms))


def settle_due_hold(state: State, hold_id: bytes) -> None:
    """Settle a hold nobody has claimed, if its time has really come."""
    hold = state.holds.get(hold_id)
    if hold is None or compute_due_ms(hold) > state.log.time_ms:
        return
    if hold.close_depth == NO_CLOSE:
        _settle(state, hold_id, 0, Ending.EXPIRED)
    else:
        _settle(state, hold_id, hold.close_depth, Ending.CLOSED)


def _settle(state: State, hold_id: bytes, depth: int, ending: Ending) -> None:
    hold = state.holds[hold_id]
    payer, payee = NodeId(hold.payer), NodeId(hold.payee)
    paid = compute_pay(hold, depth)
    returned = hold.locked - paid
    state.remove_hold(hold_id)
    state.edit_account(payer).holds_out -= 1
    state.edit_account(payee).holds_in -= 1
    credit(state, payer, returned)
    pay_earner(state, payee, paid)
    state.tell(HoldSettled(hold_id, payer, payee, paid, returned, ending))
    if paid == 0 and ending is not Ending.CLAIMED and hold.is_payer_seated:
        _note_failure(state, payee, payer)


def _note_failure(state: State, payee: NodeId, payer: NodeId) -> None:
    """Count a hold that came to nothing against a newcomer, once for each seated payer."""
    account = state.edit_account(payee)
    newcomer = account.newcomer
    if newcomer is None or payer in newcomer.failed_by:
        return
    failed_by = (*newcomer.failed_by, payer)
    account.newcomer = replace(newcomer, failed_by=failed_by)
    if len(failed_by) >= state.parameters.newcomer_failures_max:
        end_newcomer(state, payee)


# -- what is refused -----------------------------------------------------------------------------


def _find(state: State, hold_id: bytes) -> OpenHold:
    hold = state.holds.get(hold_id)
    if hold is None:
        raise Refusal("hold-unknown", "there is no such hold, or it is settled already")
    return hold


def _validate_depth(hold: OpenHold, depth: int, proof: Proof) -> None:
    if depth > hold.units_max:
        raise Refusal("claim-depth", f"depth {depth} of a hold of {hold.units_max} units")
    if not isinstance(proof, Anchor) or proof.value != hold.anchor:
        raise Refusal("claim-preimage", f"it does not lead to the anchor in {depth} hashes")


def _validate_terms(state: State, op: Hold) -> None:
    parameters = state.parameters
    if op.units_max > parameters.units_max or not is_power_of_two(op.units_max):
        detail = f"{op.units_max} units; a power of two up to {parameters.units_max}"
        raise Refusal("hold-units", detail)
    if op.unit_tokens < UNIT_TOKENS_MIN or not is_power_of_two(op.unit_tokens):
        raise Refusal("hold-units", f"{op.unit_tokens} tokens a unit; a power of two from 4 to 256")
    if not 0 < op.deadline_ms <= parameters.deadline_ms_max:
        detail = f"{op.deadline_ms} ms; from 1 to {parameters.deadline_ms_max}"
        raise Refusal("hold-deadline", detail)
    if not state.log.epoch - 1 <= op.seed_epoch <= state.log.epoch:
        detail = f"epoch {op.seed_epoch} where {state.log.epoch} or the one before belongs"
        raise Refusal("hold-seed", detail)
    if compute_hold_max(op) == 0:
        raise Refusal("hold-amount", "it could never pay anything")


def _validate_flags(state: State, op: Hold) -> None:
    is_open = op.req_commit == NO_DIGEST
    if not op.flags & HoldFlag.TAB:
        if is_open:
            raise Refusal("hold-commit", "it commits to no request, and is no tab")
        return
    if op.flags != HoldFlag.TAB or not is_open or op.first != op.unit:
        raise Refusal("hold-tab", "a tab has equal units, no commitment and no other flag")
    if op.deadline_ms > state.parameters.tab_ms_max:
        detail = f"{op.deadline_ms} ms; a tab has at most {state.parameters.tab_ms_max}"
        raise Refusal("hold-tab", detail)


def _validate_parties(state: State, payer: NodeId, op: Hold) -> None:
    account = state.accounts[payer]
    if op.payee == payer or NodeId(op.payee) not in state.accounts:
        raise Refusal("hold-payee", "the payee must be another account of this ledger")
    if account.holds_out >= HOLDS_OPEN_MAX:
        raise Refusal("hold-count", f"{HOLDS_OPEN_MAX} holds are open already")
    refuse_debtor(account)
    spendable = compute_spendable(account, state.parameters)
    if compute_hold_max(op) > spendable:
        raise Refusal("balance", f"{compute_hold_max(op)} needed, {spendable} can be spent")
