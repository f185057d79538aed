"""What a node needs to know of the networks its machine is on: the machine's own addresses."""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address of this machine, with the network it belongs to; never a loopback one."""

    address: IPv4Interface | IPv6Interface
    """Without a zone."""
    index: int
    """The number of its interface here: the zone of an address of the link only."""

    @property
    def is_link_only(self) -> bool:
        """Whether it means nothing without the interface it is reached by (fe80::/10)."""
        return isinstance(self.address, IPv6Interface) and self.address.is_link_local
