"""Payers that promised the same credits twice, and what of that can be shown to the ledger.

Two feed blocks of one account at one number, both signed by it, are proof (ledger.md 4). An
executor has the one that its hold was in; the other comes with the block that made it void.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.payments.effects import ProveFork
from wwwserve.core.payments.trust import PendingHold
from wwwserve.wire.ledger import OpenedFeed, is_feed_fork

if TYPE_CHECKING:
    from wwwserve.values.ids import NodeId


class Forks:
    """Compares holds that were lost with the block by which they were."""

    def __init__(self, ledger: AsksLedger) -> None:
        self._ledger = ledger
        self._entered: dict[tuple[NodeId, int], OpenedFeed] = {}
        """The feed blocks of one block of the log, by account and number; no more than it has."""

    def begin_block(self, feeds: Sequence[OpenedFeed]) -> None:
        """These are in the log now, and holds may be found lost by that."""
        self._entered = {(feed.account, feed.header.seq): feed for feed in feeds}

    def end_block(self) -> None:
        """What is lost from now on is lost by something else."""
        self._entered = {}

    def find(self, lost: PendingHold) -> ProveFork | None:
        """The proof against the payer of a lost hold, if there is one.

        A feed block that takes another's place after its last instant proves nothing.
        """
        entered = self._entered.get((lost.payer, lost.seq))
        if entered is None or not is_feed_fork(entered.signed, lost.signed):
            return None
        apart_ms = abs(entered.header.valid_until_ms - lost.valid_until_ms)
        if apart_ms > self._ledger.parameters.feed_life_ms:
            return None
        return ProveFork(lost.payer, lost.seq, entered.signed.sealed, lost.signed.sealed)
