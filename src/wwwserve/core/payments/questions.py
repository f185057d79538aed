"""What payments ask of the wallet, which `core.accounting` hands to them."""

from typing import Protocol

from wwwserve.core.holding import HoldDraft, SignedHold
from wwwserve.values.moments import Moment

__all__ = ["AsksWallet", "HoldDraft", "SignedHold"]


class AsksWallet(Protocol):
    """This node's own account (`core.wallet.Wallet`)."""

    @property
    def spendable(self) -> int:
        """Micro-credits that can be set aside now: all that was signed since is taken off."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether anything can be signed now: its head is known, and the ledger goes on."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether it is not ready only because all it may have waiting waits for the next block."""
        ...

    def sign_hold(self, draft: HoldDraft, now: Moment) -> SignedHold:
        """Open a hold. Only while `is_ready` and it is covered: anything else is a bug."""
        ...
