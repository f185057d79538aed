"""An operator can ask two real nodes why a request ran where it ran, once it is over.

Real processes before mock engines, a user at the gateway, and the command as it is typed.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.network import CLI, MODEL, Network, RunningNode, knows, open_network
from wwwserve.values.ids import node_prefix, parse_node_id

pytestmark = pytest.mark.slow

COMMAND_WAIT_S = 60
"""Far above what it takes."""


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as opened:
        yield opened


async def ask(node: RunningNode, route: str) -> tuple[str, str]:
    """One chat request; its id, and the reason in its header."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hello"}],
        "x-wwwserve-route": route,
    }
    async with (
        aiohttp.ClientSession(headers=node.headers) as session,
        session.post(f"{node.base_url}/chat/completions", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return answer.headers["x-wwwserve-request-id"], answer.headers["x-wwwserve-reason"]


async def explain(node: RunningNode, request: str) -> tuple[int, str]:
    """What the command prints on a wide terminal, errors with it, and its exit code."""
    process = await asyncio.create_subprocess_exec(
        *(*CLI, "explain", request, "--home", str(node.home)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"COLUMNS": "240", "PYTHONPATH": "src"},
    )
    async with asyncio.timeout(COMMAND_WAIT_S):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_both_nodes_say_why_a_request_ran_where_it_ran(network: Network) -> None:
    origin = await network.start_node("policy.target_utilisation=1.0")
    executor = await network.start_node("policy.target_utilisation=1.0")
    await origin.wait_status(knows(1))

    here, reason = await ask(origin, "local")
    assert reason == "here-at-once"
    code, said = await explain(origin, here)
    assert code == 0
    assert "chosen: here: there was room here at once" in said

    there, reason = await ask(origin, "network")
    assert reason == "least-weight;of=1"
    short = node_prefix(parse_node_id(executor.node))
    code, said = await explain(origin, there.removeprefix("req-")[:12])
    assert code == 0
    for words in (there, "an own user's", f"chosen: node {short}: least all in all", "answered"):
        assert words in said
    code, said = await explain(executor, there)
    asker = node_prefix(parse_node_id(origin.node))
    for words in (f"of node {asker}", "taken on: it runs here", "offer", "accepted", "answered"):
        assert words in said


async def test_an_unknown_request_is_refused_with_how_far_back_is_known(network: Network) -> None:
    node = await network.start_node()
    code, said = await explain(node, "req-" + "0" * 32)
    assert code == 2
    assert "one of the last 2000 of own users since the node's start" in " ".join(said.split())
    code, said = await explain(node, "where/is it?")
    assert code == 2
    assert "at least 6 digits" in said
