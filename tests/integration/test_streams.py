"""The data plane carries every answer whole, or fails it honestly: here, and over a hop.

Two or three nodes in this process, with their real peers, joined by loopback links, each in front
of a mock engine that fails as a test wishes (`mock_course`).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from wwwserve.adapters.engines import MockEngineServer, MockSettings
from wwwserve.adapters.host import NodeKey
from wwwserve.adapters.storage import MemoryStore
from wwwserve.adapters.transports import LoopbackNetwork, LoopbackTransport
from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.facts import AttemptFailed, Fact, RequestFinished, WorkFinished
from wwwserve.core.sessions import Route
from wwwserve.node.assemble import Node, Parts, connect
from wwwserve.node.config import (
    Config,
    EngineConfig,
    EngineKind,
    LinksConfig,
    NetworkConfig,
    PolicyConfig,
)
from wwwserve.node.engines import open_engine
from wwwserve.node.setup_parts import make_parameters
from wwwserve.ports.peer_handle import Reply, RequestFailed, UserRequest
from wwwserve.values.parameters import compute_network_id
from wwwserve.wire import Endpoint

PUBLIC = "my-model"
SLOTS = 4
READ_WAIT_S = 30
"""Far above what it takes: a test that needs it all has failed."""


class World:
    """Nodes of one loopback network, each with its mock engine and all facts it told."""

    def __init__(self, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        self._stack = stack
        self._tasks = tasks
        self._network = LoopbackNetwork()
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
            engine=EngineConfig(url=mock.url, kind=EngineKind.OPENAI, slots=SLOTS),
            policy=PolicyConfig(target_utilisation=1.0),
        )
        key = NodeKey(bytes([len(self.nodes) + 1]) * 32)
        network_id = compute_network_id(make_parameters(config))
        transport = LoopbackTransport(self._network, key.node_id, network_id)
        self._stack.push_async_callback(transport.close)
        opened = open_engine(config.engine)
        self._stack.push_async_callback(opened.close)
        parts = Parts(key, MemoryStore(), transport, {config.engine.name: opened})
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


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        opened = World(stack, tasks)
        yield opened
        for node in opened.nodes:
            node.end()


def submit(
    node: Node, *, route: Route = Route.AUTO, is_streamed: bool = True, **mock: Any
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
            public_model=PUBLIC,
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


def list_finished(world: World, index: int) -> list[RequestFinished]:
    return [fact for fact in world.facts[index] if isinstance(fact, RequestFinished)]


async def test_an_answer_is_the_same_here_and_over_a_hop(world: World) -> None:
    await world.add()
    node = await world.add()
    texts = [
        get_text(await read_all(submit(node, route=route, tokens=9)))
        for route in (Route.LOCAL, Route.NETWORK)
    ]
    assert texts[0] == texts[1] != ""
    here, there = list_finished(world, 1)
    assert (here.executor, there.executor) == tuple(
        one.handle.node_id for one in reversed(world.nodes)
    )
    assert (here.completion_tokens, there.completion_tokens) == (9, 9)


async def test_a_user_who_wants_no_stream_gets_one_body(world: World) -> None:
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = submit(node, route=route, is_streamed=False, tokens=4)
        body = json.loads(await read_all(reply))
        assert body["object"] == "chat.completion"
        assert body["model"] == PUBLIC
        assert body["usage"]["completion_tokens"] == 4
        assert reply.info.usage is not None
        assert reply.info.usage.completion_tokens == 4


async def test_our_own_fields_and_the_users_name_never_reach_an_engine(world: World) -> None:
    await world.add()
    node = await world.add()
    reply = submit(node, route=Route.NETWORK, is_streamed=False, tokens=1)
    body = (await read_all(reply)).decode()
    assert "x-wwwserve-route" not in body, "the mock repeats every field it does not know"


@pytest.mark.parametrize("failure", ["before", "status:500", "drop", "garbage", "error_event"])
async def test_a_failure_before_the_first_word_is_made_good_elsewhere(
    world: World, failure: str
) -> None:
    # The first node's engine fails every request, the second's none.
    await world.add(fail=failure)
    await world.add()
    node = world.nodes[0]
    assert get_text(await read_all(submit(node, tokens=3))) != ""
    (finished,) = list_finished(world, 0)
    assert finished.error == ""
    assert finished.executor == world.nodes[1].handle.node_id
    assert any(isinstance(fact, AttemptFailed) for fact in world.facts[0])


async def test_a_failure_within_the_answer_is_told_and_never_passed_off_as_an_end(
    world: World,
) -> None:
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = submit(node, route=route, tokens=9, fail="after:3")
        got: list[bytes] = []
        with pytest.raises(RequestFailed) as caught:
            await read_into(got, reply)
        assert caught.value.code is RequestErrorCode.FAILED
        assert b"[DONE]" not in b"".join(got)
        assert b"".join(got).count(b'"content"') >= 3


async def test_what_the_engine_rejects_reaches_the_user_in_its_words(world: World) -> None:
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = submit(node, route=route, fail="status:422")
        with pytest.raises(RequestFailed) as caught:
            await reply.read()
        assert caught.value.code is RequestErrorCode.REJECTED
        assert caught.value.status == 422
        assert json.loads(caught.value.body)["error"]["message"]
        assert reply.info.attempts == 1, "nobody else is bothered with a wrong request"


async def test_a_body_that_cannot_be_read_ends_its_own_request_and_nothing_else(
    world: World,
) -> None:
    # Nested so deep that whether a decoder can read it depends on where it is called from.
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = node.handle.submit(
            UserRequest(
                endpoint=Endpoint.CHAT,
                models=node.handle.find_models("mock-model").models,
                public_model=PUBLIC,
                body=b'{"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
                prompt_tokens=5,
                route=route,
            )
        )
        with pytest.raises(RequestFailed) as caught:
            await reply.read()
        assert caught.value.code is RequestErrorCode.REJECTED
        assert get_text(await read_all(submit(node, route=route, tokens=3))) != ""


async def test_a_user_who_leaves_frees_both_nodes(world: World) -> None:
    await world.add()
    node = await world.add()
    reply = submit(node, route=Route.NETWORK, tokens=10_000, pace_us=5_000)
    await reply.read()
    assert world.engines[0].counts.running == 1
    reply.cancel()
    reply.cancel()
    executor, engine = world.nodes[0], world.engines[0]
    async with asyncio.timeout(1):
        await wait_until(lambda: not engine.counts.running and not executor.carrier.works.count)
    assert node.carrier.replies.count == 0
    (finished,) = list_finished(world, 1)
    assert finished.error == RequestErrorCode.CANCELLED.value
    with pytest.raises(RequestFailed):
        await reply.read()


async def test_a_lost_link_before_the_first_word_is_made_good_elsewhere(world: World) -> None:
    await world.add(first_token_us=60_000_000)
    node = await world.add()
    reply = submit(node, route=Route.NETWORK)
    reading = asyncio.create_task(read_all(reply))
    await wait_until(lambda: world.engines[0].counts.running > 0)
    await world.add()
    await world.nodes[0].carrier.links.transport.close()
    assert get_text(await reading) != ""
    assert reply.info.executor == world.nodes[2].handle.node_id


async def test_requests_wait_their_turn_and_none_is_lost_when_all_are_busy(world: World) -> None:
    await world.add(pace_us=2_000, tokens=5)
    node = await world.add(pace_us=2_000, tokens=5)
    replies = [submit(node) for _ in range(10 * SLOTS)]
    answers = await asyncio.gather(*(read_all(reply) for reply in replies))
    assert all(get_text(answer) for answer in answers)
    assert {reply.info.executor for reply in replies} == {one.handle.node_id for one in world.nodes}
    assert all(engine.counts.cancelled == 0 for engine in world.engines)
    works = [fact for fact in world.facts[0] if isinstance(fact, WorkFinished)]
    assert works
    assert all(work.error == "" for work in works)


async def test_embeddings_come_whole_from_wherever_they_are_made(world: World) -> None:
    await world.add()
    node = await world.add()
    found = node.handle.find_models("mock-model")
    for route in (Route.LOCAL, Route.NETWORK):
        reply = node.handle.submit(
            UserRequest(
                endpoint=Endpoint.EMBEDDINGS,
                models=found.models,
                public_model=PUBLIC,
                body=json.dumps({"model": PUBLIC, "input": ["one", "two"]}).encode(),
                prompt_tokens=2,
                route=route,
            )
        )
        body = json.loads(await read_all(reply))
        assert len(body["data"]) == 2
        assert body["model"] == PUBLIC
