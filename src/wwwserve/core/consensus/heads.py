"""Heads side by side: one leader, one height, two blocks are proof of two histories.

Two histories differ at every height from where they part, so it is enough to compare with the
newest block of others: at a height this node has passed, at once; else when it comes there.
"""

from dataclasses import replace
from typing import Final

from wwwserve.wire.chain import strip_list
from wwwserve.wire.ledger import OpenedBlock, is_head_fork

HEADS_REMEMBERED_MAX: Final = 4_096
"""Own heads kept for comparison: a quarter of an hour at full pace. An older one is not compared:
its sender is far behind, and will say a newer one."""
HEADS_AHEAD_MAX: Final = 64
"""Heads of others above one's own, one for each link; the lowest give way."""

Fork = tuple[OpenedBlock, OpenedBlock]


class HeadWatch:
    """Remembers blocks of one leader by height."""

    __slots__ = ("_ahead", "_own")

    def __init__(self) -> None:
        self._own: dict[int, OpenedBlock] = {}
        self._ahead: dict[int, OpenedBlock] = {}

    def on_own(self, block: OpenedBlock) -> Fork | None:
        """A block is this node's newest; gives proof if another was told for its height."""
        height = block.header.height
        # Without its list, which is up to a hundred times as long.
        self._own[height] = replace(block, sealed=strip_list(block.sealed))
        if len(self._own) > HEADS_REMEMBERED_MAX:
            # Heights only grow, so the first is the lowest.
            del self._own[next(iter(self._own))]
        told = self._ahead.pop(height, None)
        return (block, told) if told and is_head_fork(block, told) else None

    def on_told(self, block: OpenedBlock) -> Fork | None:
        """A block was told; gives proof if it is another one than is known for its height."""
        height = block.header.height
        known = self._own.get(height) or self._ahead.get(height)
        if known is None:
            self._remember_ahead(height, block)
            return None
        return (known, block) if is_head_fork(known, block) else None

    def _remember_ahead(self, height: int, block: OpenedBlock) -> None:
        newest = next(reversed(self._own), 0)
        if height <= newest:
            return
        self._ahead[height] = block
        if len(self._ahead) > HEADS_AHEAD_MAX:
            del self._ahead[min(self._ahead)]
