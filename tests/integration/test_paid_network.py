"""A network whose requests are paid, run by its operators' commands: begin, come in, send, audit.

Three real node processes with mock engines. The first begins a ledger for one laptop, the second
comes in by its faucet, the third waits for a sponsor; each command is the one a person types.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.network import CLI, MODEL, Network, RunningNode, open_network, run_json
from wwwserve.values.credits import CREDIT, parse_credits

GRANT = 200 * CREDIT
FEE = CREDIT // 2_000

pytestmark = pytest.mark.slow


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as network:
        yield network


async def begin(network: Network, folder: Path) -> RunningNode:
    home = folder / "founder"
    made = await run_json("init", "--home", str(home), "--ledger", "dev", "--json")
    engine = await network.start_engine()
    node = await network.start_node_again(home, str(made["api_key"]), engine=engine)
    network.nodes.append(node)
    return node


async def join(network: Network, home: Path, door: str, *settings: str) -> RunningNode:
    ticket = (await order(network.nodes[0], "invite"))["ticket"]
    made = await run_json(
        *("init", "--home", str(home), "--join", ticket, "--door", door, "--json")
    )
    engine = await network.start_engine()
    node = await network.start_node_again(home, str(made["api_key"]), *settings, engine=engine)
    network.nodes.append(node)
    return node


async def order(node: RunningNode, *words: str) -> Mapping[str, Any]:
    """What a command answers about a node."""
    return await run_json(*words, "--home", str(node.home), "--json")


async def refuse(node: RunningNode, *words: str) -> str:
    """The one line with which a command is refused."""
    pipe = asyncio.subprocess.PIPE
    command = (*CLI, *words, "--home", str(node.home))
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    output, errors = await process.communicate()
    assert (process.returncode, output) == (2, b"")
    assert errors.count(b"\n") == 1
    return errors.decode()


async def wait_wallet(node: RunningNode, name: str, least: int) -> Mapping[str, Any]:
    status = await node.wait_status(
        lambda status: (
            status["wallet"] is not None and not status["entry"] and status["wallet"][name] >= least
        )
    )
    wallet: Mapping[str, Any] = status["wallet"]
    return wallet


async def test_operators_begin_come_in_send_look_and_audit(
    network: Network, tmp_path: Path
) -> None:
    founder = await begin(network, tmp_path)
    member = await join(network, tmp_path / "member", "dev")
    wallet = await wait_wallet(member, "avail", 1)
    assert wallet["avail"] == GRANT - FEE, "the faucet's grant, but for the fee of its Join"

    # Credits move by a command, and its record is found on both nodes.
    sent = await order(founder, "wallet", "send", member.node, "12.5")
    assert sent["is_final"]
    await wait_wallet(member, "avail", GRANT - FEE + 12 * CREDIT)
    for node in (founder, member):
        await node.wait_status(lambda status: status["ledger"]["height"] >= 2)
        record = await order(node, "ledger", "show", str(sent["feed"]))
        assert record["ops"] == [
            {"op": "Transfer", "target": member.node, "amount": 12 * CREDIT + CREDIT // 2}
        ]
    (entry,) = [
        one
        for one in (await order(member, "wallet", "history"))["entries"]
        if one["what"] == "received"
    ]
    assert (entry["microcredits"], entry["peer"]) == (12 * CREDIT + CREDIT // 2, founder.node)

    # What cannot be is refused in one line, and nothing has moved.
    assert "999999 cr needed" in await refuse(member, "wallet", "send", founder.node, "999999")
    assert "treasury" in await refuse(founder, "wallet", "allow", member.node, "1")
    await order(member, "wallet", "stake", "2")
    wallet = await wait_wallet(member, "bond", 100 * CREDIT)
    assert wallet["avail"] < 113 * CREDIT

    # A third node comes in by a sponsor, and does it by itself once it has one.
    third = await join(network, tmp_path / "third", "sponsor")
    status = await third.wait_status(lambda status: "sponsor" in status["entry"])
    assert third.node in status["entry"], "it says what the sponsor must type"
    await order(founder, "wallet", "sponsor", third.node, "1")
    await third.wait_status(lambda status: not status["entry"])
    account = await order(third, "ledger", "show", third.node[:12])
    assert account["sponsorship"]["amount"] == 50 * CREDIT

    # The log audits, of a running node and of a stopped one, and stands where it stood.
    for node in (member, third):
        file = tmp_path / f"{node.node[:6]}.log"
        await order(node, "ledger", "export", str(file))
        totals = await run_json("ledger", "audit", str(file), "--json")
        assert totals["ok"]
        assert totals["byzantine_tolerance"] is False
    member.kill()
    await member.process.wait()
    stopped = await order(member, "ledger", "status")
    assert not stopped["is_running"]
    assert stopped["accounts"] == 3
    assert (await order(member, "wallet", "history"))["entries"]


async def test_a_users_budget_is_spent_by_what_requests_cost_elsewhere(
    network: Network, tmp_path: Path
) -> None:
    founder = await begin(network, tmp_path)
    member = await join(network, tmp_path / "member", "dev")
    await wait_wallet(member, "avail", 1)
    key = (await order(member, "keys", "add", "bob", "--budget", "0.5"))["key"]
    body = {
        "model": MODEL,
        "max_tokens": 32,
        "messages": [{"role": "user", "content": "Hello there"}],
    }
    headers = {"authorization": f"Bearer {key}", "x-wwwserve-route": "network"}
    statuses: list[int] = []
    text = ""
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(20):
            async with session.post(f"{member.base_url}/chat/completions", json=body) as answer:
                statuses.append(answer.status)
                text = await answer.text()
            if answer.status == 429:
                break
    assert statuses[-1] == 429, text
    assert "of its budget of 0.5 cr" in json.loads(text)["error"]["message"]
    bob = (await order(member, "keys", "list"))["keys"][-1]
    assert 0 < bob["spent"] <= CREDIT // 2
    assert statuses.count(200) == len(statuses) - 1 > 0
    status = await founder.wait_status(lambda status: status["wallet"]["earned"] > 0)
    assert status["wallet"]["earned"] <= bob["spent"]


async def ask(node: RunningNode, key: str) -> tuple[int, int]:
    """Ask other nodes with a key; the status, and what it cost in micro-credits."""
    body = {
        "model": MODEL,
        "max_tokens": 32,
        "messages": [{"role": "user", "content": "Hello there"}],
    }
    headers = {"authorization": f"Bearer {key}", "x-wwwserve-route": "network"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{node.base_url}/chat/completions", json=body) as answer,
    ):
        await answer.read()
        cost = parse_credits("cost", answer.headers.get("x-wwwserve-cost", "0"))
        return answer.status, cost


async def change(node: RunningNode, section: str, line: str) -> list[str]:
    """Write a setting into a node's file and have it read that; the settings that changed."""
    name = line.split(" ", maxsplit=1)[0]
    file = node.home / "config.toml"
    lines = file.read_text().splitlines()
    place = next(
        at
        for at in range(lines.index(f"[{section}]"), len(lines))
        if lines[at].removeprefix("# ").startswith(f"{name} = ")
    )
    lines[place] = line
    file.write_text("\n".join(lines))
    changes = (await order(node, "config", "reload"))["changes"]
    return [str(one["key"]) for one in changes]


async def test_new_prices_and_a_new_reserve_hold_for_the_next_request(
    network: Network, tmp_path: Path
) -> None:
    founder = await begin(network, tmp_path)
    member = await join(network, tmp_path / "member", "dev")
    await wait_wallet(member, "avail", 1)
    key = str((await order(member, "keys", "add", "bob"))["key"])
    status, before = await ask(member, key)
    assert (status, before > 0) == (200, True)

    assert await change(founder, "policy.price", "completion = 26670") == [
        "policy.price.completion"
    ]
    status, after = await ask(member, key)
    assert status == 200
    assert 5 * before < after < 10 * before, "ten times the completion's, and the prompt's"

    assert await change(founder, "policy.price", "completion = 0") == ["policy.price.completion"]
    status, free = await ask(member, key)
    assert (status, free < before) == (200, True)

    # What is held back from requests is held back from the next one.
    assert await change(member, "wallet", "reserve = 1000") == ["wallet.reserve"]
    assert (await ask(member, key))[0] == 503
    assert await change(member, "wallet", "reserve = 1") == ["wallet.reserve"]
    assert (await ask(member, key))[0] == 200
    wallet = await wait_wallet(member, "avail", 1)
    assert wallet["avail"] > 150 * CREDIT
