"""The addresses of this machine's network interfaces."""

from collections.abc import Iterator
from ipaddress import ip_interface

import ifaddr

from wwwserve.ports.interfaces import InterfaceAddress


def read_interfaces() -> tuple[InterfaceAddress, ...]:
    """Every address of this machine but loopback, IPv4 first, each once, in a steady order.

    A system that does not tell has none.
    """
    try:
        found = set(_list_addresses())
    except OSError:
        return ()
    return tuple(sorted(found, key=lambda one: (one.address.version, one.address, one.index)))


def _list_addresses() -> Iterator[InterfaceAddress]:
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            host = one.ip if isinstance(one.ip, str) else one.ip[0]
            address = ip_interface(f"{host.partition('%')[0]}/{one.network_prefix}")
            if not address.is_loopback:
                yield InterfaceAddress(address, adapter.index or 0)
