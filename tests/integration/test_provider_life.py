"""A provider's day with real processes: pause, drain, closing time, a stop in order and in haste.

Whatever the provider does, own users are served, other nodes' requests go elsewhere, and what runs
ends well. The commands are the ones a provider types; the engines are mocks of one slot, which a
test can take to keep a request running.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.network import (
    CLI,
    LOOK_S,
    MEET_WAIT_S,
    MODEL,
    MockEngine,
    Network,
    RunningNode,
    knows,
    open_network,
    run_json,
)

pytestmark = pytest.mark.slow

IN_HASTE_S = 10
"""Far above what an end at once takes, and far below what running requests are given."""


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with open_network(tmp_path) as opened:
        yield opened


SETTINGS = ("engine.slots=4", "policy.target_utilisation=1.0")
"""More than their engines have: so that a test can keep a request from its engine's slot."""


async def start(network: Network, count: int) -> list[RunningNode]:
    """So many nodes that all know each other; the first is where requests enter."""
    for _ in range(count):
        await network.start_node(*SETTINGS, engine=await network.start_engine("--slots", "1"))
    for node in network.nodes:
        await node.wait_status(knows(count - 1))
    return network.nodes


async def restart(network: Network, node: RunningNode) -> RunningNode:
    """The same node again, once another process has ended."""
    await node.process.wait()
    again = await network.start_node_again(node.home, node.api_key, *SETTINGS, engine=node.engine)
    await again.wait_status(knows(1))
    return again


async def ask(
    node: RunningNode, route: str = "network", only: RunningNode | None = None
) -> tuple[int, str]:
    """One chat completion: its status, and the executor's name as far as it is told."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    headers = {**node.headers, "x-wwwserve-route": route}
    if only is not None:
        headers["x-wwwserve-executors"] = only.node
    url = f"{node.base_url}/chat/completions"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as answer,
    ):
        await answer.read()
        return answer.status, answer.headers.get("x-wwwserve-executor", "")


async def ask_often(node: RunningNode, count: int = 6) -> list[str]:
    """Who answers the next requests, each of them well."""
    answers = await asyncio.gather(*(ask(node) for _ in range(count)))
    assert [status for status, _ in answers] == [200] * count
    return [executor for _, executor in answers]


def sees(other: RunningNode, **record: object) -> Any:
    """Whether a status page shows another node, linked and with this in its record."""

    def is_met(status: Any) -> bool:
        found = [member for member in status["members"] if member["node"] == other.node]
        return bool(found) and found[0]["is_linked"] and record.items() <= found[0].items()

    return is_met


async def test_a_pause_outlives_kill_and_others_go_elsewhere_meanwhile(network: Network) -> None:
    origin, paused, open_node = await start(network, 3)
    told = await run_json("pause", "--for", "1h", "--json", "--home", str(paused.home))
    assert told["opening"]["is_open"] is False  # type: ignore[index]
    await origin.wait_status(sees(paused, is_draining=True))
    assert all(open_node.node.startswith(name) for name in await ask_often(origin))
    assert (await ask(paused, "local"))[0] == 200, "own users are served"

    paused.kill()
    paused = await restart(network, paused)
    opening = (await paused.get("/status"))["opening"]
    assert (opening["is_open"], opening["rest"]["kind"]) == (False, "pause")
    assert datetime.fromisoformat(opening["rest"]["until"]) > datetime.now(UTC)
    await origin.wait_status(sees(paused, is_draining=True))
    assert all(open_node.node.startswith(name) for name in await ask_often(origin))
    assert (await ask(paused, "local"))[0] == 200

    told = await run_json("resume", "--json", "--home", str(paused.home))
    assert told["opening"]["is_open"] is True  # type: ignore[index]
    open_node.kill()
    await origin.wait_status(sees(paused, is_draining=False))
    assert all(paused.node.startswith(name) for name in await ask_often(origin))


async def test_outside_its_hours_a_node_serves_its_own_users_alone(network: Network) -> None:
    origin, other = await start(network, 2)
    day = f"{datetime.now(UTC) + timedelta(days=3):%a}"
    closed = await network.start_node(
        f"policy.hours={day} 10:00-12:00", "policy.time_zone=UTC", *SETTINGS
    )
    await origin.wait_status(sees(closed, is_draining=True))
    opening = (await closed.get("/status"))["opening"]
    assert (opening["is_open"], opening["is_within_hours"]) == (False, False)
    opens_at = datetime.fromisoformat(opening["hours_change_at"])
    assert f"{opens_at:%a %H:%M:%S}" == f"{day} 10:00:00"
    assert all(other.node.startswith(name) for name in await ask_often(origin))
    assert (await ask(closed, "local"))[0] == 200, "own users are served"
    shown = await run("status", "--home", str(closed.home))
    assert f"closed until {day} 10:00 UTC, by policy.hours" in shown


async def test_a_drain_lets_work_end_and_then_stops_the_node(network: Network) -> None:
    origin, drained, other = await start(network, 3)
    async with hold_engine(drained.engine):
        theirs = asyncio.create_task(ask(origin, only=drained))
        await drained.wait_status(lambda status: status["works_open"] == 1)
        home = str(drained.home)
        draining = asyncio.create_task(run_json("drain", "--stop", "--json", "--home", home))
        await origin.wait_status(sees(drained, is_draining=True))
        assert all(other.node.startswith(name) for name in await ask_often(origin))
        status = await drained.get("/status")
        assert (status["works_open"], status["opening"]["rest"]["kind"]) == (1, "drain")
    told = await draining
    assert (told["works_open"], told["is_stopped"]) == (0, True)
    assert await drained.process.wait() == 0
    answered, executor = await theirs
    assert (answered, drained.node.startswith(executor)) == (200, True)

    again = await restart(network, drained)
    assert (await again.get("/status"))["opening"]["is_open"], "the stop has ended the drain"


async def test_a_stop_in_order_says_goodbye_and_lets_all_that_runs_end(network: Network) -> None:
    origin, leaving = await start(network, 2)
    async with hold_engine(leaving.engine):
        theirs, own = await run_both(origin, leaving)
        leaving.process.send_signal(signal.SIGTERM)
        await origin.wait_status(sees(leaving, is_leaving=True))
        assert (await ask(leaving, "local"))[0] == 503, "no new request is taken"
    assert [(await each)[0] for each in (theirs, own)] == [200, 200]
    assert leaving.node.startswith((await theirs)[1])
    assert await leaving.process.wait() == 0


async def test_a_second_signal_ends_at_once_and_costs_others_no_request(network: Network) -> None:
    origin, leaving = await start(network, 2)
    async with hold_engine(leaving.engine):
        theirs, own = await run_both(origin, leaving)
        other = await network.start_node()
        await origin.wait_status(knows(2))
        leaving.process.send_signal(signal.SIGTERM)
        await origin.wait_status(sees(leaving, is_leaving=True))
        leaving.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(IN_HASTE_S):
            assert await leaving.process.wait() == 1
        with pytest.raises(aiohttp.ClientError):
            await own
        answered, executor = await theirs
        assert (answered, other.node.startswith(executor)) == (200, True)


@asynccontextmanager
async def hold_engine(engine: MockEngine) -> AsyncIterator[None]:
    """Take an engine's only slot: whatever a node runs on it goes on until this ends."""
    url = f"{engine.url}/v1/chat/completions"
    body = {"model": "mock-model", "messages": [], "mock": {"first_token_us": 3_600_000_000}}
    async with aiohttp.ClientSession() as session:
        holder = asyncio.create_task(session.post(url, json=body))
        async with asyncio.timeout(MEET_WAIT_S):
            while (await engine.read_state())["running"] != 1:  # noqa: ASYNC110 - a process
                await asyncio.sleep(LOOK_S)
        yield
        holder.cancel()
        with suppress(asyncio.CancelledError, aiohttp.ClientError):
            await holder


async def run_both(
    origin: RunningNode, node: RunningNode
) -> tuple[asyncio.Task[tuple[int, str]], asyncio.Task[tuple[int, str]]]:
    """Have a request of another node and one of an own user run on a node."""
    theirs = asyncio.create_task(ask(origin))
    own = asyncio.create_task(ask(node, "local"))
    await node.wait_status(lambda status: (status["works_open"], status["requests_open"]) == (1, 1))
    return theirs, own


async def run(*arguments: str) -> str:
    """What a command prints for people."""
    process = await asyncio.create_subprocess_exec(*CLI, *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, arguments
    return output.decode()
