"""A sequencer without a node: a chain on a real disk, its clock moved by hand."""

import asyncio
from collections.abc import Sequence
from time import thread_time_ns

from wwwserve.adapters.host import NodeKey
from wwwserve.core.chain import Chain, ChainEffect, ChainEvent, ChainTick, LedgerTold, Loaded
from wwwserve.core.effects import Persist
from wwwserve.core.events import Persisted
from wwwserve.ports.store import Store, StoreFailed
from wwwserve.values.moments import Moment, after
from wwwserve.wire.ledger import OpenedFeed


class LedgerHost:
    """Carries what a chain asks for: writes to the disk, and nobody to tell."""

    def __init__(self, loaded: Loaded, key: NodeKey, store: Store) -> None:
        self.chain = Chain(loaded, key, Moment(0))
        self.told: list[LedgerTold] = []
        self.calls_ns: list[int] = []
        """Processor time of each call of the chain, whatever else the machine did meanwhile."""
        self._now = Moment(0)
        self._store = store

    async def start(self) -> None:
        """Write the first state."""
        await self._carry(self.chain.start())

    def submit(self, feeds: Sequence[OpenedFeed]) -> None:
        """Have feed blocks ordered."""
        for opened in feeds:
            self.chain.submit(opened)

    async def close_block(self, wait_us: int) -> None:
        """Let so much time pass, and have the next block made, written and applied."""
        self._now = after(self._now, wait_us)
        count = len(self.told)
        while len(self.told) == count:
            await self._handle(ChainTick())

    async def _handle(self, event: ChainEvent) -> None:
        began_ns = thread_time_ns()
        effects = self.chain.handle(event, self._now)
        self.calls_ns.append(thread_time_ns() - began_ns)
        await self._carry(effects)

    async def _carry(self, effects: Sequence[ChainEffect]) -> None:
        for effect in effects:
            match effect:
                case Persist():
                    await self._write(effect)
                    await self._handle(Persisted(effect.lane, effect.number))
                case LedgerTold():
                    self.told.append(effect)
                case _:
                    pass

    async def _write(self, persist: Persist) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_durable(failure: StoreFailed | None) -> None:
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

        self._store.write(persist.lane, dict(persist.changes), on_durable)
        await done
