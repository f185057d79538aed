"""What a node needs to find others on the same local network, and to be found there.

Whoever is on that network can say anything, in anybody's name. So a notice only tells where it may
be worth to knock: the link that follows proves who is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import RECORD_ADDRESSES_MAX

NOTICE_ADDRESSES_MAX: Final = RECORD_ADDRESSES_MAX
"""Addresses taken from one notice; the rest of them is not looked at."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody on the local network says: this node is to be reached there."""

    name: str
    """Of the notice; it tells a later one in its place, or its end, from others'."""
    node: NodeId
    addresses: tuple[IPv4Address | IPv6Address, ...]
    """At most `NOTICE_ADDRESSES_MAX`, with a zone where they need one."""
    port: int


class Ignored(Enum):
    """Why a notice was not passed on."""

    MALFORMED = "malformed"
    NETWORK = "of another network"
    PROTOCOL = "of no protocol version in common"


class DiscoveryOwner(Protocol):
    """Who is told of what is found."""

    def on_found(self, notice: Notice) -> None:
        """Another node of this network is announced, anew or differently; also more than once."""
        ...

    def on_gone(self, name: str) -> None:
        """The notice of that name is withdrawn or too old; perhaps it was never passed on."""
        ...

    def on_ignored(self, reason: Ignored) -> None:
        """Something was announced that does not concern this node."""
        ...


class DiscoveryFailed(Exception):
    """There is no discovery on these interfaces; the text says why, for a person."""


class Discovery(Protocol):
    """One node's eyes and voice on the local networks of its machine.

    It speaks for one node of one network, and passes on notices of that network's other nodes only.
    """

    async def open(
        self,
        interfaces: Sequence[InterfaceAddress],
        owner: DiscoveryOwner,
        *,
        announced: Sequence[InterfaceAddress] = (),
        port: int = 0,
    ) -> None:
        """Look for others through these interfaces, until closed.

        With `announced`, others are told that this node is to be reached at these addresses and
        `port`; without, they are told nothing of it. Raises `DiscoveryFailed`.
        """
        ...

    async def close(self) -> None:
        """Say goodbye, if there was an announcement, and look no more. It may be opened again."""
        ...
