"""A table in few bytes, so that two nodes that hold the same can see it without telling it.

Node ids are split by their first bits into `BUCKETS` runs of the order of ids. For each run there
is one sum over what is held of its live members; equal sums mean equal tables, whatever order the
news came in. Those who are gone are in no sum, for two nodes forget them at different moments.

A sum has 64 bits, and its parts are hashes. Who signs records can choose versions until two
different tables look alike only by trying about 2**64 of them, and would hide one run from one
exchange.
"""

import hashlib

from wwwserve.core.facts import MemberStatus
from wwwserve.values.ids import NODE_ID_BYTES, NodeId
from wwwserve.wire import BUCKETS, SUM_BYTES

_SHIFT = 8 - (BUCKETS - 1).bit_length()
"""The bits of an id's first byte that do not say its bucket."""
_MODULUS = 1 << (8 * SUM_BYTES)
_VERSION_BYTES = 8
FIRST_ID = NodeId(bytes(NODE_ID_BYTES))
"""No id is before this one."""
AFTER_ALL = b"\xff" * (NODE_ID_BYTES + 1)
"""Every id is before this."""


class Digests:
    """The sums of one table, kept up to date change by change."""

    __slots__ = ("_parts", "_sums")

    def __init__(self) -> None:
        """Nobody is held for anything."""
        self._sums = [0] * BUCKETS
        self._parts: dict[NodeId, int] = {}

    def hold(self, node: NodeId, version: int, status: MemberStatus) -> None:
        """From now on this is held of a node."""
        bucket = compute_bucket(node)
        total = self._sums[bucket] - self._parts.pop(node, 0)
        if status in (MemberStatus.ALIVE, MemberStatus.SUSPECT):
            part = _compute_part(node, version, is_suspect=status is MemberStatus.SUSPECT)
            self._parts[node] = part
            total += part
        self._sums[bucket] = total % _MODULUS

    def get_sums(self) -> bytes:
        """All sums, as they travel."""
        return b"".join(total.to_bytes(SUM_BYTES, "big") for total in self._sums)

    def find_differing(self, sums: bytes) -> list[int]:
        """The buckets in which another's table is not like this one."""
        return [
            bucket
            for bucket, total in enumerate(self._sums)
            if sums[bucket * SUM_BYTES : (bucket + 1) * SUM_BYTES]
            != total.to_bytes(SUM_BYTES, "big")
        ]


def compute_bucket(node: NodeId) -> int:
    """The bucket of a node."""
    return node[0] >> _SHIFT


def compute_bounds(bucket: int) -> tuple[bytes, bytes]:
    """The first id that can be in a bucket, and the first after it."""
    end = bytes([(bucket + 1) << _SHIFT]) if bucket + 1 < BUCKETS else AFTER_ALL
    return bytes([bucket << _SHIFT]), end


def _compute_part(node: NodeId, version: int, *, is_suspect: bool) -> int:
    text = node + version.to_bytes(_VERSION_BYTES, "big") + bytes([is_suspect])
    return int.from_bytes(hashlib.blake2b(text, digest_size=SUM_BYTES).digest(), "big")
