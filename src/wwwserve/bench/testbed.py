"""What `bench gateway` measures: a mock engine, the pass-through, and two nodes in front of it."""

import asyncio
import json
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from wwwserve.bench.processes import Child

MODEL = "local/mock-model"
ENGINE_MODEL = "mock-model"
SETTLE_TRIES = 200
SETTLE_LOOK_S = 0.05
PAGE_WAIT_S = 10
_SLOTS = 4_096
MOCK_SETTINGS = ("engine.kind=openai", f"engine.slots={_SLOTS}")
"""Of a node in front of the mock engine."""
_CLI = ("-m", "wwwserve.cli")


class BenchFailed(Exception):
    """The testbed did not come up, so there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Target:
    """One way to the engine."""

    name: str
    url: str
    model: str
    headers: Mapping[str, str]
    processes: tuple[tuple[str, Mapping[str, str]], ...]
    """Where to read the processor time of each process on the way: URL and headers."""

    async def read_cpu_s(self) -> float:
        """Processor seconds used so far by everything between client and engine."""
        readings = [await get_json(url, headers) for url, headers in self.processes]
        return sum(float(str(reading["cpu_s"])) for reading in readings)


@dataclass(frozen=True, slots=True)
class Testbed:
    """The four ways to the same mock engine."""

    direct: Target
    pass_through: Target
    local: Target
    hop: Target

    @property
    def proxies(self) -> tuple[Target, Target, Target]:
        """All ways but the direct one."""
        return (self.pass_through, self.local, self.hop)


@asynccontextmanager
async def open_testbed() -> AsyncIterator[Testbed]:
    """Start everything, wait until it serves, and end it all afterwards."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wwwserve-bench-")))
        engine = await stack.enter_async_context(
            Child(("-m", "wwwserve.adapters.engines.mock_server", "--slots", str(_SLOTS)))
        )
        engine_url = str(engine.ready["url"])
        plain = await stack.enter_async_context(
            Child(("-m", "wwwserve.bench.pass_through", engine_url))
        )
        first = await start_node(stack, folder / "executor", engine_url, bootstrap=())
        second = await start_node(stack, folder / "origin", engine_url, bootstrap=first.links)
        testbed = _describe(engine_url, str(plain.ready["url"]), first, second)
        await wait_met(second)
        yield testbed


@dataclass(frozen=True, slots=True)
class Node:
    """A node process, and how to call it."""

    gateway: str
    admin: str
    admin_token: str
    links: tuple[str, ...]
    api_key: str

    @property
    def process_page(self) -> tuple[str, Mapping[str, str]]:
        """Where it tells what it has used of the machine."""
        return (f"{self.admin}/process", {"x-wwwserve-admin-token": self.admin_token})


async def start_node(
    stack: AsyncExitStack, home: Path, engine_url: str, *, bootstrap: tuple[str, ...]
) -> Node:
    """Make and start one node in front of the mock engine, on free ports."""
    return await launch_node(stack, home, engine_url, bootstrap=bootstrap, settings=MOCK_SETTINGS)


async def launch_node(
    stack: AsyncExitStack,
    home: Path,
    engine_url: str,
    *,
    bootstrap: tuple[str, ...],
    settings: tuple[str, ...] = (),
) -> Node:
    """Make and start one node on free ports, in front of an engine that takes what it can."""
    api_key = await make_home(home)
    entry = Entry(engine_url, bootstrap, settings)
    return await run_home(stack, home, api_key, entry)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a node of a bench is started with."""

    engine_url: str
    bootstrap: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


async def make_home(home: Path) -> str:
    """Make the state folder of a node; gives its API key."""
    made = await _run_json("init", "--home", str(home), "--json")
    return str(made["api_key"])


async def run_home(stack: AsyncExitStack, home: Path, api_key: str, entry: Entry) -> Node:
    """Start the node of a state folder on free ports."""
    chosen = (
        f"engine.url={entry.engine_url}",
        "gateway.port=0",
        "admin.port=0",
        "logs.level=warning",
        "links.listen=127.0.0.1:0",
        f"network.bootstrap={','.join(entry.bootstrap)}",
        f"policy.concurrent_max={_SLOTS}",
        f"policy.concurrent_per_peer_max={_SLOTS}",
        *entry.settings,
    )
    flags = [word for setting in chosen for word in ("--set", setting)]
    await stack.enter_async_context(
        Child((*_CLI, "up", "--home", str(home), "--json", "--stop-with-stdin", *flags))
    )
    running = json.loads((home / "run.json").read_bytes())
    return Node(
        gateway=running["gateway"],
        admin=running["admin"],
        admin_token=running["admin_token"],
        links=tuple(running["links"]),
        api_key=api_key,
    )


async def _run_json(*arguments: str) -> Mapping[str, object]:
    """Run one command of ours and read the object it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *_CLI, *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchFailed(f"`wwwserve {' '.join(arguments)}` failed")
    found: Mapping[str, object] = json.loads(output)
    return found


def _describe(engine_url: str, plain_url: str, executor: Node, origin: Node) -> Testbed:
    local = {"authorization": f"Bearer {executor.api_key}", "x-wwwserve-route": "local"}
    hop = {"authorization": f"Bearer {origin.api_key}", "x-wwwserve-route": "network"}
    here, there = executor.process_page, origin.process_page
    return Testbed(
        direct=Target("direct", engine_url, ENGINE_MODEL, {}, ()),
        pass_through=Target(
            "pass_through", plain_url, ENGINE_MODEL, {}, ((f"{plain_url}/process", {}),)
        ),
        local=Target("local", executor.gateway, MODEL, local, (here,)),
        hop=Target("hop", origin.gateway, MODEL, hop, (here, there)),
    )


async def wait_met(node: Node, others: int = 1) -> None:
    """Wait until a node knows so many others and their models."""
    page, headers = f"{node.admin}/status", dict(node.process_page[1])
    for _ in range(SETTLE_TRIES):
        status = await get_json(page, headers)
        members = status["members"]
        assert isinstance(members, list)
        if sum(bool(member["is_linked"] and member["models"]) for member in members) >= others:
            return
        await asyncio.sleep(SETTLE_LOOK_S)
    raise BenchFailed("the nodes did not meet")


async def get_json(url: str, headers: Mapping[str, str]) -> Mapping[str, object]:
    """Read one JSON page of a process on this machine."""
    found: Mapping[str, object] = json.loads(await get_text(url, headers))
    return found


async def get_text(url: str, headers: Mapping[str, str]) -> str:
    """Read one page of a process on this machine."""

    def fetch() -> bytes:
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=PAGE_WAIT_S) as answer:  # noqa: S310
            body: bytes = answer.read()
        return body

    return (await asyncio.to_thread(fetch)).decode()
