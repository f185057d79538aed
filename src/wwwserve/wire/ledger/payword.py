"""The hash chain that pays by the unit (Rivest and Shamir, PayWord, 1996).

The payer picks a secret end `w_N`; each link is the hash of the next, and the last one, `w_0`, is
the anchor in the hold. To show `w_d` is to prove that d units were paid: nobody else can find it,
and everybody can check it with d hashes.
"""

import hashlib

from wwwserve.wire.ledger.fields import DEPTH_MAX

_CONTEXT = b"unit"


def compute_link(following: bytes) -> bytes:
    """The link before a link: what both sides check one unit with."""
    return hashlib.sha256(_CONTEXT + following).digest()


def compute_anchor(preimage: bytes, depth: int) -> bytes:
    """The anchor that a preimage of a depth belongs to: `depth` hashes, at most `DEPTH_MAX`."""
    assert 0 <= depth <= DEPTH_MAX, depth
    for _ in range(depth):
        preimage = compute_link(preimage)
    return preimage


def compute_hold_id(account: bytes, seq: int, n: int) -> bytes:
    """The name of a hold: whoever opens it knows it before it is in the log."""
    return hashlib.sha256(account + seq.to_bytes(8, "big") + n.to_bytes(8, "big")).digest()
