"""The entry puzzle: memory-hard work for one key, begun after a beacon nobody could foresee.

Bound to the beacon so that nobody can work ahead, and to the key so that nobody can use another's.
Checking costs as much as one try (some ten milliseconds), so it is done where feed blocks are
opened, never in the state machine.
"""

import hashlib

from wwwserve.wire.ledger.ops import Puzzle

_BLOCK_SIZE = 8


def compute_puzzle(account: bytes, network_id: bytes, puzzle: Puzzle, memory_log2: int) -> bytes:
    """The scrypt value (RFC 7914) of one try; it must begin with enough zero bits."""
    cost = 2**memory_log2
    return hashlib.scrypt(
        account + puzzle.nonce,
        salt=network_id + puzzle.beacon,
        n=cost,
        r=_BLOCK_SIZE,
        p=1,
        maxmem=2 * 128 * _BLOCK_SIZE * cost + 65_536,
        dklen=32,
    )


def count_zero_bits(digest: bytes) -> int:
    """How many zero bits a digest begins with."""
    return 8 * len(digest) - int.from_bytes(digest, "big").bit_length()
