"""Discovery is open as configuration and machine want it, and what it finds becomes careful calls.

The local network is one in memory (`tests.fakes.discovery`, held to the suite of the real one), the
machine's addresses are what the test says, and the log is read as its lines come out.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.discovery import FakeDiscovery, FakeLan
from wwwserve.adapters.host import MonotonicClock
from wwwserve.core.events import Event, Join, SetAddresses
from wwwserve.node.addresses import AddressWatch
from wwwserve.node.config import Config, LinksConfig, LogFormat, LogsConfig, NetworkConfig
from wwwserve.node.lan import LanWatch
from wwwserve.node.logs import NodeLog
from wwwserve.ports.discovery import Notice
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId

HOME = InterfaceAddress(ip_interface("192.0.2.10/24"), 2)
CAFE = InterfaceAddress(ip_interface("198.51.100.77/24"), 2)
NEIGHBOUR = InterfaceAddress(ip_interface("192.0.2.20/24"), 2)
BRIDGE = InterfaceAddress(ip_interface("172.17.0.1/16"), 3)
LINK = InterfaceAddress(ip_interface("fe80::10/64"), 2)
OWN, OTHER = NodeId(b"\x01" * 32), NodeId(b"\x02" * 32)
CAFE_ONLY = (CAFE.address.ip,)
NETWORK_ID = b"\x07" * 32
ANYWHERE = "0.0.0.0:8778"
WAIT_S = 20
"""Far above what it takes: a test that needs it all has failed."""


@dataclass(slots=True)
class Heard:
    """What one who listens on the fake network has been told."""

    notices: dict[NodeId, Notice] = field(default_factory=dict)

    def on_found(self, notice: Notice) -> None:
        self.notices[notice.node] = notice

    def on_gone(self, name: str) -> None:
        self.notices = {node: one for node, one in self.notices.items() if one.name != name}

    def on_ignored(self, reason: object) -> None: ...


class Machine:
    """One machine with a node's two watches; everything they say and ask for is kept."""

    def __init__(self, lan: FakeLan, log: NodeLog) -> None:
        self.lan = lan
        self.events: list[Event] = []
        self.linked: set[NodeId] = set()
        self.interfaces: tuple[InterfaceAddress, ...] = (HOME,)
        self.bound = ANYWHERE
        self.moves = 0
        self.watch = LanWatch(
            discovery=FakeDiscovery(lan, OWN, NETWORK_ID),
            is_linked=self.linked.__contains__,
            deliver=self.events.append,
            clock=MonotonicClock(),
            log=log,
            period_s=0.001,
        )
        self.addresses = AddressWatch(
            config=Config(),
            told=((), ""),
            get_bound=lambda: self.bound,
            read=lambda: self.interfaces,
            deliver=self.events.append,
            followers=(self.watch.follow,),
            on_moved=self.on_moved,
            log=log,
        )

    def on_moved(self) -> None:
        self.moves += 1

    def configure(self, *advertise: str, is_on: bool = True, region: str = "") -> None:
        """A configuration is read."""
        self.addresses.follow(
            Config(
                network=NetworkConfig(lan_discovery=is_on, region=region),
                links=LinksConfig(listen=self.bound, advertise=advertise or ("auto",)),
            )
        )

    @property
    def joins(self) -> list[Join]:
        return [event for event in self.events if isinstance(event, Join)]

    @property
    def told(self) -> list[SetAddresses]:
        return [event for event in self.events if isinstance(event, SetAddresses)]


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    with (tmp_path / "log").open("ab") as lines:
        log = NodeLog(LogsConfig(format=LogFormat.JSON), lines.fileno())
        machine = Machine(FakeLan(), log)
        task = asyncio.create_task(machine.watch.run())
        yield machine
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await machine.watch.close()
        log.close()


@pytest.fixture
def read_log(machine: Machine, tmp_path: Path) -> Callable[[], list[Any]]:
    """Its lines; once, at the end."""

    def read() -> list[Any]:
        machine.watch.log.close()
        return [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]

    return read


async def listen(lan: FakeLan) -> Heard:
    heard = Heard()
    await FakeDiscovery(lan, NodeId(b"\x09" * 32), NETWORK_ID).open([HOME], heard)
    return heard


async def announce(lan: FakeLan, node: NodeId, *places: InterfaceAddress) -> FakeDiscovery:
    discovery = FakeDiscovery(lan, node, NETWORK_ID)
    await discovery.open([HOME], Heard(), announced=places, port=4_000)
    return discovery


async def wait_until(is_met: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_met():  # noqa: ASYNC110 - a condition on other tasks
            await asyncio.sleep(0)


async def take_turns() -> None:
    """Give everything that could happen at once its turn."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_off_means_nothing_is_opened_and_nobody_looks_at_the_machine(
    machine: Machine,
) -> None:
    machine.addresses.read = lambda: pytest.fail("nobody asked for it")
    machine.configure("node.example.org:8778", is_on=False)
    await take_turns()
    assert machine.lan.opened_count == 0


async def test_on_a_node_is_announced_where_others_reach_it(machine: Machine) -> None:
    heard = await listen(machine.lan)
    machine.interfaces = (HOME, LINK)
    machine.configure()
    await wait_until(lambda: heard.notices)
    notice = heard.notices[OWN]
    assert (notice.addresses, notice.port) == ((HOME.address.ip,), 8778), "it listens on IPv4 only"


@pytest.mark.parametrize("bound", ["127.0.0.1:8778", "[::1]:8778", "198.51.100.1:8778", ""])
async def test_a_node_nobody_can_reach_looks_without_being_announced(
    machine: Machine, read_log: Callable[[], list[Any]], bound: str
) -> None:
    heard = await listen(machine.lan)
    await announce(machine.lan, OTHER, NEIGHBOUR)
    machine.bound = bound
    machine.configure("node.example.org:8778")
    await wait_until(lambda: machine.joins)
    machine.configure("node.example.org:8778", region="elsewhere")
    assert OWN not in heard.notices
    warnings = [line for line in read_log() if line["level"] == "warning"]
    assert len(warnings) == 1, "said once"
    assert "links.listen" in warnings[0]["fix"]


async def test_whoever_is_found_is_met_under_its_key_only(machine: Machine) -> None:
    await announce(machine.lan, OTHER, NEIGHBOUR, CAFE)
    machine.configure()
    await wait_until(lambda: machine.joins)
    assert machine.joins == [Join(("192.0.2.20:4000",), OTHER)], "and not in another network"


async def test_a_linked_node_is_not_called(machine: Machine) -> None:
    machine.linked.add(OTHER)
    await announce(machine.lan, OTHER, NEIGHBOUR)
    third = NodeId(b"\x03" * 32)
    machine.configure()
    await announce(machine.lan, third, InterfaceAddress(ip_interface("192.0.2.30/24"), 2))
    await wait_until(lambda: machine.joins)
    assert [join.expected for join in machine.joins] == [third]


async def test_notices_that_lead_nowhere_are_counted_and_told_now_and_then(
    machine: Machine, read_log: Callable[[], list[Any]]
) -> None:
    machine.configure()
    await wait_until(lambda: machine.lan.ears)
    for number in range(2, 125):
        await announce(machine.lan, NodeId(bytes([number]) * 32), CAFE)
    counts = [line["count"] for line in read_log() if "ignored" in line["event"]]
    assert counts == [1, 10, 100]
    assert not machine.joins


async def test_it_follows_the_machine_and_the_configuration(machine: Machine) -> None:
    heard = await listen(machine.lan)
    machine.configure()
    await wait_until(lambda: OWN in heard.notices)
    machine.interfaces = (CAFE,)
    machine.addresses.look()
    await wait_until(lambda: [one.addresses for one in heard.notices.values()] == [CAFE_ONLY])
    assert [event.addresses for event in machine.told] == [
        ("192.0.2.10:8778",),
        ("198.51.100.77:8778",),
    ]
    assert machine.moves == 2
    machine.configure(is_on=False)
    await wait_until(lambda: OWN not in heard.notices)
    machine.configure()
    await wait_until(lambda: OWN in heard.notices)
    opened = machine.lan.opened_count
    machine.configure(region="a region is none of its business")
    await take_turns()
    assert machine.lan.opened_count == opened


async def test_a_goodbye_is_final(machine: Machine) -> None:
    heard = await listen(machine.lan)
    machine.configure()
    await wait_until(lambda: OWN in heard.notices)
    await machine.watch.close()
    assert OWN not in heard.notices
    machine.interfaces = (CAFE,)
    machine.addresses.look()
    await take_turns()
    assert OWN not in heard.notices


async def test_what_does_not_work_is_tried_again_and_told_once(
    machine: Machine, read_log: Callable[[], list[Any]]
) -> None:
    machine.lan.obstacle = "no multicast"
    machine.configure()
    await wait_until(lambda: machine.lan.opened_count >= 3)
    machine.lan.obstacle = ""
    await announce(machine.lan, OTHER, NEIGHBOUR)
    await wait_until(lambda: machine.joins)
    events = [line["event"] for line in read_log() if line["event"].startswith("lan discovery")]
    assert events == ["lan discovery does not work", "lan discovery on"]


async def test_a_machine_on_no_network_is_told_once_and_waited_for(
    machine: Machine, read_log: Callable[[], list[Any]]
) -> None:
    heard = await listen(machine.lan)
    machine.interfaces = ()
    machine.configure()
    machine.addresses.look()
    assert machine.lan.opened_count == 1, "only who listens"
    machine.interfaces = (HOME,)
    machine.addresses.look()
    await wait_until(lambda: OWN in heard.notices)
    events = [line["event"] for line in read_log()]
    assert events.count("this machine is on no network") == 1
    assert events.count("this machine is on a network again") == 1


async def test_only_who_says_auto_follows_the_machine(machine: Machine) -> None:
    machine.configure("node.example.org:8778", "auto")
    machine.interfaces = (BRIDGE, HOME, LINK)
    machine.addresses.look()
    machine.configure("node.example.org:8778", region="eu")
    assert [(event.addresses, event.region) for event in machine.told] == [
        (("node.example.org:8778", "192.0.2.10:8778"), ""),
        (("node.example.org:8778", "172.17.0.1:8778", "192.0.2.10:8778"), ""),
        (("node.example.org:8778",), "eu"),
    ]
