"""A pretend disk: lanes that take their time, and a crash that loses what was not yet durable.

Rules, which the real store keeps too:

- Writes of one lane become durable in the order they were asked for, each whole or not at all.
- A crash keeps a prefix of a lane's unfinished writes: what the disk had reached, acknowledged or
  not. What was acknowledged is never lost.
- A machine that goes down may lose the newest writes of the wallet's lane, acknowledged or not: its
  last `UNSAFE_US`. Those of other lanes are safe.
- Whatever names a lane waits for all writes asked of that lane before it; other lanes do not.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from wwwserve.core.effects import Persist
from wwwserve.core.lanes import Lane
from wwwserve.sim.world import Action, World
from wwwserve.values.moments import MILLISECOND

UNSAFE_US = 100 * MILLISECOND
"""How long the wallet's lane takes at most to be safe from a loss of power."""


@dataclass(slots=True)
class _Write:
    persist: Persist
    on_durable: Callable[[Persist], None]
    followers: list[Action] = field(default_factory=list)


class PretendDisk:
    """One node's disk; it outlives the node's process."""

    __slots__ = ("_contents", "_life", "_newest", "_pending", "_world", "delay_us")

    def __init__(self, world: World, delay_us: int) -> None:
        """`delay_us` is the longest time of one write; each takes a random part of it."""
        self.delay_us = delay_us
        self._world = world
        self._contents: dict[Lane, dict[bytes, bytes]] = {lane: {} for lane in Lane}
        self._pending: dict[Lane, deque[_Write]] = {lane: deque() for lane in Lane}
        self._newest: deque[tuple[int, dict[bytes, bytes | None]]] = deque()
        """Writes of the wallet's lane that may be lost: when, and what was there before."""
        self._life = 0

    def read(self, lane: Lane) -> dict[bytes, bytes]:
        """What a process finds in a lane when it starts."""
        return dict(self._contents[lane])

    def read_range(
        self, lane: Lane, first: bytes, last: bytes, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """A part of a lane in the order of its keys, as `ports.store.RangeReader` has it."""
        values = self._contents[lane]
        keys = sorted(key for key in values if first <= key < last)
        return [(key, values[key]) for key in keys[:count_max]]

    def write(self, persist: Persist, on_durable: Callable[[Persist], None]) -> None:
        """Begin a write; `on_durable` is called when it is safe, unless the process dies first."""
        queue = self._pending[persist.lane]
        queue.append(_Write(persist, on_durable))
        if len(queue) == 1:
            self._begin(persist.lane)

    def hold(self, lane: Lane, action: Action) -> None:
        """Do `action` once all writes asked of the lane so far are durable; else at once."""
        queue = self._pending[lane]
        if queue:
            queue[-1].followers.append(action)
        else:
            action()

    def crash(self) -> None:
        """The process died; of each lane's unfinished writes some first ones may have passed."""
        self._life += 1
        for lane in Lane:
            queue = self._pending[lane]
            for _ in range(self._world.entropy.below(len(queue) + 1)):
                self._apply(queue.popleft().persist)
            queue.clear()

    def lose_newest(self) -> None:
        """The machine went down after the process: some last writes of one lane never were."""
        self._forget_safe()
        contents = self._contents[Lane.FEED]
        for _ in range(self._world.entropy.below(len(self._newest) + 1)):
            _, before = self._newest.pop()
            for key, value in before.items():
                _set(contents, key, value)
        self._newest.clear()

    def _begin(self, lane: Lane) -> None:
        life = self._life
        delay_us = 1 + self._world.entropy.below(max(1, self.delay_us))

        def finish() -> None:
            if life == self._life:
                self._finish(lane)

        self._world.after(delay_us, finish)

    def _finish(self, lane: Lane) -> None:
        queue = self._pending[lane]
        write = queue.popleft()
        self._apply(write.persist)
        if queue:
            self._begin(lane)
        # What waited was asked for earlier than anything the peer will answer to the news.
        for action in write.followers:
            action()
        write.on_durable(write.persist)

    def _apply(self, persist: Persist) -> None:
        contents = self._contents[persist.lane]
        if persist.lane is Lane.FEED:
            self._forget_safe()
            before = {key: contents.get(key) for key, _ in persist.changes}
            self._newest.append((self._world.now_us, before))
        for key, value in persist.changes:
            _set(contents, key, value)

    def _forget_safe(self) -> None:
        while self._newest and self._newest[0][0] < self._world.now_us - UNSAFE_US:
            self._newest.popleft()


def _set(contents: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        contents.pop(key, None)
    else:
        contents[key] = value
