"""A configuration read again holds at once and whole, or not at all, and costs nobody an answer.

A real node in this process, with its file, sockets, links and disk; only the engines are mocks, so
that answers can be held up while everything around them changes.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.serving_node import ANYWHERE, ServingNode, serve_node
from wwwserve.adapters.engines import MockEngineServer, MockSettings

SLOW: dict[str, Any] = {"mock": {"tokens": 4, "pace_us": 150_000}, "stream": True}
"""An answer that is still under way when the next thing happens."""


class Stage:
    """Mock engines and one node."""

    def __init__(self, home: Path, stack: AsyncExitStack) -> None:
        self._home = home
        self._stack = stack

    async def start_engine(self, *models: str, **settings: Any) -> MockEngineServer:
        mock = MockEngineServer(MockSettings(models=models, **settings))
        return await self._stack.enter_async_context(mock)

    async def start_node(self, text: str) -> ServingNode:
        return await self._stack.enter_async_context(serve_node(self._home, text))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(tmp_path, stack)


def one(engine: MockEngineServer, more: str = "") -> str:
    return f'[engine]\nurl = "{engine.url}"\nslots = 4\n{ANYWHERE}{more}'


def several(more: str = "", **engines: MockEngineServer) -> str:
    tables = (f'[[engines]]\nname = "{name}"\nurl = "{e.url}"\n' for name, e in engines.items())
    return "".join(tables) + ANYWHERE + more


async def read_stream(answer: aiohttp.ClientResponse) -> str:
    """The model's words in a whole stream; fails if it broke off."""
    events = [line[6:] for line in (await answer.text()).splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def ask_status(node: ServingNode, model: str, **more: Any) -> int:
    async with node.ask(model, **more) as answer:
        await answer.read()
        status: int = answer.status
    return status


def list_models(status: Any) -> set[str]:
    return set(status["models"])


async def test_nothing_new_changes_nothing(stage: Stage) -> None:
    text = one(await stage.start_engine("m"))
    node = await stage.start_node(text)
    assert await node.reload(text) == (200, {})


async def test_policy_groups_and_models_hold_at_once(stage: Stage) -> None:
    engine = await stage.start_engine("a", "b")
    node = await stage.start_node(one(engine))
    more = """
[policy]
deny_models = ["local/b"]
[groups]
small = ["local/a"]
[[models]]
id = "local/a"
context_tokens = 100
[[models]]
id = "local/b"
"""
    status, changes = await node.reload(one(engine, more))
    assert status == 200
    assert changes["policy.deny_models"] == ([], ["local/b"])
    assert changes["groups.small"] == ([], ["local/a"])
    assert "models" in changes
    _, status_page = await node.call("GET", "/status")
    assert list_models(status_page) == {"local/a"}, "others are not told of the other"
    assert await ask_status(node, "small") == 200
    _, page = await node.call("GET", "/models")
    assert {model["model"]: model["context_tokens"] for model in page["models"]}["local/a"] == 100


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ('[network]\nname = "other"\n', "network.name"),
        ("[policy]\naccept_frequence = 1\n", "policy.accept_frequence"),
        ("[policy]\naccept_frequency = 2\n", "policy.accept_frequency"),
        ('[[models]]\nid = "a/b"\nengine = "none"\n', "models.engine"),
    ],
)
async def test_a_bad_configuration_changes_nothing_and_says_what_is_wrong(
    stage: Stage, change: str, field: str
) -> None:
    engine = await stage.start_engine("m")
    node = await stage.start_node(one(engine))
    _, before = await node.call("GET", "/status")
    good_part = '[groups]\nsmall = ["local/m"]\n'
    status, error = await node.reload(one(engine, good_part + change))
    assert (status, error["field"]) == (400, field)
    assert error["fix"]
    assert await ask_status(node, "small") == 404
    _, after = await node.call("GET", "/status")
    assert after["version"] == before["version"]
    assert await node.reload(one(engine, good_part)) == (200, {"groups.small": ([], ["local/m"])})


async def test_a_port_that_is_taken_changes_nothing_not_even_what_was_prepared(
    stage: Stage,
) -> None:
    engine, second = await stage.start_engine("m"), await stage.start_engine("n")
    node = await stage.start_node(one(engine))
    run = node.run
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = one(second).replace("[admin]\nport = 0", f"[admin]\nport = {port}")
        text = text.replace('"127.0.0.1:0"', '"localhost:0"')
        status, error = await node.reload(text)
    assert (status, error["field"], error["found"]) == (400, "admin.port", f"127.0.0.1:{port}")
    assert node.run == run
    _, page = await node.call("GET", "/status")
    assert list_models(page) == {"local/m"}
    assert await ask_status(node, "m") == 200
    assert await ask_status(node, "n") == 404


async def test_the_gateway_moves_and_answers_under_way_come_whole(stage: Stage) -> None:
    engine = await stage.start_engine("m")
    node = await stage.start_node(one(engine))
    old = node.run["gateway"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = one(engine).replace("[gateway]\nport = 0", f"[gateway]\nport = {port}")
    async with node.ask("m", **SLOW) as answer:
        assert answer.status == 200
        status, changes = await node.reload(text)
        assert (status, changes) == (200, {"gateway.port": (0, port)})
        assert len((await read_stream(answer)).split()) == 4
    assert node.run["gateway"] == f"http://127.0.0.1:{port}"
    assert await ask_status(node, "m") == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask_status(node, "m", gateway=old)
    # The same port under another name of the machine: one has to go before the other comes.
    moved = text.replace("[gateway]\n", '[gateway]\nhost = "localhost"\n')
    assert (await node.reload(moved))[0] == 200
    assert await ask_status(node, "m") == 200


async def test_the_operators_api_moves_under_the_command_that_moves_it(stage: Stage) -> None:
    engine = await stage.start_engine("m")
    node = await stage.start_node(one(engine))
    old = node.run["admin"]
    text = one(engine).replace("[admin]\n", '[admin]\nhost = "localhost"\n')
    assert await node.reload(text) == (200, {"admin.host": ("127.0.0.1", "localhost")})
    assert node.run["admin"] != old
    assert (await node.call("GET", "/status"))[0] == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await node.session.get(f"{old}/status")


async def test_engines_come_and_go_and_what_they_run_comes_whole(stage: Stage) -> None:
    a, b, c = [await stage.start_engine(name) for name in "abc"]
    node = await stage.start_node(several(a=a, b=b))
    await node.wait_status(lambda page: list_models(page) == {"local/a", "local/b"})
    async with node.ask("b", **SLOW) as answer:
        assert answer.status == 200
        status, changes = await node.reload(several(a=a, c=c))
        assert status == 200
        assert changes["engines.c.url"] == ("", c.url)
        assert changes["engines.b.name"] == ("b", "-")
        await node.wait_status(lambda page: list_models(page) == {"local/a", "local/c"})
        assert await ask_status(node, "c") == 200
        assert await ask_status(node, "b") == 404
        assert len((await read_stream(answer)).split()) == 4
    assert (b.counts.finished, b.counts.cancelled) == (1, 0)
    _, page = await node.call("GET", "/status")
    details = {engine["name"]: engine["reading"]["detail"] for engine in page["engines"]}
    assert "not in the configuration any more" in details.pop(
        "b", "not in the configuration any more"
    )
    assert details.keys() == {"a", "c"}


async def test_an_engine_reached_elsewhere_finishes_where_it_began(stage: Stage) -> None:
    here, there = await stage.start_engine("m"), await stage.start_engine("m")
    node = await stage.start_node(one(here))
    async with node.ask("m", **SLOW) as answer:
        assert answer.status == 200
        status, changes = await node.reload(one(there))
        assert (status, changes) == (200, {"engine.url": (here.url, there.url)})
        assert await ask_status(node, "m") == 200
        assert len((await read_stream(answer)).split()) == 4
    assert (here.counts.started, there.counts.started) == (1, 1)


async def test_weights_and_slots_change_without_touching_the_engine(stage: Stage) -> None:
    engine = await stage.start_engine("m")
    node = await stage.start_node(one(engine))
    status, changes = await node.reload(one(engine).replace("slots = 4", "slots = 9\nweight = 2"))
    assert (status, changes) == (200, {"engine.slots": (4, 9), "engine.weight": (1, 2)})
    _, page = await node.call("GET", "/status")
    assert page["slots"] == 9
    assert page["engines"][0]["reading"]["health"] == "ready"


async def test_links_move_and_those_that_were_there_stay(stage: Stage, tmp_path: Path) -> None:
    engine = await stage.start_engine("m")
    node = await stage.start_node(one(engine))
    other_text = f'[engine]\nurl = "{engine.url}"\n{ANYWHERE}[network]\nbootstrap = ["%s"]\n'
    first = node.info.link_addresses[0]
    async with serve_node(tmp_path / "other", other_text % first) as other:
        linked = await other.wait_status(
            lambda page: any(one["is_linked"] for one in page["members"])
        )
        assert linked["members"][0]["addresses"] == [first]
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        text = one(engine, '[network]\nregion = "here"\n').replace(
            "127.0.0.1:0", f"127.0.0.1:{port}"
        )
        status, changes = await node.reload(text)
        assert (status, changes["network.region"]) == (200, ("", "here"))
        assert node.run["links"] == [f"127.0.0.1:{port}"]
        moved = await other.wait_status(
            lambda page: page["members"][0]["addresses"] == [f"127.0.0.1:{port}"]
        )
        assert moved["members"][0]["is_linked"], "the link was not disturbed"
        assert moved["members"][0]["region"] == "here"
        third_text = other_text % f"127.0.0.1:{port}"
        async with serve_node(tmp_path / "third", third_text) as third:
            await third.wait_status(
                lambda page: any(
                    one["addresses"] == [f"127.0.0.1:{port}"] and one["is_linked"]
                    for one in page["members"]
                )
            )


async def test_a_new_address_to_meet_is_met(stage: Stage, tmp_path: Path) -> None:
    engine = await stage.start_engine("m")
    node = await stage.start_node(one(engine))
    async with serve_node(tmp_path / "other", one(engine)) as other:
        bootstrap = f'[network]\nbootstrap = ["{other.info.link_addresses[0]}"]\n'
        assert (await node.reload(one(engine, bootstrap)))[0] == 200
        await node.wait_status(lambda page: any(one["is_linked"] for one in page["members"]))


async def test_keys_are_needed_again_when_the_gateway_is_no_longer_open(stage: Stage) -> None:
    engine = await stage.start_engine("m")
    opened = one(engine).replace("[gateway]\n", "[gateway]\nopen = true\n")
    node = await stage.start_node(opened)
    url = f"{node.run['gateway']}/v1/models"
    async with node.session.get(url) as answer:
        assert answer.status == 200
    assert await node.reload(one(engine)) == (200, {"gateway.open": (True, False)})
    async with node.session.get(url) as answer:
        assert answer.status == 401


async def test_the_log_changes_its_level_and_says_what_came_of_a_signal(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = await stage.start_engine("m")
    node = await stage.start_node(one(engine))
    node.write_config("[gateway")
    node.orders.reload.set()
    logged = await wait_log(capfd, "configuration not changed")
    assert "config.toml" in logged
    quiet = one(engine, '[logs]\nlevel = "error"\n')
    assert await node.reload(quiet) == (200, {"logs.level": ("info", "error")})
    assert await ask_status(node, "m") == 200
    assert "request" not in capfd.readouterr().err
    node.write_config(one(engine))
    node.orders.reload.set()
    logged = await wait_log(capfd, "configuration read again")
    (line,) = [json.loads(line) for line in logged.splitlines() if "read again" in line]
    assert line["changes"] == {"logs.level": ["error", "info"]}


async def wait_log(capfd: pytest.CaptureFixture[str], words: str) -> str:
    """What the log said, once these words are among it."""
    text = ""
    async with asyncio.timeout(30):
        while words not in text:
            text += capfd.readouterr().err
            await asyncio.sleep(0.01)
    return text
