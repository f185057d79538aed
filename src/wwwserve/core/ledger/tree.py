"""The digest of the whole state, kept up to date by what changed: a hash tree of fixed depth.

Each entry falls into a leaf by the hash of its key. A leaf is the hash of its entries in the order
of their keys, an inner node that of its two children, and the root is node 1. After a block only
the leaves with changed entries and the paths above them are hashed again, a slice at a time.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

HASHES_PER_SLICE: Final = 256
"""Nodes hashed between two pauses: about half a millisecond."""
_DIGEST_BYTES: Final = 32
_ENTRY = b"\x00"
_LEAF = b"\x01"
_NODE = b"\x02"


class StateTree:
    """Entries go in, a root comes out. The same entries give the same root in any order."""

    __slots__ = ("_changed", "_depth", "_leaves", "_nodes")

    def __init__(self, depth: int) -> None:
        """A tree with 2 to the power `depth` leaves, all empty."""
        self._depth = depth
        self._leaves: dict[int, dict[bytes, bytes]] = {}
        self._changed: dict[int, None] = {}
        self._nodes = _make_empty(depth)

    @property
    def root(self) -> bytes:
        """The digest of all entries as of the last `rehash`."""
        assert not self._changed, "the tree is not hashed up to date"
        return self._get(1)

    def put(self, key: bytes, value: bytes | None) -> None:
        """An entry has this value now; None: it is gone."""
        number = self._find_leaf(key)
        leaf = self._leaves.setdefault(number, {})
        if value is None:
            leaf.pop(key, None)
            if not leaf:
                del self._leaves[number]
        else:
            size = len(key).to_bytes(1, "big")
            leaf[key] = hashlib.sha256(_ENTRY + size + key + value).digest()
        self._changed[number] = None

    def rehash(self) -> Iterator[None]:
        """Bring the root up to date, pausing after each slice of work."""
        work = 0
        level: dict[int, None] = {}
        for number in self._changed:
            node = (1 << self._depth) + number
            self._set(node, self._hash_leaf(number))
            level[node >> 1] = None
            work += 1
            if work % HASHES_PER_SLICE == 0:
                yield
        for _ in range(self._depth):
            above: dict[int, None] = {}
            for node in level:
                self._set(node, self._hash_node(node))
                above[node >> 1] = None
                work += 1
                if work % HASHES_PER_SLICE == 0:
                    yield
            level = above
        self._changed.clear()

    def _find_leaf(self, key: bytes) -> int:
        return int.from_bytes(hashlib.sha256(key).digest()[:4], "big") >> (32 - self._depth)

    def _hash_leaf(self, number: int) -> bytes:
        leaf = self._leaves.get(number)
        if leaf is None:
            return bytes(_DIGEST_BYTES)
        return hashlib.sha256(_LEAF + b"".join(leaf[key] for key in sorted(leaf))).digest()

    def _hash_node(self, node: int) -> bytes:
        children = 2 * node * _DIGEST_BYTES
        pair = self._nodes[children : children + 2 * _DIGEST_BYTES]
        return hashlib.sha256(_NODE + pair).digest()

    def _get(self, node: int) -> bytes:
        return bytes(self._nodes[node * _DIGEST_BYTES : (node + 1) * _DIGEST_BYTES])

    def _set(self, node: int, digest: bytes) -> None:
        self._nodes[node * _DIGEST_BYTES : (node + 1) * _DIGEST_BYTES] = digest


def _make_empty(depth: int) -> bytearray:
    """The nodes of a tree without entries; all nodes of one level are equal."""
    digest = bytes(_DIGEST_BYTES)
    levels = [digest * (1 << depth)]
    for height in range(depth - 1, -1, -1):
        digest = hashlib.sha256(_NODE + digest + digest).digest()
        levels.append(digest * (1 << height))
    # Node 0 does not exist; it keeps the arithmetic of parents and children simple.
    return bytearray(bytes(_DIGEST_BYTES) + b"".join(reversed(levels)))
