"""One stream of facts for whoever watches: log, admin, demo, tests."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from wwwserve.core.facts import Fact, FactsDropped
from wwwserve.values.limits import FACTS_QUEUED_MAX

Listener = Callable[[Fact], None]


class FactHub:
    """Hands each fact to every listener and watcher.

    Listeners are called at once and miss nothing. A slow watcher loses its oldest facts; it is told
    so, and all listeners with it.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._watchers: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each fact from now on; the answer ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, fact: Fact) -> None:
        """Pass a fact on."""
        for listener in (*self._listeners, *self._watchers):
            listener(fact)

    async def watch(self) -> AsyncIterator[Fact]:
        """All facts from the first step of the iteration on, until it is closed."""
        waiting: deque[Fact] = deque(maxlen=FACTS_QUEUED_MAX)
        arrived = asyncio.Event()
        dropped = 0

        def on_fact(fact: Fact) -> None:
            nonlocal dropped
            dropped += len(waiting) == FACTS_QUEUED_MAX
            waiting.append(fact)
            arrived.set()

        self._watchers.append(on_fact)
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                if dropped:
                    loss, dropped = FactsDropped(dropped), 0
                    for listener in tuple(self._listeners):
                        listener(loss)
                    yield loss
                while waiting:
                    yield waiting.popleft()
        finally:
            self._watchers.remove(on_fact)
