"""A local network in memory: `ports.discovery.Discovery` for tests, held to the same suite."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from wwwserve.ports.discovery import (
    NOTICE_ADDRESSES_MAX,
    DiscoveryFailed,
    DiscoveryOwner,
    Ignored,
    Notice,
)
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId, node_prefix
from wwwserve.values.parameters import PROTOCOL_VERSION, PROTOCOL_VERSION_MIN


@dataclass(frozen=True, slots=True)
class _Voice:
    """What one node of the network says."""

    notice: Notice
    network_id: bytes
    versions: tuple[int, int]


@dataclass(slots=True)
class FakeLan:
    """The network: everybody on it hears everybody."""

    obstacle: str = ""
    """Why nobody can open a discovery on it; empty: everybody can."""
    voices: dict[NodeId, _Voice] = field(default_factory=dict)
    ears: "list[FakeDiscovery]" = field(default_factory=list)
    opened_count: int = 0
    """How often a discovery was opened on it, or could not be."""


class FakeDiscovery:
    """One node's discovery on a `FakeLan`."""

    def __init__(
        self,
        lan: FakeLan,
        node: NodeId,
        network_id: bytes,
        *,
        versions: tuple[int, int] = (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION),
    ) -> None:
        self.node = node
        self.network_id = network_id
        self.versions = versions
        self._lan = lan
        self._owner: DiscoveryOwner | None = None

    async def open(
        self,
        interfaces: Sequence[InterfaceAddress],
        owner: DiscoveryOwner,
        *,
        announced: Sequence[InterfaceAddress] = (),
        port: int = 0,
    ) -> None:
        assert self._owner is None
        assert interfaces
        await asyncio.sleep(0)
        self._lan.opened_count += 1
        if self._lan.obstacle:
            raise DiscoveryFailed(self._lan.obstacle)
        self._owner = owner
        self._lan.ears.append(self)
        if announced:
            addresses = tuple(one.address.ip for one in announced[:NOTICE_ADDRESSES_MAX])
            notice = Notice(node_prefix(self.node), self.node, addresses, port)
            self._lan.voices[self.node] = _Voice(notice, self.network_id, self.versions)
            for ear in self._lan.ears:
                ear.hear(self._lan.voices[self.node])
        for voice in self._lan.voices.values():
            self.hear(voice)

    async def close(self) -> None:
        await asyncio.sleep(0)
        if self._owner is None:
            return
        self._owner = None
        self._lan.ears.remove(self)
        voice = self._lan.voices.pop(self.node, None)
        for ear in self._lan.ears if voice else ():
            ear.miss(node_prefix(self.node))

    def hear(self, voice: _Voice) -> None:
        """Somebody says something."""
        assert self._owner is not None
        if voice.notice.node == self.node:
            return
        if voice.network_id != self.network_id:
            self._owner.on_ignored(Ignored.NETWORK)
        elif voice.versions[0] > self.versions[1] or voice.versions[1] < self.versions[0]:
            self._owner.on_ignored(Ignored.PROTOCOL)
        else:
            self._owner.on_found(voice.notice)

    def miss(self, name: str) -> None:
        """Somebody says goodbye."""
        assert self._owner is not None
        self._owner.on_gone(name)
