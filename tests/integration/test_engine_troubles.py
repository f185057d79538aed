"""Whatever is wrong with an engine: one clear message, and no request lost that others could serve.

A real node whose engine is in trouble, beside an engine (its own, or another node's) that is well.
Messages are counted as an operator reads them, on the status page and in the log; every request
must be answered.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.serving_node import ANYWHERE, ServingNode, serve_node
from wwwserve.adapters.engines import MockEngineServer, MockSettings

MODEL = "org/shared"
MODELS = f'[[models]]\nid = "{MODEL}"\n'
REQUESTS = 4
ODD_METRICS = b"# TYPE vllm:requests_of_another_kind gauge\nvllm:requests_of_another_kind 3\n"


class Street:
    """Nodes that know each other, each in front of a mock engine."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.nodes: list[ServingNode] = []

    async def start_engine(self, *models: str, **settings: Any) -> MockEngineServer:
        mock = MockEngineServer(MockSettings(models=models or (MODEL,), **settings))
        return await self.enter(mock)

    async def enter(self, mock: MockEngineServer) -> MockEngineServer:
        return await self._stack.enter_async_context(mock)

    async def start_node(self, engines: str, more: str = MODELS) -> ServingNode:
        bootstrap = [address for node in self.nodes for address in node.info.link_addresses]
        text = f"{engines}{ANYWHERE}[network]\nbootstrap = {json.dumps(bootstrap)}\n{more}"
        home = self._folder / f"node-{len(self.nodes)}"
        node = await self._stack.enter_async_context(serve_node(home, text))
        self.nodes.append(node)
        return node

    async def start_neighbour(self) -> ServingNode:
        """A node that is well, for the others to send work to."""
        return await self.start_node(describe(await self.start_engine()))

    async def meet(self, node: ServingNode) -> None:
        """Wait until a node could send work to its neighbour."""
        await node.wait_status(
            lambda page: any(one["is_linked"] and one["models"] for one in page["members"])
        )


def describe(engine: MockEngineServer | str, name: str = "engine", more: str = "") -> str:
    url = engine if isinstance(engine, str) else engine.url
    return f'[[engines]]\nname = "{name}"\nurl = "{url}"\n{more}'


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    async with AsyncExitStack() as stack:
        yield Street(tmp_path, stack)


async def ask_all(node: ServingNode) -> list[tuple[int, str]]:
    """Several requests at once: the status of each, and where it ran."""

    async def ask() -> tuple[int, str]:
        async with node.ask(MODEL) as answer:
            await answer.read()
            return answer.status, answer.headers.get("x-wwwserve-route", "")

    return await asyncio.gather(*(ask() for _ in range(REQUESTS)))


def get_engine(page: Any, name: str = "engine") -> tuple[str, str]:
    """How an engine is, as the status page has it."""
    for engine in page["engines"]:
        if engine["name"] == name and engine["reading"] is not None:
            return engine["reading"]["health"], engine["reading"]["detail"]
    return "", ""


def list_messages(log: str, node: ServingNode) -> Sequence[str]:
    """What the log told of the node's engines, one entry a line."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    short = node.run["node"][:8]
    told = [line for line in lines if line["event"] == "engine changed" and line["node"] == short]
    return [line.get("detail", "") for line in told]


async def wait_engine(node: ServingNode, health: str) -> str:
    """What is said of an engine once its health is this."""
    page = await node.wait_status(lambda page: get_engine(page)[0] == health)
    return get_engine(page)[1]


@pytest.mark.parametrize(
    ("trouble", "health", "words"),
    [
        ("address", "unavailable", "nothing listens at"),
        ("path", "unavailable", "is it the base URL"),
        ("model", "ready", f"it has no model {MODEL}"),
    ],
)
async def test_an_engine_written_down_wrong(
    street: Street, capfd: pytest.CaptureFixture[str], trouble: str, health: str, words: str
) -> None:
    await street.start_neighbour()
    engine = await street.start_engine("one", "two") if trouble == "model" else None
    good = engine or await street.start_engine()
    url = {"address": "http://127.0.0.1:9", "path": f"{good.url}/chat", "model": good.url}[trouble]
    node = await street.start_node(describe(url))
    await street.meet(node)
    assert await ask_all(node) == [(200, "network")] * REQUESTS
    detail = await wait_engine(node, health)
    assert words in detail
    assert list_messages(capfd.readouterr().err, node) == [detail]


async def test_an_engine_that_loads_for_a_while(
    street: Street, capfd: pytest.CaptureFixture[str]
) -> None:
    await street.start_neighbour()
    engine = await street.start_engine()
    node = await street.start_node(describe(engine))
    await street.meet(node)
    engine.is_loading = True
    assert await ask_all(node) == [(200, "network")] * REQUESTS
    detail = await wait_engine(node, "loading")
    assert "loading its model" in detail
    assert await ask_all(node) == [(200, "network")] * REQUESTS
    engine.is_loading = False
    await wait_engine(node, "ready")
    assert ("local") in {route for _, route in await ask_all(node)}
    assert list_messages(capfd.readouterr().err, node) == ["", detail, ""]


async def test_a_lone_node_whose_engine_is_not_there_yet_asks_for_patience(
    street: Street,
) -> None:
    engine = await street.start_engine()
    await engine.__aexit__(None, None, None)
    node = await street.start_node(describe(engine))
    await wait_engine(node, "unavailable")
    async with node.ask(MODEL) as answer:
        assert answer.status == 503, "a client tries that again by itself, and a 404 never"
        assert "retry-after" in answer.headers
    port = int(engine.url.rpartition(":")[2])
    await street.start_engine(port=port)
    await wait_engine(node, "ready")
    assert await ask_all(node) == [(200, "local")] * REQUESTS


async def test_an_engine_that_goes_and_comes_back(
    street: Street, capfd: pytest.CaptureFixture[str]
) -> None:
    await street.start_neighbour()
    engine = await street.start_engine(first_token_us=300_000)
    node = await street.start_node(describe(engine))
    await street.meet(node)
    running = asyncio.create_task(ask_all(node))
    await node.wait_status(lambda page: page["engines"][0]["own_running"] > 0)
    await engine.__aexit__(None, None, None)
    assert [status for status, _ in await running] == [200] * REQUESTS, "what ran there ran again"
    detail = await wait_engine(node, "unavailable")
    assert await ask_all(node) == [(200, "network")] * REQUESTS
    port = int(engine.url.rpartition(":")[2])
    await street.start_engine(port=port)
    await wait_engine(node, "ready")
    assert "local" in {route for _, route in await ask_all(node)}
    told = list_messages(capfd.readouterr().err, node)
    assert (told[0], told[-1]) == ("", "")
    assert detail in told


async def test_an_engine_that_tells_its_load_in_another_way(
    street: Street, capfd: pytest.CaptureFixture[str]
) -> None:
    pages = {"/metrics": lambda _: ODD_METRICS, "/health": lambda _: b""}
    engine = MockEngineServer(MockSettings(models=(MODEL,)), pages)
    node = await street.start_node(describe(await street.enter(engine), more='kind = "vllm"\n'))
    assert await ask_all(node) == [(200, "local")] * REQUESTS
    detail = await wait_engine(node, "ready")
    assert "in a way this node does not know" in detail
    assert list_messages(capfd.readouterr().err, node) == [detail]


async def test_another_engine_of_the_same_node_answers_meanwhile(street: Street) -> None:
    small, large = await street.start_engine(), await street.start_engine()
    engines = describe(small, "small") + describe(large, "large", "weight = 3\nslots = 4\n")
    node = await street.start_node(engines)
    await node.wait_status(lambda page: len(page["engines"]) == 2)
    assert await ask_all(node) == [(200, "local")] * REQUESTS
    assert small.counts.finished + large.counts.finished == REQUESTS
    assert large.counts.finished > small.counts.finished, "by their weights"
    _, page = await node.call("GET", "/models")
    assert [model["engines"] for model in page["models"]] == [["small", "large"]]
    await large.__aexit__(None, None, None)
    assert await ask_all(node) == [(200, "local")] * REQUESTS


async def test_a_model_on_no_engine_is_told_once(
    street: Street, capfd: pytest.CaptureFixture[str]
) -> None:
    engines = describe(await street.start_engine("a", MODEL), "first") + describe(
        await street.start_engine("b", MODEL), "second"
    )
    node = await street.start_node(engines, MODELS + '[[models]]\nid = "org/mispelled"\n')
    page = await node.wait_status(lambda page: get_engine(page, "first")[1])
    assert "no engine has a model like org/mispelled" in get_engine(page, "first")[1]
    assert get_engine(page, "second") == ("ready", "")
    assert await ask_all(node) == [(200, "local")] * REQUESTS
    assert sum("mispelled" in told for told in list_messages(capfd.readouterr().err, node)) == 1
