"""One stream of facts for whoever watches: log, admin, demo, tests."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from wwwserve.core.facts import Fact, FactsDropped
from wwwserve.values.limits import FACTS_QUEUED_MAX


class FactHub:
    """Hands each fact to every watcher; a slow watcher loses its oldest facts and is told so."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Fact], None]] = []

    def listen(self, listener: Callable[[Fact], None]) -> Callable[[], None]:
        """Call `listener` with each fact from now on; the answer ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, fact: Fact) -> None:
        """Pass a fact on."""
        for listener in self._listeners:
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

        unlisten = self.listen(on_fact)
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                if dropped:
                    count, dropped = dropped, 0
                    yield FactsDropped(count)
                while waiting:
                    yield waiting.popleft()
        finally:
            unlisten()
