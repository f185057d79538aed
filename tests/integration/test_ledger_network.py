"""One log in three real node processes: blocks reach all, over kills, and a joiner needs a ticket.

The first node begins a ledger and orders it; the others know nothing but a ticket to it. So each
test goes through genesis, links, disk and commands, as an operator uses them.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.network import (
    CLI,
    MODEL,
    Network,
    RunningNode,
    audit,
    knows,
    open_network,
    run_json,
)

pytestmark = pytest.mark.slow


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as opened:
        yield opened


async def start_founder(network: Network, folder: Path) -> RunningNode:
    """The node that begins a ledger, and orders it."""
    home = folder / "founder"
    made = await run_json("init", "--home", str(home), "--ledger", "dev", "--json")
    engine = await network.start_engine()
    founder = await network.start_node_again(home, str(made["api_key"]), engine=engine)
    network.nodes.append(founder)
    return founder


async def start_joiner(network: Network, home: Path, founder: RunningNode) -> RunningNode:
    """A node that has a ticket of the founder's."""
    told = await run_json("invite", "--home", str(founder.home), "--json")
    made = await run_json("init", "--home", str(home), "--join", str(told["ticket"]), "--json")
    return await network.start_node_again(home, str(made["api_key"]), engine=founder.engine)


def is_at(height: int) -> Callable[[Any], bool]:
    """Whether a status page shows the log at a height or above it."""

    def is_met(status: Any) -> bool:
        return status["ledger"] is not None and status["ledger"]["height"] >= height

    return is_met


async def test_blocks_reach_everybody_and_whoever_was_away_catches_up(
    network: Network, tmp_path: Path
) -> None:
    founder = await start_founder(network, tmp_path)
    first = await start_joiner(network, tmp_path / "first", founder)
    second = await start_joiner(network, tmp_path / "second", founder)
    # Neither had the genesis: the founder told it, and the ticket proved it.
    network_id = (await founder.wait_status(is_at(1)))["ledger"]["network_id"]
    for node in (first, second):
        assert (await node.wait_status(is_at(1)))["ledger"]["network_id"] == network_id

    second.kill()
    missed = (await founder.get("/status"))["ledger"]["height"] + 1
    await founder.wait_status(is_at(missed))
    again = await network.start_node_again(second.home, second.api_key, engine=second.engine)
    await again.wait_status(is_at(missed))

    founder.kill()
    await founder.process.wait()
    back = await network.start_node_again(
        founder.home, founder.api_key, f"links.listen={founder.links[0]}", engine=founder.engine
    )
    grown = missed + 1
    await first.wait_status(is_at(grown))
    heads = {}
    for node in (back, first, again):
        status = await node.wait_status(is_at(grown))
        assert status["ledger"]["fork"] is None
        found = await audit(node.home)
        assert found["height"] >= grown
        heads[node.node] = found["network_id"]
        assert found["supply"] == status["ledger"]["supply"]
    assert list(heads.values()) == [network_id] * 3


async def test_a_damaged_log_is_named_with_what_to_do(network: Network, tmp_path: Path) -> None:
    founder = await start_founder(network, tmp_path)
    await founder.wait_status(is_at(1))
    founder.kill()
    await founder.process.wait()
    lane = founder.home / "state" / "chain.sqlite"
    with closing(sqlite3.connect(lane)) as connection:
        connection.execute("UPDATE entries SET value = x'00' WHERE key = CAST('sl' AS BLOB)")
        connection.commit()
    del network.homes[founder.home]
    process = await asyncio.create_subprocess_exec(
        *(*CLI, "up", "--home", str(founder.home)), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode != 0
    assert b"chain.sqlite" in said
    assert b"ledger audit" in b" ".join(said.split())


async def test_a_request_of_one_node_is_paid_to_the_other(network: Network, tmp_path: Path) -> None:
    founder = await start_founder(network, tmp_path)
    joiner = await start_joiner(network, tmp_path / "joiner", founder)
    # It came in by the dev door, and can pay.
    await joiner.wait_status(lambda status: bool((status["wallet"] or {}).get("is_ready")))
    await joiner.wait_status(lambda status: bool(status["wallet"]["spendable"] > 0))
    await joiner.wait_status(knows(1))
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 64,
        "x-wwwserve-route": "network",
    }
    async with (
        aiohttp.ClientSession(headers=joiner.headers) as session,
        session.post(f"{joiner.base_url}/chat/completions", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["usage"]["completion_tokens"] > 0
    earned = (await founder.wait_status(lambda status: status["wallet"]["earned"] > 0))["wallet"]
    spent = await joiner.wait_status(lambda status: status["wallet"]["held"] == 0)
    assert spent["wallet"]["spent"] >= earned["earned"]
    found = await audit(joiner.home)
    assert found["holds"] == 0
