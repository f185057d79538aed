"""Fixtures of the suites for transports: two nodes, in memory and on real TLS, on both loops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.joined_links import (
    Joined,
    World,
    get_id,
    make_loopback,
    make_tcp,
)
from tests.link_owners import Recorder

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Links live on the standard loop and on uvloop; the other suites do not care."""
    if item.path.name.startswith("test_transport"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(params=["loopback", "tcp"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    world = World(make_tcp if request.param == "tcp" else make_loopback())
    yield world
    for transport in world.made:
        await transport.close()


@pytest.fixture
async def joined(world: World) -> Joined:
    here, there = world.make(1), world.make(2)
    here_owner, there_owner = Recorder(), Recorder()
    address = await there.listen("127.0.0.1:0", there_owner.on_link)
    link = await here.dial(address, get_id(2), here_owner.on_link)
    return Joined(link, await there_owner.links.get(), here_owner, there_owner, (here, there))
