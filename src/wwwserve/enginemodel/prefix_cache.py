"""Blocks of the KV cache that are kept for whoever begins alike, as vLLM's prefix caching does.

A block is kept once it is full, and known by the thread it belongs to and its place in it. While
sequences use it, they share it; when none does, it counts as free, keeps what is in it, and is
overwritten when the room is needed: the longest unused first, and of one sequence its end first.
"""

from collections.abc import Sequence
from typing import Final

from wwwserve.enginemodel.demands import Thread

KV_BLOCK_TOKENS: Final = 16
"""Tokens in one block of the KV cache: vLLM's own size."""

BlockName = tuple[bool, int, int]
"""Whether it is of a root, the root's or thread's name, and the block's place."""


def count_blocks(tokens: int) -> int:
    """Blocks that so many tokens need."""
    return -(-tokens // KV_BLOCK_TOKENS)


def list_names(thread: Thread, begin: int, end: int) -> list[BlockName]:
    """The names of a thread's blocks from one place to another."""
    of_root = thread.root_tokens // KV_BLOCK_TOKENS
    return [
        (True, thread.root, place) if place < of_root else (False, thread.name, place)
        for place in range(begin, end)
    ]


class PrefixCache:
    """All blocks that are kept, used or not."""

    __slots__ = ("_idle", "_users")

    def __init__(self) -> None:
        self._users: dict[BlockName, int] = {}
        """How many sequences use each."""
        self._idle: dict[BlockName, None] = {}
        """Those nobody uses, the longest unused first."""

    @property
    def idle_count(self) -> int:
        """Blocks kept that nobody uses."""
        return len(self._idle)

    def find(self, thread: Thread, blocks: int) -> list[BlockName]:
        """The first of so many blocks of a thread, as far as all of them are kept."""
        names = list_names(thread, 0, blocks)
        for place, name in enumerate(names):
            if name not in self._users and name not in self._idle:
                return names[:place]
        return names

    def count_used(self, names: Sequence[BlockName]) -> int:
        """How many of these kept blocks some sequence uses: one more user needs no room."""
        return sum(name in self._users for name in names)

    def share(self, names: Sequence[BlockName]) -> None:
        """One more sequence uses these kept blocks."""
        for name in names:
            self._idle.pop(name, None)
            self._users[name] = self._users.get(name, 0) + 1

    def keep(self, names: Sequence[BlockName]) -> list[BlockName]:
        """A sequence has filled these; gives those that are kept, without those kept already."""
        new = [name for name in names if name not in self._users and name not in self._idle]
        self._users |= dict.fromkeys(new, 1)
        return new

    def release(self, names: Sequence[BlockName]) -> int:
        """A sequence uses these no more; gives how many nobody uses now."""
        before = len(self._idle)
        for name in reversed(names):
            users = self._users[name]
            if users > 1:
                self._users[name] = users - 1
            else:
                del self._users[name]
                self._idle[name] = None
        return len(self._idle) - before

    def trim(self, blocks: int) -> None:
        """No more than so many unused ones can be kept: the others are overwritten."""
        while len(self._idle) > blocks:
            del self._idle[next(iter(self._idle))]
