"""The type number of everything that is ever signed, in one place.

The number is part of what is signed, so a signature over one kind is none over another. Numbers are
final: one that is no longer used is never given away again.
"""

from enum import IntEnum


class SignedKind(IntEnum):
    """What a signature says it is over."""

    PEER_RECORD = 1
    # -- the ledger's log
    FEED_BLOCK = 16
    BLOCK = 17
    CHECKPOINT = 18
    HANDOVER = 19
    VOTE = 20
    DUMMY = 21
    FINALIZE = 22
    KEY_CONSENT = 23
    # -- between payer and payee
    FIRM_QUOTE = 32
    HOLD_ACCEPT = 33
    HOLD_DECLINE = 34
    FINAL = 35
    # -- for oneself: such a signature never leaves its node, which makes secrets of it
    HOLD_SECRET = 48
