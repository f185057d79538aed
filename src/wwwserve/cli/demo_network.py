"""Several real nodes on this machine, each a process of its own, made and taken down together.

Every node is what an operator would run: `wwwserve up` on a state folder. The processes end when
their standard input closes, so however the demo ends (even by `kill -9`), they end too.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from wwwserve.cli.admin_client import AdminClient
from wwwserve.cli.demo_credits import begin_ledger
from wwwserve.cli.demo_engines import DemoEngine, EngineName, open_engines
from wwwserve.cli.init import make_node
from wwwserve.cli.terminal import CommandFailed
from wwwserve.node import RunInfo, StateFolder

START_WAIT_SECONDS = 120
"""A model loads within a second or two; a machine this slow is not going to make it."""
MEET_WAIT_SECONDS = 60
LOOK_SECONDS = 0.2
"""How often the nodes are asked whom they know, while they are meeting."""
END_WAIT_SECONDS = 8
"""For a node to end in good order, then again after it was told to be quick; then it is killed."""
_LOOPBACK = "127.0.0.1"
_ERROR_BYTES_SHOWN = 2_000
_LINE_BYTES_MAX = 1024 * 1024


class _ReadyLine(msgspec.Struct):
    """The first line of `wwwserve up --json`."""

    models: tuple[str, ...]


@dataclass(slots=True)
class DemoNode:
    """One running node of the demo."""

    folder: StateFolder
    process: asyncio.subprocess.Process
    info: RunInfo
    models: tuple[str, ...]
    engine: str
    """What is behind it, for people."""
    admin: AdminClient


@dataclass(frozen=True, slots=True)
class DemoNetwork:
    """All nodes of the demo, and a key that is good at each of their gateways."""

    nodes: tuple[DemoNode, ...]
    api_key: str


@asynccontextmanager
async def open_network(
    count: int, engine: EngineName, *, on_start: Callable[[int], None]
) -> AsyncIterator[DemoNetwork]:
    """Start `count` nodes that do not know each other yet; take all of it down at the end.

    `on_start` hears how many are up. Raises `CommandFailed` with a node's own words if one does
    not start.
    """
    async with AsyncExitStack() as stack:
        place = stack.enter_context(TemporaryDirectory(prefix="wwwserve-demo-"))
        folders = [StateFolder(Path(place) / f"node-{number}") for number in range(1, count + 1)]
        api_key = make_node(folders[0]).api_key
        assert api_key is not None, "the folder is new"
        for folder in folders[1:]:
            folder.create()
            # One key for the whole demo; only its hash is in the file.
            shutil.copy(folders[0].api_keys_file, folder.api_keys_file)
            make_node(folder)
        begin_ledger(folders)
        engines = await open_engines(stack, engine, count)
        processes: list[asyncio.subprocess.Process] = []
        stack.push_async_callback(_end_all, processes)
        for folder, one in zip(folders, engines, strict=True):
            processes.append(await _spawn(stack, folder, one))
        nodes: list[DemoNode] = []
        for folder, process, one in zip(folders, processes, engines, strict=True):
            nodes.append(await _wait_ready(stack, folder, process, one))
            on_start(len(nodes))
        yield DemoNetwork(tuple(nodes), api_key)


async def join_all(network: DemoNetwork, on_meeting: Callable[[Sequence[int]], None]) -> None:
    """Join every node to the first by its invite, and wait until all know all.

    `on_meeting` hears, for each node, how many others it sees. Raises `CommandFailed` if they do
    not find each other in time.
    """
    first, *others = network.nodes
    ticket = (await first.admin.post("/invite"))["ticket"]
    for node in others:
        await node.admin.post("/join", {"ticket": ticket})
    try:
        async with asyncio.timeout(MEET_WAIT_SECONDS):
            while True:
                seen = [await _count_alive(node.admin) for node in network.nodes]
                on_meeting(seen)
                if min(seen) >= len(network.nodes) - 1:
                    return
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError as error:
        raise CommandFailed(
            f"the nodes did not all find each other within {MEET_WAIT_SECONDS} s",
            "run the demo again with fewer --nodes; this machine may be too busy",
        ) from error


async def _count_alive(admin: AdminClient) -> int:
    peers = (await admin.get("/peers"))["peers"]
    assert isinstance(peers, list)
    return sum(peer["status"] == "alive" for peer in peers)


async def _spawn(
    stack: AsyncExitStack, folder: StateFolder, engine: DemoEngine
) -> asyncio.subprocess.Process:
    errors = stack.enter_context(_error_file(folder).open("wb"))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wwwserve.cli", "up", "--home", str(folder.path)),
        *("--json", "--stop-with-stdin"),
        *_list_settings(engine),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        limit=_LINE_BYTES_MAX,
        # Ctrl-C in the terminal is for the demo, which then takes its nodes down in order.
        start_new_session=True,
    )


def _list_settings(engine: DemoEngine) -> list[str]:
    settings = {
        "gateway.port": 0,
        "admin.port": 0,
        "links.listen": f"{_LOOPBACK}:0",
        **{f"engine.{key}": value for key, value in engine.settings.items()},
    }
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


async def _wait_ready(
    stack: AsyncExitStack,
    folder: StateFolder,
    process: asyncio.subprocess.Process,
    engine: DemoEngine,
) -> DemoNode:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_WAIT_SECONDS):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    info = folder.read_run_info()
    if not line or info is None:
        raise CommandFailed(
            f"a node did not start: {_read_errors(folder)}", "wwwserve engine fetch, then again"
        )
    models = msgspec.json.decode(line, type=_ReadyLine).models
    admin = await stack.enter_async_context(AdminClient(info))
    return DemoNode(folder, process, info, models, engine.label, admin)


def _error_file(folder: StateFolder) -> Path:
    return folder.path / "errors.log"


def _read_errors(folder: StateFolder) -> str:
    text = _error_file(folder).read_bytes()[-_ERROR_BYTES_SHOWN:].decode(errors="replace")
    return text.strip() or "it said nothing"


async def _end_all(processes: Sequence[asyncio.subprocess.Process]) -> None:
    await asyncio.gather(*(_end(process) for process in processes))


async def _end(process: asyncio.subprocess.Process) -> None:
    """End one node: ask, insist, and in the end do not ask."""
    assert process.stdin is not None
    process.stdin.close()
    for insist in (process.terminate, process.kill):
        try:
            async with asyncio.timeout(END_WAIT_SECONDS):
                await process.wait()
        except TimeoutError:
            insist()
        else:
            return
    await process.wait()
