"""How a node's notice is written in multicast DNS, and read from what anybody may have written.

A notice is a service instance of the type `_wwwserve._tcp.local.` with a TXT record of four keys:

    v=1                   the form of this record
    net=9f2c...           the network: the first 8 bytes of its identity, as hexadecimal digits
    node=abcd...          the node's printable name
    proto=1-1             the oldest and the newest link protocol it speaks

Nothing in it is about the machine: the names of instance and host are made of the node's key.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from wwwserve.ports.discovery import NOTICE_ADDRESSES_MAX, Ignored, Notice
from wwwserve.values.ids import NodeId, node_prefix, node_text, parse_node_id
from wwwserve.values.refusals import BadInput

SERVICE_TYPE: Final = "_wwwserve._tcp.local."
FORM: Final = b"1"
NAME_LENGTH_MAX: Final = 63 + 1 + len(SERVICE_TYPE)
"""Characters of an instance's whole name: one label, a dot, the type."""
TEXT_BYTES_MAX: Final = 512
"""A TXT record; ours has about 110 bytes, and a later form may have more."""
_NETWORK_BYTES = 8
_PROTOCOL = re.compile(rb"(\d{1,5})-(\d{1,5})", re.ASCII)


class NoticeIgnored(Exception):
    """A notice is not for us."""

    def __init__(self, reason: Ignored) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Identity:
    """Who announces, or listens: a node, its network, and the link protocols it speaks."""

    node: NodeId
    network_id: bytes
    versions: tuple[int, int]
    """The oldest and the newest."""

    @property
    def instance(self) -> str:
        """The instance's whole name."""
        return f"{node_prefix(self.node)}.{SERVICE_TYPE}"

    @property
    def host(self) -> str:
        """The name of the host it runs on, as far as anybody is told."""
        return f"wwwserve-{node_prefix(self.node)}.local."

    @property
    def network(self) -> bytes:
        """The network's name in a notice: enough to tell networks apart, not to learn a name."""
        return self.network_id[:_NETWORK_BYTES].hex().encode()

    def write(self) -> dict[str, bytes]:
        """The TXT record of its notice."""
        oldest, newest = self.versions
        return {
            "v": FORM,
            "net": self.network,
            "node": node_text(self.node).encode(),
            "proto": f"{oldest}-{newest}".encode(),
        }


@dataclass(frozen=True, slots=True)
class RawNotice:
    """What multicast DNS has of one instance; nothing of it is checked."""

    name: str
    text: bytes
    """The TXT record as it came."""
    properties: Mapping[bytes, bytes | None]
    """The same, taken apart."""
    addresses: Sequence[str]
    port: int


def read_notice(raw: RawNotice, listener: Identity) -> Notice:
    """What a notice says to `listener`. Raises `NoticeIgnored`."""
    told = raw.properties
    is_bounded = len(raw.name) <= NAME_LENGTH_MAX and len(raw.text) <= TEXT_BYTES_MAX
    if not is_bounded or told.get(b"v") != FORM or not 0 < raw.port < 2**16:
        raise NoticeIgnored(Ignored.MALFORMED)
    if told.get(b"net") != listener.network:
        raise NoticeIgnored(Ignored.NETWORK)
    if not _speaks_with(told.get(b"proto") or b"", listener.versions):
        raise NoticeIgnored(Ignored.PROTOCOL)
    node = _read_node(told.get(b"node") or b"")
    addresses = tuple(_read_address(text) for text in raw.addresses[:NOTICE_ADDRESSES_MAX])
    return Notice(raw.name, node, addresses, raw.port)


def _speaks_with(text: bytes, versions: tuple[int, int]) -> bool:
    match = _PROTOCOL.fullmatch(text)
    if match is None:
        raise NoticeIgnored(Ignored.MALFORMED)
    oldest, newest = versions
    return int(match[1]) <= newest and oldest <= int(match[2])


def _read_node(text: bytes) -> NodeId:
    try:
        return parse_node_id(text.decode("ascii"))
    except (BadInput, UnicodeDecodeError):
        raise NoticeIgnored(Ignored.MALFORMED) from None


def _read_address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise NoticeIgnored(Ignored.MALFORMED) from None
