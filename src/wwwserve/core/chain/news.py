"""Which of a block's facts one node tells: those of its own account, and what concerns all."""

from typing import assert_never

from wwwserve.core.ledger import Ledger
from wwwserve.core.ledger_facts import (
    AccountOpened,
    AccountRemoved,
    Circulated,
    EpochTurned,
    FeedApplied,
    FeedVoid,
    Fined,
    HoldClosing,
    HoldOpened,
    HoldSettled,
    Joined,
    LedgerFact,
    LedgerHalted,
    NewcomerEnded,
    OpRefused,
    StakeChanged,
    Transferred,
    Unbonded,
)
from wwwserve.values.ids import NodeId


def pick_facts(
    facts: tuple[LedgerFact, ...], own: NodeId, ledger: Ledger
) -> tuple[LedgerFact, ...]:
    """Of the block that was applied last; a full one has thousands, nearly all of other people."""
    feeds = {
        fact.feed_id: None
        for fact in facts
        if isinstance(fact, FeedApplied | FeedVoid) and fact.account == own
    }
    return tuple(fact for fact in facts if _concerns(fact, own, feeds, ledger))


def _concerns(fact: LedgerFact, own: NodeId, feeds: dict[bytes, None], ledger: Ledger) -> bool:
    match fact:
        case EpochTurned() | LedgerHalted() | Circulated() | Fined():
            return True
        case FeedApplied(feed_id=feed_id) | FeedVoid(feed_id=feed_id) | OpRefused(feed_id=feed_id):
            return feed_id in feeds
        case HoldOpened(payer=payer, payee=payee) | HoldSettled(payer=payer, payee=payee):
            return own in (payer, payee)
        case HoldClosing(hold_id=hold_id):
            hold = ledger.holds.get(hold_id)
            return hold is not None and own in (hold.payer, hold.payee)
        case Transferred(source=source, target=target):
            return own in (source, target)
        case (
            AccountOpened(account=account)
            | AccountRemoved(account=account)
            | StakeChanged(account=account)
            | Unbonded(account=account)
            | Joined(account=account)
            | NewcomerEnded(account=account)
        ):
            return account == own
        case _:
            assert_never(fact)
