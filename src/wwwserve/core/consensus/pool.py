"""Words that wait for a block, in the order they came; bounded, and no word twice."""

from collections import deque
from typing import Final

from wwwserve.values.limits import MIB
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire.chain import BLOCK_FEEDS_BYTES_MAX, read_feed_shape
from wwwserve.wire.ledger import FEEDS_PER_BLOCK_MAX

POOL_WORDS_MAX: Final = 8_192
"""Two seconds of full blocks; one more is refused, and its author tries again."""
POOL_BYTES_MAX: Final = 16 * MIB
"""The same for their bytes."""
IDS_REMEMBERED_MAX: Final = 16_384
"""Ids of words that are in the log: late copies of them are refused without a look at the state."""


class Pool:
    """What is to be ordered."""

    __slots__ = ("_bytes", "_done", "_done_order", "_words")

    def __init__(self) -> None:
        self._words: dict[bytes, bytes] = {}
        self._bytes = 0
        self._done: dict[bytes, None] = {}
        self._done_order: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._words)

    def add(self, word: bytes) -> None:
        """Put a word last; raises `Refusal` if it is here or in the log already, or none fits."""
        word_id = read_feed_shape(word).compute_id()
        if word_id in self._words or word_id in self._done:
            raise Refusal("pool-known", "it is here already", Severity.IGNORE)
        if len(self._words) >= POOL_WORDS_MAX or self._bytes + len(word) > POOL_BYTES_MAX:
            detail = f"{len(self._words)} feed blocks wait already; try again in a moment"
            raise Refusal("pool-full", detail, Severity.IGNORE)
        self._words[word_id] = word
        self._bytes += len(word)

    def peek(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """The ids and words of the next block; they stay until it is known to be final."""
        ids: list[bytes] = []
        words: list[bytes] = []
        size = 0
        for word_id, word in self._words.items():
            size += len(word)
            if size > BLOCK_FEEDS_BYTES_MAX or len(words) == FEEDS_PER_BLOCK_MAX:
                break
            ids.append(word_id)
            words.append(word)
        return tuple(ids), tuple(words)

    def on_final(self, ids: tuple[bytes, ...]) -> None:
        """Forget words that are in the log now."""
        for word_id in ids:
            word = self._words.pop(word_id, None)
            if word is not None:
                self._bytes -= len(word)
            self._done[word_id] = None
            self._done_order.append(word_id)
        while len(self._done_order) > IDS_REMEMBERED_MAX:
            self._done.pop(self._done_order.popleft(), None)
