"""Discovery by multicast DNS, as printers and speakers do it.

All a node says fits one packet, and every answer carries all of it. So what comes is read as it
comes, and nobody is asked for a missing part: a crowd of names makes this node send nothing.
The library keeps at most 10,000 records, whoever sends them, each as long as it says, at most.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Interface
from typing import Final

from zeroconf import DNSQuestionType, ServiceListener, Zeroconf
from zeroconf import Error as ZeroconfError
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from wwwserve.adapters.discovery.notices import (
    SERVICE_TYPE,
    Identity,
    NoticeIgnored,
    RawNotice,
    read_notice,
)
from wwwserve.ports.discovery import DiscoveryFailed, DiscoveryOwner
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId
from wwwserve.values.parameters import PROTOCOL_VERSION, PROTOCOL_VERSION_MIN

HOST_LIFE_S: Final = 120
"""How long an address is believed without being told again (RFC 6762, section 10)."""
NOTICE_LIFE_S: Final = 4_500
"""The same for all else, as that section has it: so long a killed node stays announced."""

_FAILURES = (OSError, RuntimeError, ZeroconfError)
"""What the library raises for what the world does."""

# What it warns of, an interface that comes or goes, is not an operator's to mend.
logging.getLogger("zeroconf").setLevel(logging.ERROR)


class MulticastDiscovery:
    """The port's `Discovery` on real networks."""

    def __init__(
        self,
        node: NodeId,
        network_id: bytes,
        *,
        versions: tuple[int, int] = (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION),
    ) -> None:
        """Speak for one node of one network."""
        self._identity = Identity(node, network_id, versions)
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None

    async def open(
        self,
        interfaces: Sequence[InterfaceAddress],
        owner: DiscoveryOwner,
        *,
        announced: Sequence[InterfaceAddress] = (),
        port: int = 0,
    ) -> None:
        """See `Discovery`."""
        assert self._zeroconf is None
        try:
            self._zeroconf = zeroconf = AsyncZeroconf(interfaces=_choose(interfaces))
            await zeroconf.zeroconf.async_wait_for_start()
            # Answers to all: one sent to this machine alone reaches only one of the programs that
            # share the port, which may be another node, or the system's own resolver.
            self._browser = AsyncServiceBrowser(
                zeroconf.zeroconf,
                SERVICE_TYPE,
                listener=_Listener(self._identity, owner),
                question_type=DNSQuestionType.QM,
            )
            if announced:
                await self._announce(zeroconf, announced, port)
        except _FAILURES as error:
            await self.close()
            raise DiscoveryFailed(str(error) or type(error).__name__) from error
        if not zeroconf.zeroconf.engine.senders:
            await self.close()
            raise DiscoveryFailed("no interface of this machine takes multicast")

    async def close(self) -> None:
        """See `Discovery`."""
        browser, self._browser = self._browser, None
        zeroconf, self._zeroconf = self._zeroconf, None
        if browser is not None:
            await browser.async_cancel()
        if zeroconf is not None:
            # What cannot be closed in order has lost its sockets already.
            with suppress(*_FAILURES):
                await zeroconf.async_close()

    async def _announce(
        self, zeroconf: AsyncZeroconf, announced: Sequence[InterfaceAddress], port: int
    ) -> None:
        info = AsyncServiceInfo(
            SERVICE_TYPE,
            self._identity.instance,
            port,
            properties=self._identity.write(),
            server=self._identity.host,
            host_ttl=HOST_LIFE_S,
            other_ttl=NOTICE_LIFE_S,
            parsed_addresses=[str(one.address.ip) for one in announced],
        )
        # The name comes of a key nobody else has. Asking first whether it is free would only allow
        # whoever says "no" to silence this node.
        await (await zeroconf.async_register_service(info, cooperating_responders=True))


class _Listener(ServiceListener):
    """Passes on what is about others of the same network."""

    def __init__(self, identity: Identity, owner: DiscoveryOwner) -> None:
        self._identity = identity
        self._owner = owner

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """A name was heard, with all that belongs to it, or a part of that."""
        info = AsyncServiceInfo(type_, name)
        if not info.load_from_cache(zc):
            return
        raw = RawNotice(
            name=name,
            text=info.text,
            properties=info.properties,
            addresses=info.parsed_scoped_addresses(),
            port=info.port or 0,
        )
        try:
            notice = read_notice(raw, self._identity)
        except NoticeIgnored as ignored:
            self._owner.on_ignored(ignored.reason)
            return
        if notice.node != self._identity.node:
            self._owner.on_found(notice)

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Some of it is different now, or there at last."""
        self.add_service(zc, type_, name)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Its goodbye was heard, or its time is over."""
        self._owner.on_gone(name)


def _choose(interfaces: Sequence[InterfaceAddress]) -> list[str | int]:
    """The interfaces as the library wants them: IPv4 by address, IPv6 by number."""
    by_address: dict[str, None] = {}
    by_number: dict[int, None] = {}
    for one in interfaces:
        if isinstance(one.address, IPv4Interface):
            by_address[str(one.address.ip)] = None
        else:
            by_number[one.index] = None
    return [*by_address, *by_number]
