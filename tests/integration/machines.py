"""Machines of one local network: network namespaces on one bridge, each with at most one node.

Needs root, Linux and `ip`. Names have a random part, and only what was made here is ended. What a
node does is read from its log: nothing reaches into a namespace from outside.
"""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.islands import IP, find_obstacle
from tests.integration.network import CLI, end_process
from wwwserve.adapters.host import NodeKey
from wwwserve.cli.init import make_node
from wwwserve.node import StateFolder
from wwwserve.values.ids import node_prefix

CARD = "eth0"
LOOK_S = 0.05
WAIT_S = 60
"""Far above what it takes: a test that needs it all has failed."""
NOBODY = "http://127.0.0.1:9"
"""An engine that is not there: a node does without."""

Line = Mapping[str, Any]


def require_machines() -> None:
    """Skip where no namespaces can be made; in CI that is a failure, or nobody would notice."""
    if obstacle := find_obstacle():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(obstacle)


@dataclass(slots=True)
class Machine:
    """One namespace: a network card, and a node's folder."""

    name: str
    hub: str
    folder: Path
    stack: AsyncExitStack
    process: asyncio.subprocess.Process | None = None

    @property
    def home(self) -> StateFolder:
        """Of its node."""
        return StateFolder(self.folder / "home")

    @property
    def node(self) -> str:
        """The short name of its node."""
        return node_prefix(NodeKey.load(self.home.node_key_file).node_id)

    def plug(self, address: str = "") -> None:
        """Put a card into it and its cable into the bridge; without an address, IPv6 makes one."""
        end = f"{self.name}c"
        run_ip("-n", self.hub, "link", "add", end, "type", "veth", "peer", CARD, "netns", self.name)
        run_ip("-n", self.hub, "link", "set", end, "master", "bridge", "up")
        if address:
            self.add(address)
        run_ip("-n", self.name, "link", "set", CARD, "up")

    def unplug(self) -> None:
        """Take the card out."""
        run_ip("-n", self.name, "link", "del", CARD)

    def add(self, address: str) -> None:
        """Give its card an address (with the length of the prefix)."""
        run_ip("-n", self.name, "address", "add", address, "dev", CARD)

    def remove(self, address: str) -> None:
        """Take an address from its card."""
        run_ip("-n", self.name, "address", "del", address, "dev", CARD)

    async def start_node(self, *settings: str, on_lan: bool = True) -> None:
        """Start its node as `wwwserve init --lan` made it, and wait until it is ready."""
        make_node(self.home, NOBODY, on_lan=on_lan)
        flags = [word for one in ("logs.level=debug", *settings) for word in ("--set", one)]
        await self.start(*CLI, "up", "--home", str(self.home.path), "--json", *flags)
        await self.wait_line("node ready")

    async def start(self, *command: str) -> None:
        """Start a process in it that ends with its standard input. `ip` becomes that process."""
        pipe = asyncio.subprocess.PIPE
        place = (IP, "netns", "exec", self.name, *command)
        if command[: len(CLI)] == CLI:
            place = (*place, "--stop-with-stdin")
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *place, stdin=pipe, stdout=log, stderr=log
            )
        self.stack.push_async_callback(end_process, self.process)

    def read_all(self) -> list[Line]:
        """The lines its log has so far."""
        lines = (self.folder / "log").read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def read(self, event: str, **fields: object) -> list[Line]:
        """Those of one event with these fields."""
        wanted = {"event": event, **fields}
        return [
            line
            for line in self.read_all()
            if all(line.get(key) == value for key, value in wanted.items())
        ]

    async def wait_line(self, event: str, *, count: int = 1, **fields: object) -> Line:
        """Wait for the line of an event with these fields, or that many of them; the last one."""
        await self.wait(lambda: len(self.read(event, **fields)) >= count, event)
        return self.read(event, **fields)[count - 1]

    async def wait(self, is_met: Callable[[], bool], what: str) -> None:
        """Wait until something about it holds."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not is_met():  # noqa: ASYNC110 - a process
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            log = (self.folder / "log").read_text(encoding="utf-8")
            raise AssertionError(f"{what} did not happen on {self.name}:\n{log}") from None

    async def run(self, *command: str) -> Any:
        """Run a command of its node in it and give the JSON it prints."""
        process = await asyncio.create_subprocess_exec(
            *(IP, "netns", "exec", self.name, *CLI, *command, "--home", str(self.home.path)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return json.loads(output)

    def reload(self) -> None:
        """Have its node read its configuration again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End its node as `kill -9`."""
        assert self.process is not None
        self.process.kill()

    async def stop(self) -> None:
        """End its node in good order."""
        assert self.process is not None
        await end_process(self.process)


@dataclass(slots=True)
class Lan:
    """A bridge, and the machines that may be plugged into it."""

    hub: str
    folder: Path
    stack: AsyncExitStack
    count: int = 0

    def make_machine(self, address: str = "", *, is_plugged: bool = True) -> Machine:
        """A machine with loopback and, plugged in, one card."""
        self.count += 1
        name = f"{self.hub}{self.count}"
        run_ip("netns", "add", name)
        self.stack.callback(run_ip, "netns", "del", name)
        run_ip("-n", name, "link", "set", "lo", "up")
        folder = self.folder / name
        folder.mkdir()
        machine = Machine(name, self.hub, folder, self.stack)
        if is_plugged:
            machine.plug(address)
        return machine


@asynccontextmanager
async def open_lan(folder: Path) -> AsyncIterator[Lan]:
    """A local network without machines; everything on it is ended with it."""
    require_machines()
    hub = f"www{secrets.token_hex(3)}"
    async with AsyncExitStack() as stack:
        run_ip("netns", "add", hub)
        stack.callback(run_ip, "netns", "del", hub)
        # A new bridge would otherwise ask who wants to hear multicast before it passes any on.
        kind = ("type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
        run_ip("-n", hub, "link", "add", "bridge", *kind)
        run_ip("-n", hub, "link", "set", "bridge", "up")
        yield Lan(hub, folder, stack)


def run_ip(*arguments: str) -> None:
    """Run `ip`; raises with what it said."""
    done = subprocess.run((IP, *arguments), check=False, capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)


WATCH = (sys.executable, "-m", "tests.integration.lan_watch")
