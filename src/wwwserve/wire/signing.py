"""Who can sign and who can check, as interfaces: real keys and pretend ones fit alike."""

import hashlib
from typing import Protocol

from wwwserve.values.ids import NodeId

SIGNATURE_BYTES = 64
_CONTEXT = b"wwwserve/1\0"


class Signer(Protocol):
    """Holds one node's secret key and signs with it."""

    @property
    def node_id(self) -> NodeId:
        """The public key that checks what this signs."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of `message` (RFC 8032; deterministic)."""
        ...


class Verifier(Protocol):
    """Checks signatures; one implementation per network, since verifiers disagree at the edges."""

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whether `signature` over `message` was made with the key `node_id`."""
        ...


def compute_signing_input(kind: int, network_id: bytes, body: bytes) -> bytes:
    """What is really signed: context, type, network and body hash (ledger.md 3, Encoding).

    Naming the type and the network keeps a signature from being replayed as another kind of record
    or in another network.
    """
    return _CONTEXT + kind.to_bytes(2, "big") + network_id + hashlib.sha256(body).digest()
