"""A liar on the local network announces thousands, and nonsense: a node calls a few and goes on.

Real multicast DNS packets on the loopback interface, made with the library's own writer where they
are well formed and by hand where they are not.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from ipaddress import ip_interface
from pathlib import Path

import pytest
from zeroconf import DNSOutgoing  # type: ignore[attr-defined]  # there, and not listed
from zeroconf.asyncio import AsyncServiceInfo

from wwwserve.adapters.discovery import MulticastDiscovery
from wwwserve.adapters.discovery.notices import SERVICE_TYPE, Identity
from wwwserve.adapters.host import MonotonicClock
from wwwserve.core.events import Event, Join
from wwwserve.node.config import Config, LinksConfig, LogFormat, LogsConfig, NetworkConfig
from wwwserve.node.found_nodes import CALLS_BURST_MAX
from wwwserve.node.lan import LanWatch
from wwwserve.node.logs import NodeLog
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId, node_text

LOOPBACK = InterfaceAddress(ip_interface("127.0.0.1/8"), 1)
GROUP = ("224.0.0.251", 5353)
RESPONSE = 0x8400
"""Flags of an authoritative answer (RFC 6762, section 18)."""
WAIT_S = 30

pytestmark = pytest.mark.slow


class Liar:
    """Sends packets to whoever listens."""

    def __init__(self, network_id: bytes) -> None:
        self._network_id = network_id
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
        )
        self._socket.bind(("127.0.0.1", 0))

    def announce(self, speaker: NodeId, **changes: bytes) -> None:
        """One notice, all of it in one packet, with some of its text changed."""
        identity = Identity(speaker, self._network_id, (1, 1))
        info = AsyncServiceInfo(
            SERVICE_TYPE,
            f"{node_text(speaker)}.{SERVICE_TYPE}",
            8778,
            properties={**identity.write(), **changes},
            server=f"{node_text(speaker)}.local.",
            parsed_addresses=["127.0.0.3"],
        )
        out = DNSOutgoing(RESPONSE)
        for record in (info.dns_pointer(), info.dns_service(), info.dns_text()):
            out.add_answer_at_time(record, 0)
        for address in info.dns_addresses():
            out.add_answer_at_time(address, 0)
        for packet in out.packets():
            self.send(packet)

    def send(self, packet: bytes) -> None:
        self._socket.sendto(packet, GROUP)

    def close(self) -> None:
        self._socket.close()


class Stage:
    """One node's watch on real multicast, and the liar."""

    def __init__(self, log: NodeLog) -> None:
        network_id = secrets.token_bytes(32)
        own = NodeId(secrets.token_bytes(32))
        self.liar = Liar(network_id)
        self.events: list[Event] = []
        self.watch = LanWatch(
            discovery=MulticastDiscovery(own, network_id),
            is_linked=lambda _: False,
            deliver=self.events.append,
            clock=MonotonicClock(),
            log=log,
            period_s=0.01,
        )

    @property
    def joins(self) -> list[Join]:
        return [event for event in self.events if isinstance(event, Join)]

    async def wait_join(self, node: NodeId) -> None:
        """Announce somebody until it is heard: a flood leaves no room for a single packet."""
        async with asyncio.timeout(WAIT_S):
            while not any(join.expected == node for join in self.joins):
                self.liar.announce(node)
                await asyncio.sleep(0.05)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    with (tmp_path / "log").open("ab") as lines:
        log = NodeLog(LogsConfig(format=LogFormat.JSON), lines.fileno())
        stage = Stage(log)
        config = Config(
            network=NetworkConfig(lan_discovery=True), links=LinksConfig(listen="127.0.0.9:1")
        )
        stage.watch.follow(config, "127.0.0.9:1", (LOOPBACK,))
        task = asyncio.create_task(stage.watch.run())
        try:
            await stage.wait_join(make_node())
        except TimeoutError:
            if os.environ.get("CI") == "true":
                pytest.fail("multicast on the loopback interface (UDP port 5353) is needed")
            pytest.skip("no multicast on the loopback interface")
        yield stage
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await stage.watch.close()
        stage.liar.close()
        log.close()


def make_node() -> NodeId:
    return NodeId(secrets.token_bytes(32))


async def test_of_thousands_a_few_are_called(stage: Stage, tmp_path: Path) -> None:
    async with asyncio.timeout(WAIT_S):
        # The socket's buffer has room for some packets only; so until more than enough were heard.
        while b"one too many" not in (tmp_path / "log").read_bytes():
            for _ in range(20):
                stage.liar.announce(make_node())
            await asyncio.sleep(0.001)
    assert len(stage.joins) == CALLS_BURST_MAX


async def test_nonsense_is_left_lying(stage: Stage) -> None:
    for number in range(200):
        stage.liar.send(secrets.token_bytes(number * 7))
        stage.liar.send(RESPONSE.to_bytes(4, "big") + b"\0\1" * 4 + secrets.token_bytes(number))
        stage.liar.announce(make_node(), net=secrets.token_bytes(8), node=b"\xff" * number)
        stage.liar.announce(make_node(), proto=b"9" * number)
        if number % 10 == 0:
            await asyncio.sleep(0)
    assert len(stage.joins) == 1
    await stage.wait_join(make_node())
