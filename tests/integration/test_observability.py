"""What two real nodes tell of one request agrees: by its id in both logs, by numbers in metrics.

Real processes before mock engines; logs are what the processes wrote, pages what they serve, and
what is found is what the command prints.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.network import (
    CLI,
    MEET_WAIT_S,
    MODEL,
    Network,
    RunningNode,
    knows,
    open_network,
)
from wwwserve.values.ids import node_prefix, parse_node_id

pytestmark = pytest.mark.slow

SECRET = "what nobody else may read"
REQUEST = "x-wwwserve-request-id"


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as opened:
        yield opened


async def ask(node: RunningNode, route: str) -> str:
    """One chat request; returns its id."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": SECRET}],
        "x-wwwserve-route": route,
    }
    async with (
        aiohttp.ClientSession(headers=node.headers) as session,
        session.post(f"{node.base_url}/chat/completions", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return answer.headers[REQUEST]


async def read_log(node: RunningNode, request: str, last: str) -> list[Any]:
    """The lines about one request, once the last of them is there."""
    async with asyncio.timeout(MEET_WAIT_S):
        while True:
            lines = [line for line in node.read_log() if line.get("request") == request]
            if lines and lines[-1]["event"] == last:
                return lines
            await asyncio.sleep(0.05)


async def read_metrics(node: RunningNode) -> dict[str, float]:
    """Every sample, labels summed away."""
    token = (node.home / "metrics.token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{node.admin}/metrics") as answer,
    ):
        assert answer.status == 200
        page = await answer.text()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


async def test_a_request_can_be_followed_through_both_nodes(network: Network) -> None:
    settings = ("logs.level=debug", "policy.target_utilisation=1.0")
    origin = await network.start_node(*settings)
    executor = await network.start_node(*settings)
    await origin.wait_status(knows(1))
    request = await ask(origin, "network")
    story = await read_log(origin, request, "request finished")
    assert [line["event"] for line in story] == [
        "request received",
        "attempt started",
        "request finished",
    ]
    short = node_prefix(parse_node_id(executor.node))
    assert (story[-1]["route"], story[-1]["peer"], story[-1]["model"]) == ("network", short, MODEL)
    assert story[-1]["completion_tokens"] > 0
    assert story[-1]["total_ms"] >= story[-1]["first_output_ms"]
    other = await read_log(executor, request, "work finished")
    events = [line["event"] for line in other]
    # Asked twice, by a probe and by the offer; what was decided is told after what comes of it.
    assert [event for event in events if event != "request decided"] == [
        "work started",
        "work finished",
    ]
    assert [line["answer"] for line in other if line["event"] == "request decided"] == [
        "accepted",
        "accepted",
    ]
    peers = {line["peer"] for line in other if "peer" in line}
    assert peers == {node_prefix(parse_node_id(origin.node))}
    assert other[-1]["completion_tokens"] == story[-1]["completion_tokens"]
    for line in (*story, *other):
        assert list(line)[:4] == ["time", "level", "event", "node"]
        assert line["time"].endswith("Z")


async def test_no_log_holds_a_prompt_a_key_or_a_token(network: Network) -> None:
    origin = await network.start_node("logs.level=debug")
    request = await ask(origin, "local")
    await read_log(origin, request, "request finished")
    log = (origin.home / "log").read_text()
    token = (origin.home / "metrics.token").read_text().strip()
    for secret in (SECRET, origin.api_key, origin.admin_token, token):
        assert secret not in log


async def test_numbers_move_with_real_requests(network: Network) -> None:
    origin = await network.start_node("policy.target_utilisation=1.0")
    executor = await network.start_node("policy.target_utilisation=1.0")
    await origin.wait_status(knows(1))
    before = await read_metrics(origin)
    assert before["wwwserve_links"] == 1
    await asyncio.gather(*(ask(origin, route) for route in ("local", "local", "network")))
    after = await read_metrics(origin)
    assert after["wwwserve_requests_total"] == 3
    assert after["gen_ai_server_request_duration_seconds_count"] == 3
    assert after["gen_ai_server_time_to_first_token_seconds_count"] == 3
    assert after["wwwserve_completion_tokens_total"] > 3
    assert after["process_cpu_seconds_total"] > before["process_cpu_seconds_total"]
    done = await read_metrics(executor)
    assert done["wwwserve_works_total"] == 1
    assert done["wwwserve_work_completion_tokens_total"] > 0
    assert "wwwserve_requests_total" not in done


async def run_doctor(*arguments: str) -> tuple[int | None, Any]:
    """The command's exit code and what it found."""
    process = await asyncio.create_subprocess_exec(
        *CLI, "doctor", "--json", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return process.returncode, json.loads(output)


async def test_doctor_examines_a_running_node_and_one_that_was_killed(network: Network) -> None:
    first = await network.start_node()
    node = await network.start_node()
    await node.wait_status(knows(1))
    settings = (
        *(f"engine.url={node.engine.url}", "gateway.port=0", "admin.port=0"),
        "links.listen=127.0.0.1:0",
    )
    flags = ["--home", str(node.home)]
    flags += [word for setting in settings for word in ("--set", setting)]
    bootstrap = ("--set", f"network.bootstrap={first.links[0]}")
    code, told = await run_doctor(*flags, *bootstrap)
    assert (code, told["is_running"]) == (0, True)
    found = {finding["check"]: finding for finding in told["findings"]}
    assert not [one for one in told["findings"] if one["level"] in ("warning", "error")]
    assert found["peers"]["found"] == "1 alive of 1 known, 1 linked"
    assert found["own address"]["found"].startswith(node.links[0])
    assert found["meeting points"]["found"] == "all 1 answer"
    for secret in (node.admin_token, node.api_key):
        assert secret not in json.dumps(told)

    node.kill()
    await node.process.wait()
    code, told = await run_doctor(*flags, "--set", "engine.url=http://127.0.0.1:9")
    assert (code, told["is_running"]) == (1, False)
    found = {finding["check"]: finding for finding in told["findings"]}
    assert "killed" in found["run.json"]["found"]
    assert found["engine engine"]["level"] == "error"
    assert found["own address"]["found"].startswith("127.0.0.1:")
