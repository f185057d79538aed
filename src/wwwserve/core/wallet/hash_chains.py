"""The hash chains of this node's own holds: nothing of them is stored, all can be computed again.

The end of a chain is a keyed hash (RFC 7693, 2.9) of the hold's number and terms, so that a number
used for other terms has another chain, and no chain pays twice.
"""

import hashlib

from msgspec.structs import replace

from wwwserve.wire import Signer, encode
from wwwserve.wire.kinds import SignedKind
from wwwserve.wire.ledger import DIGEST_BYTES, NO_DIGEST, Hold, compute_anchor, compute_link
from wwwserve.wire.signing import compute_signing_input


class HashChains:
    """Makes the chains of one key in one network."""

    __slots__ = ("_secret",)

    def __init__(self, signer: Signer, network_id: bytes) -> None:
        """The secret is a signature, which only the key can make, and makes always the same."""
        signed = compute_signing_input(SignedKind.HOLD_SECRET, network_id, b"")
        self._secret = hashlib.sha256(signer.sign(signed)).digest()

    def make_links(self, seq: int, hold: Hold) -> bytes:
        """All links, the anchor first; `hold` need not have its anchor yet."""
        links = [self._compute_end(seq, hold)]
        for _ in range(hold.units_max):
            links.append(compute_link(links[-1]))
        return b"".join(reversed(links))

    def compute_preimage(self, seq: int, hold: Hold, depth: int) -> bytes:
        """The link at a depth."""
        return compute_anchor(self._compute_end(seq, hold), hold.units_max - depth)

    def _compute_end(self, seq: int, hold: Hold) -> bytes:
        # A hold that is signed anew names another epoch, and keeps its chain.
        terms = replace(hold, anchor=NO_DIGEST, seed_epoch=0)
        data = encode((seq, terms))
        return hashlib.blake2b(data, key=self._secret, digest_size=DIGEST_BYTES).digest()
