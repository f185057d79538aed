"""Real node processes on loopback, each in front of its own mock engine process, for tests."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import aiohttp

from wwwserve.node.state_folder import StateFolder

CLI = (sys.executable, "-m", "wwwserve.cli")
MOCK = (sys.executable, "-m", "wwwserve.adapters.engines.mock_server")
MODEL = "local/mock-model"
START_WAIT_S = 60
STOP_WAIT_S = 40
LOOK_S = 0.05
MEET_WAIT_S = 30
"""Far above what it takes: a test that needs it all has failed."""


@dataclass(slots=True)
class MockEngine:
    """One mock engine process."""

    process: asyncio.subprocess.Process
    url: str

    async def read_state(self) -> Mapping[str, Any]:
        """What it has been asked to do so far."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/mock/state") as page,
        ):
            state: Mapping[str, Any] = await page.json()
        return state


@dataclass(slots=True)
class RunningNode:
    """One node process and how to reach it."""

    process: asyncio.subprocess.Process
    home: Path
    node: str
    gateway: str
    admin: str
    admin_token: str
    links: tuple[str, ...]
    api_key: str
    engine: MockEngine

    @property
    def base_url(self) -> str:
        """What an OpenAI client is pointed at."""
        return f"{self.gateway}/v1"

    @property
    def headers(self) -> Mapping[str, str]:
        """What a raw HTTP client sends."""
        return {"authorization": f"Bearer {self.api_key}"}

    async def get(self, page: str) -> Any:
        """Read one page of its operator's API."""
        headers = {"x-wwwserve-admin-token": self.admin_token}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.admin}{page}") as answer,
        ):
            return await answer.json()

    async def wait_status(self, is_met: Callable[[Any], bool]) -> Any:
        """Its status page, once it satisfies a condition."""
        async with asyncio.timeout(MEET_WAIT_S):
            while not is_met(status := await self.get("/status")):  # noqa: ASYNC110 - a process
                await asyncio.sleep(LOOK_S)
        return status

    def read_log(self) -> list[Any]:
        """The lines it has logged so far; another form than JSON fails."""
        return [json.loads(line) for line in (self.home / "log").read_bytes().splitlines()]

    def kill(self) -> None:
        """As `kill -9`."""
        self.process.kill()


class Network:
    """Starts engines and nodes, and ends whatever still runs."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.nodes: list[RunningNode] = []
        self.homes: dict[Path, None] = {}
        """Of all nodes that ever ran, but for those whose log a test has damaged."""

    async def start_engine(self, *flags: str) -> MockEngine:
        """A mock engine process; `flags` are those of `mock_server`."""
        process, ready = await self._start(*MOCK, *flags)
        return MockEngine(process, str(ready["url"]))

    async def start_node(self, *settings: str, engine: MockEngine | None = None) -> RunningNode:
        """A new node that has met the first one; `settings` are `section.key=value`."""
        home = self._folder / f"node-{len(self.nodes)}"
        made = await run_json("init", "--home", str(home), "--json")
        node = await self.start_node_again(
            home, str(made["api_key"]), *settings, engine=engine or await self.start_engine()
        )
        self.nodes.append(node)
        return node

    async def start_node_again(
        self, home: Path, api_key: str, *settings: str, engine: MockEngine
    ) -> RunningNode:
        """Start the node of an existing state folder."""
        self.homes[home] = None
        bootstrap = ",".join(self.nodes[0].links) if self.nodes else ""
        chosen = (
            f"engine.url={engine.url}",
            "gateway.port=0",
            "admin.port=0",
            "links.listen=127.0.0.1:0",
            f"network.bootstrap={bootstrap}",
            *settings,
        )
        flags = [word for setting in chosen for word in ("--set", setting)]
        with (home / "log").open("ab") as log:
            process, ready = await self._start(
                *(*CLI, "up", "--home", str(home), "--json", "--stop-with-stdin", *flags),
                errors=log,
            )
        running = json.loads((home / "run.json").read_bytes())
        return RunningNode(
            process=process,
            home=home,
            node=str(ready["node"]),
            gateway=running["gateway"],
            admin=running["admin"],
            admin_token=running["admin_token"],
            links=tuple(running["links"]),
            api_key=api_key,
            engine=engine,
        )

    async def _start(
        self, *command: str, errors: IO[bytes] | None = None
    ) -> tuple[asyncio.subprocess.Process, Mapping[str, object]]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=errors
        )
        self._stack.push_async_callback(end_process, process)
        assert process.stdout is not None
        async with asyncio.timeout(START_WAIT_S):
            line = await process.stdout.readline()
        ready: Mapping[str, object] = json.loads(line)
        return process, ready


async def end_process(process: asyncio.subprocess.Process) -> None:
    """End a child by closing its standard input, or by force if that is not enough."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_WAIT_S):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise


async def run_json(*arguments: str) -> Mapping[str, object]:
    """Run one command and read the object it prints."""
    process = await asyncio.create_subprocess_exec(*CLI, *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, arguments
    found: Mapping[str, object] = json.loads(output)
    return found


async def audit(home: Path) -> Any:
    """What a third party finds in the log of a node, running or not; fails if it breaks a rule."""
    file = home / "ledger.export"
    await run_json("ledger", "export", str(file), "--home", str(home), "--json")
    totals: Any = await run_json("ledger", "audit", str(file), "--json")
    parts = ("free", "staked", "unbonding", "held", "pool")
    assert totals["supply"] == sum(totals[part] for part in parts)
    return totals


@asynccontextmanager
async def open_network(folder: Path) -> AsyncIterator[Network]:
    """An empty network; everything started in it is ended with it, and every log is audited."""
    async with AsyncExitStack() as stack:
        network = Network(folder, stack)
        yield network
    for home in network.homes:
        if StateFolder(home).genesis_file.exists():
            await audit(home)


def knows(count: int) -> Callable[[Any], bool]:
    """Whether a status page shows so many linked, living others that serve a model."""

    def is_met(status: Any) -> bool:
        ready = [
            member
            for member in status["members"]
            if member["status"] == "alive" and member["is_linked"] and member["models"]
        ]
        return len(ready) >= count

    return is_met
