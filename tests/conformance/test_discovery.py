"""Every discovery keeps the promises of `ports.discovery`: in memory, and by multicast DNS.

The real one runs on the loopback interface of this machine, where no other machine hears it; each
test has a network of its own, so that tests at the same moment do not meet.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface

import pytest

from tests.fakes.discovery import FakeDiscovery, FakeLan
from wwwserve.adapters.discovery import MulticastDiscovery
from wwwserve.ports.discovery import Discovery, DiscoveryFailed, Ignored, Notice
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId

LOOPBACK = InterfaceAddress(ip_interface("127.0.0.1/8"), 1)
OTHER = InterfaceAddress(ip_interface("127.0.0.2/8"), 1)
WAIT_S = 20
"""Far above what it takes: a test that needs it all has failed."""


@dataclass(slots=True)
class Ear:
    """An owner that remembers what it was told."""

    found: dict[str, Notice] = field(default_factory=dict)
    ignored: list[Ignored] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def on_found(self, notice: Notice) -> None:
        self.found[notice.name] = notice
        self._news.set()

    def on_gone(self, name: str) -> None:
        self.found.pop(name, None)
        self._news.set()

    def on_ignored(self, reason: Ignored) -> None:
        self.ignored.append(reason)
        self._news.set()

    def hears(self, node: NodeId) -> bool:
        return any(notice.node == node for notice in self.found.values())

    async def wait(self, is_met: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not is_met():
                await self._news.wait()
                self._news.clear()


@dataclass(slots=True)
class Lan:
    """Makes discoveries that hear each other; ends them with the test."""

    fake: FakeLan | None
    network_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    made: list[Discovery] = field(default_factory=list)

    def make(
        self, node: NodeId, network_id: bytes = b"", versions: tuple[int, int] = (1, 1)
    ) -> Discovery:
        network = network_id or self.network_id
        discovery: Discovery = (
            MulticastDiscovery(node, network, versions=versions)
            if self.fake is None
            else FakeDiscovery(self.fake, node, network, versions=versions)
        )
        self.made.append(discovery)
        return discovery

    async def look(self) -> Ear:
        """Somebody who only looks."""
        ear = Ear()
        await self.make(make_node()).open([LOOPBACK], ear)
        return ear


def make_node() -> NodeId:
    return NodeId(secrets.token_bytes(32))


async def find_obstacle() -> str:
    """Why no multicast works on this machine's loopback; empty if it does."""
    here, there, ear = Lan(None), make_node(), Ear()
    try:
        await here.make(there).open([LOOPBACK], Ear(), announced=[LOOPBACK], port=9)
        await here.make(make_node()).open([LOOPBACK], ear)
        await ear.wait(lambda: ear.hears(there))
    except (DiscoveryFailed, TimeoutError) as error:
        return f"multicast on the loopback interface (UDP port 5353) is needed: {error!r}"
    finally:
        for made in here.made:
            await made.close()
    return ""


@pytest.fixture(scope="session")
def multicast() -> str:
    """Why there is none; looked at once."""
    return asyncio.run(find_obstacle())


@pytest.fixture(params=["fake", pytest.param("multicast", marks=pytest.mark.slow)])
def fake(request: pytest.FixtureRequest) -> FakeLan | None:
    """The network in memory, or None for the real one."""
    if request.param == "fake":
        return FakeLan()
    if obstacle := request.getfixturevalue("multicast"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(obstacle)
    return None


@pytest.fixture
async def lan(fake: FakeLan | None) -> AsyncIterator[Lan]:
    lan = Lan(fake)
    yield lan
    for made in lan.made:
        await made.close()


async def test_two_that_are_announced_find_each_other(lan: Lan) -> None:
    one, other = make_node(), make_node()
    one_ear, other_ear = Ear(), Ear()
    await lan.make(one).open([LOOPBACK], one_ear, announced=[LOOPBACK, OTHER], port=4_001)
    await lan.make(other).open([LOOPBACK], other_ear, announced=[OTHER], port=4_002)
    await one_ear.wait(lambda: one_ear.hears(other))
    await other_ear.wait(lambda: other_ear.hears(one))
    (found,) = one_ear.found.values()
    assert (found.node, found.addresses, found.port) == (other, (ip_address("127.0.0.2"),), 4_002)
    (found,) = other_ear.found.values()
    assert set(found.addresses) == {ip_address("127.0.0.1"), ip_address("127.0.0.2")}
    assert found.port == 4_001


async def test_who_only_looks_finds_and_is_not_found(lan: Lan) -> None:
    announced, looker = make_node(), make_node()
    ear, looking_ear = Ear(), Ear()
    await lan.make(announced).open([LOOPBACK], ear, announced=[LOOPBACK], port=4_001)
    await lan.make(looker).open([LOOPBACK], looking_ear)
    await looking_ear.wait(lambda: looking_ear.hears(announced))
    third = make_node()
    await lan.make(third).open([LOOPBACK], Ear(), announced=[LOOPBACK], port=4_003)
    await ear.wait(lambda: ear.hears(third))
    assert not ear.hears(looker)
    assert not ear.hears(announced), "itself"


async def test_another_network_is_only_counted(lan: Lan) -> None:
    ear = await lan.look()
    stranger = lan.make(make_node(), network_id=secrets.token_bytes(32))
    await stranger.open([LOOPBACK], Ear(), announced=[LOOPBACK], port=4_001)
    await ear.wait(lambda: Ignored.NETWORK in ear.ignored)
    assert not ear.found


async def test_no_protocol_in_common_is_only_counted(lan: Lan) -> None:
    ear = await lan.look()
    newer = lan.make(make_node(), versions=(2, 3))
    await newer.open([LOOPBACK], Ear(), announced=[LOOPBACK], port=4_001)
    await ear.wait(lambda: Ignored.PROTOCOL in ear.ignored)
    assert not ear.found


async def test_a_goodbye_is_heard_at_once(lan: Lan) -> None:
    ear, node = await lan.look(), make_node()
    leaving = lan.make(node)
    await leaving.open([LOOPBACK], Ear(), announced=[LOOPBACK], port=4_001)
    await ear.wait(lambda: ear.hears(node))
    await leaving.close()
    await ear.wait(lambda: not ear.found)


async def test_who_moves_is_found_in_the_new_place(lan: Lan) -> None:
    ear, node = await lan.look(), make_node()
    moving = lan.make(node)
    await moving.open([LOOPBACK], Ear(), announced=[LOOPBACK], port=4_001)
    await ear.wait(lambda: ear.hears(node))
    await moving.close()
    await moving.open([LOOPBACK], Ear(), announced=[OTHER], port=4_002)

    def is_met() -> bool:
        return [(one.addresses, one.port) for one in ear.found.values()] == [
            ((ip_address("127.0.0.2"),), 4_002)
        ]

    await ear.wait(is_met)


async def test_closing_what_is_not_open_does_nothing(lan: Lan) -> None:
    discovery = lan.make(make_node())
    await discovery.close()
    await discovery.open([LOOPBACK], Ear())
    await discovery.close()
    await discovery.close()
