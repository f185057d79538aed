"""A store in memory, for tests and for nodes that are thrown away: it forgets with its process."""

import asyncio
from collections.abc import Callable, Mapping

from wwwserve.core.lanes import Lane
from wwwserve.ports.store import StoreFailed


class MemoryStore:
    """Lanes as dictionaries; pass the same `lanes` again to start over from what was written."""

    def __init__(self, lanes: dict[Lane, dict[bytes, bytes]] | None = None) -> None:
        self._lanes = {} if lanes is None else lanes
        self._is_closed = False

    def read(self, lane: Lane) -> dict[bytes, bytes]:
        """Everything in a lane."""
        return dict(self._lanes.get(lane, {}))

    def read_range(
        self, lane: Lane, first: bytes, last: bytes, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """See `RangeReader`."""
        values = self._lanes.get(lane, {})
        keys = sorted(key for key in values if first <= key < last)
        return [(key, values[key]) for key in keys[:count_max]]

    def write(
        self,
        lane: Lane,
        changes: Mapping[bytes, bytes | None],
        on_durable: Callable[[StoreFailed | None], None],
    ) -> None:
        """Change at once; acknowledge on the loop's next turn, as a disk would later."""
        loop = asyncio.get_running_loop()
        if self._is_closed:
            loop.call_soon(on_durable, StoreFailed(f"the {lane.value} lane is closed"))
            return
        values = self._lanes.setdefault(lane, {})
        for key, value in changes.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
        loop.call_soon(on_durable, None)

    async def close(self) -> None:
        """Take no further writes, once those begun have been acknowledged."""
        self._is_closed = True
        await asyncio.sleep(0)
