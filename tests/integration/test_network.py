"""Four real nodes: load on one spreads, every answer comes, and nobody notices a killed executor.

Real processes, real links, real HTTP; only the engines are mocks, so that tests can slow them.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.network import MODEL, Network, RunningNode, knows, open_network

pytestmark = pytest.mark.slow


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as opened:
        yield opened


async def start_four(network: Network, *engine_flags: str) -> list[RunningNode]:
    """Four nodes of two slots each that all know each other."""
    for _ in range(4):
        engine = await network.start_engine("--slots", "2", *engine_flags)
        await network.start_node("engine.slots=2", engine=engine)
    for node in network.nodes:
        await node.wait_status(knows(3))
    return network.nodes


def make_body(**more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": "Tell me something."}]
    return {"model": MODEL, "messages": messages, **more}


async def ask(
    session: aiohttp.ClientSession, node: RunningNode, **more: object
) -> tuple[int, Any, Any]:
    """One non-streamed chat completion: status, headers, body."""
    url = f"{node.base_url}/chat/completions"
    async with session.post(url, json=make_body(**more), headers=node.headers) as answer:
        return answer.status, answer.headers, await answer.json()


async def test_load_on_one_node_spreads_and_every_answer_comes(network: Network) -> None:
    nodes = await start_four(network, "--tokens", "10", "--pace-us", "20000")
    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(ask(session, nodes[0]) for _ in range(40)))
    assert [status for status, _, _ in answers] == [200] * 40
    assert all(body["usage"]["completion_tokens"] == 10 for _, _, body in answers)
    executors = {headers["x-wwwserve-executor"] for _, headers, _ in answers}
    assert len(executors) == 4, "every node took a share"
    routes = [headers["x-wwwserve-route"] for _, headers, _ in answers]
    assert "local" in routes
    assert "network" in routes
    status = await nodes[0].get("/status")
    assert status["requests_open"] == 0
    assert status["totals"]["answered"] == 40


async def test_an_executor_killed_before_its_first_token_costs_no_request(
    network: Network,
) -> None:
    nodes = await start_four(network)
    victim = nodes[1]
    async with aiohttp.ClientSession() as session:
        slow = [
            asyncio.create_task(
                ask(session, nodes[0], mock={"tokens": 5, "first_token_us": 3_000_000})
            )
            for _ in range(8)
        ]
        await victim.wait_status(lambda status: status["works_open"] > 0)
        victim.kill()
        answers = await asyncio.gather(*slow)
    assert [status for status, _, _ in answers] == [200] * 8
    executors = {headers["x-wwwserve-executor"] for _, headers, _ in answers}
    assert not any(victim.node.startswith(prefix) for prefix in executors)
    await nodes[0].wait_status(
        lambda status: all(
            member["status"] != "alive"
            for member in status["members"]
            if member["node"] == victim.node
        )
    )


async def test_a_client_that_leaves_stops_the_engine_across_a_hop(network: Network) -> None:
    engine = await network.start_engine("--tokens", "5000", "--pace-us", "10000")
    executor = await network.start_node(engine=engine)
    origin = await network.start_node(engine=await network.start_engine())
    await origin.wait_status(knows(1))
    headers = {**origin.headers, "x-wwwserve-route": "network"}
    url = f"{origin.base_url}/chat/completions"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json=make_body(stream=True), headers=headers) as answer:
            assert answer.status == 200
            await answer.content.readany()
            assert (await engine.read_state())["running"] == 1
        left_at = time.monotonic()
    async with asyncio.timeout(1):
        while (await engine.read_state())["running"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
    assert time.monotonic() - left_at < 1
    await executor.wait_status(lambda status: status["works_open"] == 0)
    await origin.wait_status(lambda status: status["requests_open"] == 0)


async def test_a_node_whose_engine_is_dead_serves_its_users_from_the_network(
    network: Network,
) -> None:
    await network.start_node()
    origin = await network.start_node(engine=await network.start_engine())
    await origin.wait_status(knows(1))
    origin.engine.process.kill()
    async with aiohttp.ClientSession() as session:
        answers = [await ask(session, origin) for _ in range(5)]
    assert [status for status, _, _ in answers] == [200] * 5
    assert answers[-1][1]["x-wwwserve-route"] == "network"


async def test_a_node_comes_back_with_the_same_key_and_a_leaver_is_forgotten(
    network: Network,
) -> None:
    first, second = await network.start_node(), await network.start_node()
    await first.wait_status(knows(1))
    second.kill()
    await second.process.wait()
    again = await network.start_node_again(second.home, second.api_key, engine=second.engine)
    assert again.node == second.node
    await first.wait_status(knows(1))
    assert again.process.stdin is not None
    again.process.stdin.close()
    await again.process.wait()
    status = await first.wait_status(
        lambda status: all(member["status"] != "alive" for member in status["members"])
    )
    assert [member["status"] for member in status["members"]] == ["left"]


async def test_a_streamed_answer_over_a_hop_is_the_engines_own(network: Network) -> None:
    await network.start_node(engine=await network.start_engine("--tokens", "7"))
    origin = await network.start_node(engine=await network.start_engine("--tokens", "7"))
    await origin.wait_status(knows(1))
    url = f"{origin.base_url}/chat/completions"
    texts: dict[str, str] = {}
    async with aiohttp.ClientSession() as session:
        for route in ("local", "network"):
            headers = {**origin.headers, "x-wwwserve-route": route}
            async with session.post(url, json=make_body(stream=True), headers=headers) as answer:
                assert answer.headers["x-wwwserve-route"] == route
                body = await answer.text()
            events = [line[6:] for line in body.splitlines() if line.startswith("data: ")]
            assert events[-1] == "[DONE]"
            chunks = [json.loads(event) for event in events[:-1]]
            assert {chunk["model"] for chunk in chunks} == {MODEL}
            texts[route] = "".join(
                choice["delta"].get("content") or ""
                for chunk in chunks
                for choice in chunk["choices"]
            )
    assert texts["local"] == texts["network"] != ""
