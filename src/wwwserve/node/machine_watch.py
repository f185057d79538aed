"""Telling the peer how busy this machine is, for a provider who shares it only while it is idle."""

import asyncio
from collections.abc import Callable
from typing import Final

from wwwserve.core.events import Event, MachineRead
from wwwserve.node.config import Config
from wwwserve.ports.machine import ReadsMachine

READ_PERIOD_S: Final = 5
"""How often it is looked, where the policy asks at all; a reading costs a few milliseconds."""


class MachineWatch:
    """Looks at the machine while the policy says `idle_only`."""

    def __init__(
        self, machine: ReadsMachine, deliver: Callable[[Event], None], *, is_wanted: bool
    ) -> None:
        self._machine = machine
        self._deliver = deliver
        self._wanted = asyncio.Event()
        self._set(is_wanted=is_wanted)

    def follow(self, config: Config) -> None:
        """From now on this configuration holds."""
        self._set(is_wanted=config.policy.idle_only)

    async def run(self) -> None:
        """Look, as long as it is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            busy_permille = await asyncio.to_thread(self._machine.read_busy_permille)
            if busy_permille is not None:
                self._deliver(MachineRead(busy_permille))
            await asyncio.sleep(READ_PERIOD_S)

    def _set(self, *, is_wanted: bool) -> None:
        if is_wanted:
            self._wanted.set()
        else:
            self._wanted.clear()
