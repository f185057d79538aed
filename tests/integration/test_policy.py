"""A provider's policy on real nodes: caps that outlive `kill -9`, guests, and the day once more.

Two nodes; requests enter at the first and are sent to the second, whose policy is looked at with
the commands a provider types.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.network import (
    CLI,
    MODEL,
    Network,
    RunningNode,
    knows,
    open_network,
    run_json,
)

pytestmark = pytest.mark.slow

HEARD_WITHIN_S = 60
"""A guest at fault is left alone for seconds."""
CAP = "policy.tokens_per_day_max=1000"
GUEST = """
from wwwserve.policies import Declined, DeclineReason

class Picky:
    def decide(self, case):
        is_long = case.summary.completion_tokens_max > 100
        return Declined(DeclineReason.POLICY) if case.asker and is_long else None
"""


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as opened:
        yield opened


async def ask(origin: RunningNode, tokens: int, *, only: RunningNode) -> tuple[int, str]:
    """One chat completion of at most so many tokens: its status, and its id."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": tokens,
    }
    headers = {
        **origin.headers,
        "x-wwwserve-route": "network",
        "x-wwwserve-executors": only.node,
        "x-wwwserve-deadline-ms": "1500",
    }
    url = f"{origin.base_url}/chat/completions"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as answer,
    ):
        await answer.read()
        return answer.status, answer.headers.get("x-wwwserve-request-id", "")


async def policy(node: RunningNode, *words: str) -> Any:
    return await run_json("policy", *words, "--home", str(node.home), "--json")


async def test_a_days_cap_outlives_a_kill_and_the_day_can_be_lived_again(
    network: Network, tmp_path: Path
) -> None:
    origin = await network.start_node()
    provider = await network.start_node(CAP)
    for node in network.nodes:
        await node.wait_status(knows(1))

    status, _ = await ask(origin, 900, only=provider)
    assert status == 200
    # What it came to is a few tokens, so most of the cap is free again.
    status, served = await ask(origin, 900, only=provider)
    assert status == 200
    status, refused = await ask(origin, 1_100, only=provider)
    assert status >= 500
    (*_, answer) = (await policy(provider, "explain", refused))["answers"]
    assert (answer["answer"], answer["rule"]) == ("policy", "tokens_per_day_max")
    (*_, answer) = (await policy(provider, "explain", served))["answers"]
    assert answer["answer"] == "accepted"

    provider.kill()
    await provider.process.wait()
    again = await network.start_node_again(
        provider.home, provider.api_key, CAP, engine=provider.engine
    )
    await again.wait_status(knows(1))
    await origin.wait_status(knows(1))
    status, _ = await ask(origin, 995, only=again)
    assert status >= 500, "the tokens of before the kill count"

    same = await policy(again, "replay")
    assert (same["changed"], same["then"]) == (0, same["now"])
    assert (same["then"]["taken"], same["then"]["refused"]["tokens_per_day_max"] > 0) == (2, True)
    stricter = tmp_path / "stricter.toml"
    stricter.write_text(f'[policy]\ndeny_nodes = ["{origin.node}"]\n')
    other = await policy(again, "replay", str(stricter))
    assert (other["then"]["taken"], other["now"]["taken"]) == (2, 0)
    assert set(other["now"]["refused"]) == {"deny_nodes"}


async def test_an_own_python_policy_decides_and_can_be_exchanged(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    origin = await network.start_node()
    provider = await network.start_node()
    (provider.home / "config.toml").write_text('[policy]\nguest = "picky"\n')
    await run_json("config", "reload", "--home", str(provider.home), "--json")
    for node in network.nodes:
        await node.wait_status(knows(1))
    assert (await ask(origin, 100, only=provider))[0] == 200
    status, answer = await ask_heard(origin, 101, only=provider)
    assert status >= 500
    assert (answer["answer"], answer["rule"]) == ("policy", "guest picky")

    (provider.home / "config.toml").write_text('[policy]\nguest = "nobody"\n')
    reload = await asyncio.create_subprocess_exec(
        *CLI, "config", "reload", "--home", str(provider.home), stderr=asyncio.subprocess.PIPE
    )
    _, error = await reload.communicate()
    assert reload.returncode == 2
    assert b"policy.guest" in error
    status, _ = await ask_heard(origin, 101, only=provider)
    assert status >= 500, "nothing was changed"

    (provider.home / "config.toml").write_text("")
    await run_json("config", "reload", "--home", str(provider.home), "--json")
    assert (await ask(origin, 101, only=provider))[0] == 200


async def ask_heard(
    origin: RunningNode, tokens: int, *, only: RunningNode
) -> tuple[int, dict[str, Any]]:
    """Ask until the provider's guest was heard: its status, and the guest's answer.

    A machine that stalls makes a guest late, and the settings decide instead, as documented.
    """
    async with asyncio.timeout(HEARD_WITHIN_S):
        while True:
            status, request = await ask(origin, tokens, only=only)
            (*_, answer) = (await policy(only, "explain", request))["answers"]
            if not answer["guest_fault"]:
                return status, answer


def install(site: Path) -> None:
    """Lay out a package with an entry point, as an installer would."""
    info = site / "picky-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "picky.py").write_text(GUEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: picky\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wwwserve.policies]\npicky = picky:Picky\n")
