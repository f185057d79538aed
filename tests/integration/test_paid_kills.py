"""`kill -9` of the payer, the executor and the sequencer amid paid streams of real processes.

Each is killed at a drawn moment while several answers stream, and started again. Every user has a
whole answer or an honest error, the killed nodes pay and are paid again, all logs come to one head
and add up to the supply, and nobody is proved to have signed a number twice.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.network import MODEL, Network, RunningNode, audit, knows, open_network
from tests.integration.paid_network import begin_paid, wait_ready
from wwwserve.core.entropy import Entropy

pytestmark = pytest.mark.slow

SEEDS = range(1, 6) if os.environ.get("WWWSERVE_NIGHT") else [1]
SEQUENCER, EXECUTOR, ORIGIN = range(3)
STREAMS = 6
TOKENS = 300
PACE_US = 5_000
"""An answer takes a second and a half."""
MOMENT_S_MIN = 0.1
ANSWER_WAIT_S = 60
"""Far above what it takes: a test that needs it all has failed."""


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as network:
        yield network


async def ask(node: RunningNode) -> str:
    """What a user sees of a streamed answer: whole, cut with an error, refused, or gone."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Tell me something long."}],
        "stream": True,
        "mock": {"tokens": TOKENS, "pace_us": PACE_US},
    }
    headers = {**node.headers, "x-wwwserve-route": "network"}
    text = ""
    try:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{node.base_url}/chat/completions", json=body) as answer,
        ):
            async for piece in answer.content.iter_any():
                text += piece.decode()
            status = answer.status
    except aiohttp.ClientError:
        return "gone"
    return read_outcome(status, text)


def read_outcome(status: int, text: str) -> str:
    """Whole and refused are told apart by the user as the protocol says; anything else fails."""
    if status != 200:
        assert json.loads(text)["error"]["message"]
        return "refused"
    events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    if events[-1] == "[DONE]" and text.count('"content":"') >= TOKENS:
        return "whole"
    assert any("error" in json.loads(event) for event in events if event != "[DONE]"), text[-500:]
    return "cut"


async def kill_amid_streams(nodes: list[RunningNode], victim: int, moment_s: float) -> list[str]:
    """What users of the origin see when a node is killed while their answers stream."""
    users = [asyncio.create_task(ask(nodes[ORIGIN])) for _ in range(STREAMS)]
    await asyncio.sleep(moment_s)  # the moment is the input: what must hold does not depend on it
    nodes[victim].kill()
    await nodes[victim].process.wait()
    async with asyncio.timeout(ANSWER_WAIT_S):
        return await asyncio.gather(*users)


async def start_again(network: Network, index: int) -> None:
    """The killed node is back where it was, and can pay."""
    node = network.nodes[index]
    listen = f"links.listen={node.links[0]}"
    network.nodes[index] = await network.start_node_again(
        node.home, node.api_key, listen, engine=node.engine
    )
    for one in network.nodes:
        await one.wait_status(knows(len(network.nodes) - 1))
        await wait_ready(one)


def is_claimed(status: Any) -> bool:
    """Whether nothing that this node has earned or said is still to enter the log."""
    wallet = status["wallet"]
    return not wallet["waiting"] and not wallet["claimable"]


@pytest.mark.parametrize("seed", SEEDS)
async def test_whoever_is_killed_users_have_answers_or_errors_and_the_money_adds_up(
    network: Network, tmp_path: Path, seed: int
) -> None:
    # [REQUESTS-PAID.9] [WALLET-WRITE.1]
    entropy = Entropy(f"kills {seed}".encode())
    await begin_paid(network, tmp_path, 3)
    seen: list[str] = []
    victims = [SEQUENCER, EXECUTOR, ORIGIN]
    while victims:
        victim = victims.pop(entropy.below(len(victims)))
        moment_s = MOMENT_S_MIN + entropy.below(1_300) / 1_000
        outcomes = await kill_amid_streams(network.nodes, victim, moment_s)
        assert victim == ORIGIN or "gone" not in outcomes
        seen += outcomes
        await start_again(network, victim)
    # All of them work as before.
    assert (
        await asyncio.gather(*(ask(network.nodes[ORIGIN]) for _ in range(STREAMS)))
        == ["whole"] * STREAMS
    )
    assert seen.count("whole") + seen.count("cut") > 0

    for node in network.nodes:
        await node.wait_status(is_claimed)
    statuses = [await node.get("/status") for node in network.nodes]
    earned = sum(status["wallet"]["earned"] for status in statuses[:ORIGIN])
    assert earned > 0
    height = max(status["ledger"]["height"] for status in statuses)
    for node in network.nodes:
        status = await node.wait_status(lambda status: status["ledger"]["height"] >= height)
        assert status["ledger"]["fork"] is None
        assert (await audit(node.home))["supply"] == status["ledger"]["supply"]
