"""Repeatable chance: a keyed hash in counter mode.

Whoever knows the key can repeat every draw, nobody else can foresee one; so the simulator replays a
run from its seed, and a real node (keyed by the host's true randomness) draws unguessably.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_DRAW_BITS = 64
_PERMILLE = 1000


class Entropy:
    """One stream of chance; each machine has its own, split from its parent's."""

    __slots__ = ("_counter", "_key")

    def __init__(self, seed: bytes) -> None:
        """`seed` is any bytes; equal seeds give equal streams."""
        self._key = hashlib.blake2b(seed, digest_size=32, person=b"wwwserve").digest()
        self._counter = 0

    def split(self, label: str) -> "Entropy":
        """A new stream for a part of the system, independent of this one and of other labels."""
        return Entropy(self._key + b"\0" + label.encode())

    def bytes(self, count: int) -> bytes:
        """`count` random bytes, at most 64."""
        self._counter += 1
        message = self._counter.to_bytes(8, "big")
        return hashlib.blake2b(message, digest_size=count, key=self._key).digest()

    def below(self, bound: int) -> int:
        """A whole number from 0 up to, not including, `bound` (at least 1), all equally likely."""
        assert 1 <= bound <= 2**_DRAW_BITS, bound
        # The largest multiple of `bound`; draws above it are thrown away so that none is favoured.
        fair = (2**_DRAW_BITS // bound) * bound
        while True:
            draw = int.from_bytes(self.bytes(8), "big")
            if draw < fair:
                return draw % bound

    def chance(self, permille: int) -> bool:
        """True `permille` times in a thousand."""
        return self.below(_PERMILLE) < permille

    def jitter(self, span_us: int, permille: int) -> int:
        """`span_us` lengthened or shortened by up to `permille` thousandths."""
        reach = span_us * permille // _PERMILLE
        return span_us - reach + self.below(2 * reach + 1)

    def pick(self, items: Sequence[T]) -> T:
        """One item, all equally likely."""
        return items[self.below(len(items))]

    def shuffle(self, items: Sequence[T]) -> list[T]:
        """The items in a random order (Fisher and Yates)."""
        shuffled = list(items)
        for last in range(len(shuffled) - 1, 0, -1):
            other = self.below(last + 1)
            shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
        return shuffled
