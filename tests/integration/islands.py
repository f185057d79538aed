"""Two islands of real nodes: network namespaces joined by one cable that can be pulled out.

Each island is a machine of its own as far as the network goes: own loopback, own ports, one address
towards the other island. Needs root, Linux and `ip`. Names have a random part, and only what was
made here is ended: processes by their handles, namespaces by their names.
"""

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.network import CLI, MOCK, end_process
from wwwserve.adapters.host import NodeKey
from wwwserve.cli.init import make_node
from wwwserve.node import StateFolder
from wwwserve.values.ids import node_text

WATCH = (sys.executable, "-m", "tests.integration.member_watch")
IP = shutil.which("ip") or "/usr/sbin/ip"
START_WAIT_S = 90
"""Above what thirty interpreters take to start on two busy cores."""
_LINKS_PORT, _GATEWAY_PORT, _ADMIN_PORT = 7_000, 8_000, 9_000
"""Free for sure: an island's ports are its own."""


def find_obstacle() -> str:
    """Why no islands can be made here; empty if they can."""
    if not sys.platform.startswith("linux") or not Path(IP).exists():
        return "network namespaces need Linux and the command `ip`"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    probe = f"www-{secrets.token_hex(3)}"
    made = subprocess.run((IP, "netns", "add", probe), capture_output=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.decode().strip()}"
    subprocess.run((IP, "netns", "del", probe), check=True)
    return ""


@dataclass(slots=True)
class IslandNode:
    """One node process on an island."""

    name: str
    """Its printable id."""
    process: asyncio.subprocess.Process


@dataclass(slots=True)
class Island:
    """One namespace, its engine and its nodes."""

    namespace: str
    address: str
    cable: str
    """The island's end of the cable."""
    folder: Path
    stack: AsyncExitStack
    nodes: list[IslandNode] = field(default_factory=list)
    engine_url: str = ""

    @property
    def entry(self) -> str:
        """Where its first node accepts links."""
        return f"{self.address}:{_LINKS_PORT}"

    async def start_engine(self) -> None:
        """One mock engine for all nodes of the island."""
        _, ready = await self._start(MOCK)
        self.engine_url = str(ready["url"])

    async def start_node(self, bootstrap: Sequence[str]) -> None:
        """Start a node and wait until it is ready."""
        number = len(self.nodes)
        home = StateFolder(self.folder / f"node-{number}")
        make_node(home)
        name = node_text(NodeKey.load(home.node_key_file).node_id)
        settings = (
            f"engine.url={self.engine_url}",
            "engine.kind=openai",
            f"gateway.port={_GATEWAY_PORT + number}",
            f"admin.port={_ADMIN_PORT + number}",
            f"links.listen={self.address}:{_LINKS_PORT + number}",
            f"network.bootstrap={','.join(bootstrap)}",
        )
        flags = [word for setting in settings for word in ("--set", setting)]
        arguments = ("up", "--home", str(home.path), "--json", "--stop-with-stdin", *flags)
        self.nodes.append(IslandNode(name, await self._begin((*CLI, *arguments))))
        await _read_line(self.nodes[-1].process)

    async def start_watch(self) -> "Watch":
        """What every node of the island holds of every other, read from inside."""
        homes = [str(self.folder / f"node-{number}") for number in range(len(self.nodes))]
        process = await self._begin((*WATCH, *homes))
        return Watch(process)

    def read_sent_bytes(self) -> int:
        """What the open links of its nodes have carried away from here, TLS and all."""
        listing = subprocess.run(
            (IP, "netns", "exec", self.namespace, "ss", "-tinH"),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        total = 0
        for addresses, figures in zip(listing[::2], listing[1::2], strict=True):
            ports = [int(word.rpartition(":")[2]) for word in addresses.split()[3:5]]
            sent = re.search(r"bytes_sent:(\d+)", figures)
            if sent and any(_LINKS_PORT <= port < _GATEWAY_PORT for port in ports):
                total += int(sent[1])
        return total

    def pull_cable(self) -> None:
        """Nothing reaches the other island any more."""
        _run_ip("-n", self.namespace, "link", "set", self.cable, "down")

    def plug_cable(self) -> None:
        """As before `pull_cable`."""
        _run_ip("-n", self.namespace, "link", "set", self.cable, "up")

    async def _start(
        self, command: Sequence[str]
    ) -> tuple[asyncio.subprocess.Process, Mapping[str, object]]:
        process = await self._begin(command)
        return process, await _read_line(process)

    async def _begin(self, command: Sequence[str]) -> asyncio.subprocess.Process:
        """Start a process on the island. `ip` becomes it, so the handle is the process's own."""
        pipe = asyncio.subprocess.PIPE
        place = (IP, "netns", "exec", self.namespace)
        with (self.folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *place, *command, stdin=pipe, stdout=pipe, stderr=log
            )
        self.stack.push_async_callback(end_process, process)
        return process


@dataclass(frozen=True, slots=True)
class Watch:
    """A process that asks all nodes of an island at once."""

    process: asyncio.subprocess.Process

    async def look(self) -> Mapping[str, Mapping[str, str]]:
        """For each node that answers, the status it holds of each other."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        found: Mapping[str, Mapping[str, str]] = await _read_line(self.process)
        return found


@asynccontextmanager
async def open_islands(folder: Path) -> AsyncIterator[tuple[Island, Island]]:
    """Two joined islands without nodes; everything on them is ended with them."""
    mark = secrets.token_hex(3)
    cables = (f"www{mark}a", f"www{mark}b")
    async with AsyncExitStack() as stack:
        islands = []
        for number, cable in enumerate(cables, start=1):
            namespace = f"www-{mark}-{number}"
            _run_ip("netns", "add", namespace)
            stack.callback(_run_ip, "netns", "del", namespace)
            _run_ip("-n", namespace, "link", "set", "lo", "up")
            home = folder / namespace
            home.mkdir()
            islands.append(Island(namespace, f"10.77.0.{number}", cable, home, stack))
        one, other = islands
        ends = (one.cable, "netns", one.namespace, "type", "veth")
        _run_ip("link", "add", *ends, "peer", "name", other.cable, "netns", other.namespace)
        for island in islands:
            network = f"{island.address}/24"
            _run_ip("-n", island.namespace, "address", "add", network, "dev", island.cable)
            island.plug_cable()
        yield one, other


async def _read_line(process: asyncio.subprocess.Process) -> dict[str, dict[str, str]]:
    assert process.stdout is not None
    async with asyncio.timeout(START_WAIT_S):
        line = await process.stdout.readline()
    found: dict[str, dict[str, str]] = json.loads(line)
    return found


def _run_ip(*arguments: str) -> None:
    subprocess.run((IP, *arguments), check=True, capture_output=True)
