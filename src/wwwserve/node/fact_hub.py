"""One stream of facts for whoever watches: log, admin, demo, tests."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from wwwserve.core.facts import Fact, FactsDropped
from wwwserve.values.limits import FACTS_QUEUED_MAX

Listener = Callable[[Fact], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Listening:
    """Somebody who listens, and to what."""

    listener: Listener
    kinds: tuple[type, ...]
    """Empty: to everything."""


class FactHub:
    """Hands each fact to every listener and watcher.

    Listeners are called at once and miss nothing. A slow watcher loses its oldest facts; it is told
    so, and all listeners with it.
    """

    def __init__(self) -> None:
        self._listeners: list[_Listening] = []
        self._watchers: list[Listener] = []
        self._routes: dict[type, tuple[Listener, ...]] = {}
        """Who hears of each kind, found once: a request is told of in several facts."""

    def listen(self, listener: Listener, kinds: tuple[type, ...] = ()) -> Callable[[], None]:
        """Call `listener` with each fact (of these kinds, if any are named); the answer ends it."""
        listening = _Listening(listener, kinds)
        self._listeners.append(listening)
        self._routes.clear()

        def end() -> None:
            self._listeners.remove(listening)
            self._routes.clear()

        return end

    def tell(self, fact: Fact) -> None:
        """Pass a fact on."""
        kind = type(fact)
        route = self._routes.get(kind)
        if route is None:
            route = self._routes[kind] = (*self._find_listeners(kind), *self._watchers)
        for listener in route:
            listener(fact)

    def _find_listeners(self, kind: type) -> tuple[Listener, ...]:
        return tuple(one.listener for one in self._listeners if not one.kinds or kind in one.kinds)

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
        self._routes.clear()
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                if dropped:
                    loss, dropped = FactsDropped(dropped), 0
                    for listener in self._find_listeners(FactsDropped):
                        listener(loss)
                    yield loss
                while waiting:
                    yield waiting.popleft()
        finally:
            self._watchers.remove(on_fact)
            self._routes.clear()
