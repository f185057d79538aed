"""What a peer needs of a disk: small values under keys, in lanes that do not wait for each other.

Lanes are `core.effects.Lane`. A write is acknowledged once it is as durable as its lane promises;
after a crash every acknowledged write is there, and writes of one lane survive in order.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from wwwserve.core.lanes import Lane


class StoreFailed(Exception):
    """The disk refused (full, read-only, corrupt): the node must stop, not go on forgetting."""


class Store(Protocol):
    """Durable key-value lanes."""

    def read(self, lane: Lane) -> dict[bytes, bytes]:
        """Everything in a lane; called before the node starts. Raises `StoreFailed`."""
        ...

    def write(
        self,
        lane: Lane,
        changes: Mapping[bytes, bytes | None],
        on_durable: Callable[[StoreFailed | None], None],
    ) -> None:
        """Put (or, with None, remove) keys, all or none; `on_durable` is called when it is safe.

        Writes of a lane happen in call order; the callback comes on the caller's event loop.
        """
        ...

    async def close(self) -> None:
        """Finish every write begun, then free the files."""
        ...


class RangeReader(Protocol):
    """A look into a lane that is too large to be read whole, as the ledger's chain is."""

    def read_range(
        self, lane: Lane, first: bytes, last: bytes, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """The first so many keys from `first` on and below `last`, in order, with their values.

        Also while a node writes: what is read is what was durable at that moment. Raises
        `StoreFailed`.
        """
        ...


class RangeStore(Store, RangeReader, Protocol):
    """A store whose lanes can be read in parts, too."""
