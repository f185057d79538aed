"""Broken promises, proved by two signatures: a fork of a feed, or two histories of a sequencer."""

from wwwserve.core.ledger.entries import Halt
from wwwserve.core.ledger.money import credit, take_fine
from wwwserve.core.ledger.rules import compute_hold_max
from wwwserve.core.ledger.state import State
from wwwserve.core.ledger_facts import Fined, LedgerHalted
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import FeedFork, HeadFork, Hold, Proof, SignedFeed, Unproven

_UNITS_AT_RISK = 3
"""Beyond the first: what an honest executor can have delivered for a hold that is void."""


def apply_evidence(state: State, proof: Proof) -> None:
    """Act on two records that were found to contradict each other."""
    match proof:
        case FeedFork():
            _fine_fork(state, proof)
        case HeadFork():
            _halt(state, proof)
        case Unproven(detail=detail):
            raise Refusal("evidence-void", detail or "it proves nothing")
        case _:
            raise Refusal("evidence-void", "it proves nothing")


def _fine_fork(state: State, fork: FeedFork) -> None:
    """Take the fine, pay those the void block cheated, and give the rest to the pool."""
    _validate_fork(state, fork)
    account, seq = fork.first.account, fork.first.header.seq
    state.edit_account(account).fined_seq = seq
    taken = take_fine(state, account, state.parameters.fork_fine)
    compensated = _compensate(state, fork.second, taken // 2)
    state.edit_log().pool += taken - compensated
    state.tell(Fined(account, seq, taken, compensated))


def _validate_fork(state: State, fork: FeedFork) -> None:
    first, second = fork.first.header, fork.second.header
    held = state.accounts.get(fork.first.account)
    if held is None:
        raise Refusal("evidence-account", "the account is not in this ledger")
    if not held.fined_seq < first.seq <= held.seq + 1:
        detail = f"number {first.seq} is fined already, of another life, or yet to come"
        raise Refusal("evidence-seq", detail)
    apart_ms = abs(first.valid_until_ms - second.valid_until_ms)
    if apart_ms > state.parameters.feed_life_ms:
        raise Refusal("evidence-expired", f"the one may replace the other, expired: {apart_ms} ms")
    if fork.second.feed_id == held.head:
        raise Refusal("evidence-order", "the second of the two is in the log; name the void one")


def _compensate(state: State, void: SignedFeed, most: int) -> int:
    """Pay the payees of the void block's holds what they can have lost; gives what was paid."""
    left = most
    for op in void.ops:
        if not isinstance(op, Hold) or op.payee == void.account:
            continue
        payee = NodeId(op.payee)
        lost = min(compute_hold_max(op), op.first + _UNITS_AT_RISK * op.unit, left)
        if lost and payee in state.accounts:
            credit(state, payee, lost)
            left -= lost
    return most - left


def _halt(state: State, fork: HeadFork) -> None:
    if fork.first.leader != state.constitution.sequencer:
        raise Refusal("evidence-account", "neither block is the sequencer's")
    halt = Halt(fork.first.header.height, fork.first.block_id, fork.second.block_id)
    state.edit_log().halt = halt
    state.tell(LedgerHalted(halt.height, halt.first, halt.second))
