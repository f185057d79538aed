"""The machine is looked at while the policy asks for it, and not otherwise.

The pretend machine tells when it was read; the watch's pause between looks is cut to nothing.
"""

import asyncio

import pytest

from wwwserve.core.events import Event, MachineRead
from wwwserve.node import Config, machine_watch
from wwwserve.node.config import PolicyConfig
from wwwserve.node.machine_watch import MachineWatch

WAIT_S = 30
"""Far above what it takes."""


class Machine:
    """Says nothing at first, then what it is told to say."""

    def __init__(self) -> None:
        self.looks = 0

    def read_busy_permille(self) -> int | None:
        self.looks += 1
        return None if self.looks == 1 else 100 * self.looks


class Peer:
    """Hears what the watch tells."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Event] = asyncio.Queue()

    async def hear(self) -> Event:
        async with asyncio.timeout(WAIT_S):
            return await self.heard.get()


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_watch, "READ_PERIOD_S", 0)


async def test_it_looks_while_the_policy_asks() -> None:
    machine, peer = Machine(), Peer()
    watch = MachineWatch(machine, peer.heard.put_nowait, is_wanted=False)
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(0)
    assert machine.looks == 0
    watch.follow(Config(policy=PolicyConfig(idle_only=True)))
    assert await peer.hear() == MachineRead(200)
    assert await peer.hear() == MachineRead(300)
    watch.follow(Config())
    async with asyncio.timeout(WAIT_S):
        # Whoever has begun to look may still tell it.
        while (looks := machine.looks) != await look_again(machine):
            assert looks
    running.cancel()


async def look_again(machine: Machine) -> int:
    """How often it was looked at, once whatever was under way is over."""
    for _ in range(3):
        await asyncio.to_thread(lambda: None)
    return machine.looks
