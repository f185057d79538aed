"""Nodes of one process for tests: real peers, joined by loopback links, before mock engines."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from wwwserve.adapters.engines import MockEngineServer, MockSettings
from wwwserve.adapters.host import NodeKey
from wwwserve.adapters.storage import MemoryStore, write_export
from wwwserve.adapters.transports import LoopbackNetwork, LoopbackTransport
from wwwserve.cli.ledger import check_export
from wwwserve.core.chain import Export, begin_chain
from wwwserve.core.sessions import Route
from wwwserve.node.assemble import Parts, connect
from wwwserve.node.config import (
    Config,
    EngineConfig,
    EngineKind,
    LinksConfig,
    NetworkConfig,
    PolicyConfig,
)
from wwwserve.node.engine_table import EngineTable
from wwwserve.node.engines import open_engine
from wwwserve.node.ledger_home import HomeLedger, make_reader
from wwwserve.node.living import Node
from wwwserve.node.setup_parts import make_parameters
from wwwserve.ports.peer_handle import Reply, UserRequest
from wwwserve.values.parameters import compute_network_id
from wwwserve.wire import Endpoint
from wwwserve.wire.ledger import Genesis, compute_genesis_id

if TYPE_CHECKING:
    from wwwserve.core.facts import Fact

PUBLIC = "my-model"
SLOTS = 4
READ_WAIT_S = 30
"""Far above what it takes: a test that needs it all has failed."""


class World:
    """Nodes of one loopback network, each with its mock engine and all facts it told."""

    def __init__(
        self, stack: AsyncExitStack, tasks: asyncio.TaskGroup, genesis: Genesis | None
    ) -> None:
        self._stack = stack
        self._genesis = genesis
        self._tasks = tasks
        self.network = LoopbackNetwork()
        self.nodes: list[Node] = []
        self.engines: list[MockEngineServer] = []
        self.facts: list[list[Fact]] = []

    async def add(self, **engine: Any) -> Node:
        """A node that has met all before it."""
        mock = await self._stack.enter_async_context(MockEngineServer(MockSettings(**engine)))
        bootstrap = tuple(node.handle.get_snapshot().record.addresses[0] for node in self.nodes[:1])
        config = Config(
            network=NetworkConfig(bootstrap=bootstrap),
            links=LinksConfig(listen="127.0.0.1:0"),
            engines=(EngineConfig(url=mock.url, kind=EngineKind.OPENAI, slots=SLOTS),),
            policy=PolicyConfig(target_utilisation=1.0),
        )
        key = get_node_key(len(self.nodes) + 1)
        network_id = compute_network_id(make_parameters(config))
        ledger = None
        if self._genesis is not None:
            network_id = compute_genesis_id(self._genesis)
            ledger = HomeLedger(network_id, begin_chain(self._genesis))
        transport = LoopbackTransport(self.network, key.node_id, network_id)
        self._stack.push_async_callback(transport.close)
        opened = EngineTable()
        self._stack.push_async_callback(opened.close)
        opened.put(open_engine(config.engines[0]))
        parts = Parts(key, MemoryStore(), transport, opened, ledger)
        node = await connect(config, parts, self._tasks, asyncio.Event())
        told: list[Fact] = []
        node.carrier.facts.listen(told.append)
        node.start()
        await node.engines.wait_known()
        self.nodes.append(node)
        self.engines.append(mock)
        self.facts.append(told)
        await self._meet()
        return node

    async def _meet(self) -> None:
        async with asyncio.timeout(20):
            await wait_until(lambda: all(self._knows_all(node) for node in self.nodes))

    def _knows_all(self, node: Node) -> bool:
        members = node.handle.get_snapshot().members
        ready = [one for one in members if one.is_linked and one.record.models]
        return len(ready) == len(self.nodes) - 1


def get_node_key(number: int) -> NodeKey:
    """The key of the node that is added so many-th."""
    return NodeKey(bytes([number]) * 32)


@asynccontextmanager
async def open_world(genesis: Genesis | None = None) -> AsyncIterator[World]:
    """A network; with a genesis, whose sequencer is its first node, one that pays.

    Every log is audited when it ends.
    """
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        opened = World(stack, tasks, genesis)
        yield opened
        for node in opened.nodes:
            node.end()
    if genesis is not None:
        for node in opened.nodes:
            audit(node, genesis)


def audit(node: Node, genesis: Genesis) -> None:
    """What a third party finds in the log of a node; fails if it breaks a rule."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "export"
        written = Export(make_reader(node.carrier.mail.store))
        write_export(file, written.list_records(), written.make_end)
        assert check_export(file).supply == genesis.supply


def submit(
    node: Node,
    *,
    route: Route = Route.AUTO,
    is_streamed: bool = True,
    public_model: str = PUBLIC,
    **mock: Any,
) -> Reply:
    """A chat request whose engine behaves as `mock` says."""
    found = node.handle.find_models("mock-model")
    body = {
        "model": PUBLIC,
        "messages": [{"role": "user", "content": "Hello"}],
        "mock": mock,
        "x-wwwserve-route": route.value,
    }
    return node.handle.submit(
        UserRequest(
            endpoint=Endpoint.CHAT,
            models=found.models,
            public_model=public_model,
            body=json.dumps(body).encode(),
            prompt_tokens=5,
            is_streamed=is_streamed,
            route=route,
        )
    )


async def read_all(reply: Reply) -> bytes:
    """Everything a reply has to give."""
    pieces: list[bytes] = []
    await read_into(pieces, reply)
    return b"".join(pieces)


async def read_into(pieces: list[bytes], reply: Reply) -> None:
    """Read a reply to its end, keeping what came before a failure."""
    async with asyncio.timeout(READ_WAIT_S):
        while (piece := await reply.read()) is not None:
            pieces.append(piece)


async def wait_until(is_met: Callable[[], bool]) -> None:
    """Give everything its turn until a condition holds."""
    async with asyncio.timeout(READ_WAIT_S):
        while not is_met():  # noqa: ASYNC110 - a condition on other tasks, not an event of ours
            await asyncio.sleep(0.005)


def get_text(events: bytes) -> str:
    """What the model said in a whole stream, which must end with `[DONE]`."""
    payloads = [line[6:] for line in events.decode().splitlines() if line.startswith("data: ")]
    assert payloads[-1] == "[DONE]"
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    assert {chunk["model"] for chunk in chunks} == {PUBLIC}
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )
