"""This node's own account: what it signs, what it was paid, and what its operator orders.

Rules:

1. Whatever is signed is written down before it can leave (`Persist` in the lane `FEED`; everything
   that leaves names the lane). A restart brings to the log exactly what is not in it yet.
2. No two different feed blocks of one number are signed while the first could enter the log,
   whatever step the wallet is killed at (`line`).
3. Nothing is signed that the account cannot pay for with all that waits paid first (`budget`).
4. A preimage received is kept until its hold is settled, and claimed when its stream is over
   (`claims`); a hold that nobody claims is closed (`closes`).
5. That another account promised the same credits twice is shown to the ledger (`proofs`).

`Wallet` is the machine; payments ask it as `AsksWallet`.
"""

from wwwserve.core.wallet.events import (
    BlockApplied,
    ClaimHold,
    HeadHeard,
    HoldOver,
    KeepPreimage,
    OpDenied,
    OrderRefused,
    OrderSettled,
    OrderSigned,
    ShowFork,
    SignOps,
    SubmitFeed,
    SubmitHold,
    WalletEffect,
    WalletEvent,
)
from wwwserve.core.wallet.machine import Wallet, WalletSetup
from wwwserve.core.wallet.places import read_stake_order

__all__ = [
    "BlockApplied",
    "ClaimHold",
    "HeadHeard",
    "HoldOver",
    "KeepPreimage",
    "OpDenied",
    "OrderRefused",
    "OrderSettled",
    "OrderSigned",
    "ShowFork",
    "SignOps",
    "SubmitFeed",
    "SubmitHold",
    "Wallet",
    "WalletEffect",
    "WalletEvent",
    "WalletSetup",
    "read_stake_order",
]
