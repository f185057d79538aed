"""Nothing an operator or the network told a node is lost by `kill -9`, what it reloaded included.

Real processes and commands, as an operator uses them; only the engines are mocks.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.network import (
    CLI,
    LOOK_S,
    MEET_WAIT_S,
    MODEL,
    Network,
    RunningNode,
    knows,
    open_network,
    run_json,
)
from wwwserve.values.ids import parse_node_id

pytestmark = pytest.mark.slow

CHANGED = f"""
[groups]
mine = ["{MODEL}"]
[policy]
deny_models = ["{MODEL}"]
"""


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as opened:
        yield opened


async def ask_group(node: RunningNode, api_key: str) -> int:
    """Ask for a model by a name that only the changed configuration knows."""
    url = f"{node.base_url}/chat/completions"
    body = {"model": "mine", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {api_key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as answer,
    ):
        return answer.status


async def wait_written(node: RunningNode, other: RunningNode) -> None:
    """Records are written together, a second after the first of them: wait for this one."""
    key: bytes = parse_node_id(other.node)

    def is_written() -> bool:
        return any(file.read_bytes().find(key) >= 0 for file in (node.home / "state").iterdir())

    async with asyncio.timeout(MEET_WAIT_S):
        while not is_written():  # noqa: ASYNC110 - another process's disk
            await asyncio.sleep(LOOK_S)


def shares_nothing(status: Any) -> bool:
    """Whether the policy keeps the model from others."""
    return not status["models"]


async def test_a_reloaded_configuration_keys_and_records_outlive_kill_9(network: Network) -> None:
    node, other = await network.start_node(), await network.start_node()
    await node.wait_status(knows(1))
    home = str(node.home)
    added = await run_json("keys", "add", "second", "--home", home, "--json")
    (node.home / "config.toml").write_text(CHANGED, encoding="utf-8")
    node.process.send_signal(signal.SIGHUP)
    await node.wait_status(shares_nothing)
    assert await ask_group(node, str(added["key"])) == 200
    await wait_written(node, other)
    node.kill()
    await node.process.wait()
    again = await network.start_node_again(
        node.home, node.api_key, "network.bootstrap=", engine=node.engine
    )
    assert again.node == node.node
    await again.wait_status(shares_nothing)
    assert await ask_group(again, str(added["key"])) == 200
    met = await again.wait_status(
        lambda status: any(member["is_linked"] for member in status["members"])
    )
    assert other.node in [member["node"] for member in met["members"]], "from its own memory"


async def test_the_command_says_what_changed_and_fails_on_what_is_wrong(network: Network) -> None:
    node = await network.start_node()
    home, file = str(node.home), node.home / "config.toml"
    file.write_text("[policy]\nconcurrent_max = 7\n", encoding="utf-8")
    assert await run_json("config", "reload", "--home", home, "--json") == {
        "changes": [{"key": "policy.concurrent_max", "old": 1_024, "new": 7}]
    }
    file.write_text("[policy]\nconcurent_max = 7\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *CLI, "config", "reload", "--home", home, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"did you mean policy.concurrent_max?" in b" ".join(errors.split())
    file.write_text("[policy]\nconcurrent_max = 7\n", encoding="utf-8")
    assert await run_json("config", "reload", "--home", home, "--json") == {"changes": []}
