"""The ledger clock: moved by blocks alone, and what falls due as it moves."""

from collections.abc import Iterator
from typing import Final

from wwwserve.core.ledger.holds import settle_due_hold
from wwwserve.core.ledger.money import end_newcomer, sweep
from wwwserve.core.ledger.state import Due, State
from wwwserve.core.ledger_facts import EpochTurned, Unbonded
from wwwserve.values.ids import NodeId

DUES_PER_SLICE: Final = 64
"""Things that fell due, between two pauses."""


def compute_epoch(time_ms: int, epoch_ms: int) -> int:
    """The epoch an instant of the ledger clock lies in."""
    return time_ms // epoch_ms


def advance(state: State, dt_ms: int) -> None:
    """Move the clock, over at most one epoch's end."""
    log = state.edit_log()
    log.time_ms += dt_ms
    epoch = compute_epoch(log.time_ms, state.parameters.epoch_ms)
    if epoch != log.epoch:
        assert epoch == log.epoch + 1, "a block moves the clock by less than an epoch"
        log.epoch = epoch
        log.epoch_beacon_before, log.epoch_beacon = log.epoch_beacon, log.beacon
        state.tell(EpochTurned(epoch))


def settle_dues(state: State) -> Iterator[None]:
    """Do all whose instant has come, pausing after each slice of work."""
    done = 0
    while (item := state.pop_due()) is not None:
        due_ms, due, subject = item
        if due is Due.HOLD:
            settle_due_hold(state, subject)
        else:
            _settle_account(state, NodeId(subject), due_ms)
        sweep(state)
        done += 1
        if done % DUES_PER_SLICE == 0:
            yield


def _settle_account(state: State, key: NodeId, due_ms: int) -> None:
    """Do what fell due for an account at an instant.

    Not what fell due after it, even if that is past too: an item may be left over from what is no
    more, and whether there is one must make no difference.
    """
    account = state.accounts.get(key)
    if account is None:
        return
    _release(state, key, due_ms)
    if account.newcomer and account.newcomer.until_ms <= due_ms:
        end_newcomer(state, key)
    # Its first word may have been all that kept it.
    state.touched[key] = None


def _release(state: State, key: NodeId, due_ms: int) -> None:
    waiting = state.accounts[key].unbonding
    amount = sum(part for release_ms, part in waiting if release_ms <= due_ms)
    if amount:
        edited = state.edit_account(key)
        edited.unbonding = tuple(item for item in waiting if item[0] > due_ms)
        edited.avail += amount
        state.tell(Unbonded(key, amount))
