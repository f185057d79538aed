"""Pretend keys: signatures that cost a hash (0.7 us) instead of a curve (48 us; 168 to check).

They are as good as real ones inside a world, where nobody knows the world's secret.
"""

import hashlib

from wwwserve.values.ids import NODE_ID_BYTES, NodeId
from wwwserve.wire import SIGNATURE_BYTES


class PretendSigner:
    """One pretend node's key (`wire.Signer`)."""

    __slots__ = ("_node_id", "_secret")

    def __init__(self, secret: bytes, name: str) -> None:
        """`secret` is the world's, at most 64 bytes; equal names are equal keys."""
        self._secret = secret
        digest = hashlib.blake2b(name.encode(), key=secret, digest_size=NODE_ID_BYTES)
        self._node_id = NodeId(digest.digest())

    @property
    def node_id(self) -> NodeId:
        """The public key."""
        return self._node_id

    def sign(self, message: bytes) -> bytes:
        """The one signature of this node over this message."""
        return _compute_signature(self._secret, self._node_id, message)


class PretendVerifier:
    """Checks pretend signatures of one world (`wire.Verifier`)."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """`secret` is the world's."""
        self._secret = secret

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whether that node of this world signed exactly this."""
        return signature == _compute_signature(self._secret, node_id, message)


def _compute_signature(secret: bytes, node_id: NodeId, message: bytes) -> bytes:
    signature = hashlib.blake2b(node_id + message, key=secret, digest_size=SIGNATURE_BYTES)
    return signature.digest()
