"""This machine's addresses are told each once, without loopback, in a steady order."""

from ipaddress import ip_interface

from wwwserve.adapters.host import read_interfaces
from wwwserve.ports.interfaces import InterfaceAddress


def test_no_loopback_and_the_same_each_time() -> None:
    found = read_interfaces()
    assert not any(one.address.is_loopback for one in found)
    assert len(set(found)) == len(found)
    assert read_interfaces() == found
    assert [one.address.version for one in found] == sorted(one.address.version for one in found)


def test_only_ipv6_has_addresses_that_mean_nothing_elsewhere() -> None:
    for text, is_link_only in (
        ("192.0.2.1/24", False),
        ("169.254.7.7/16", False),
        ("2001:db8::1/64", False),
        ("fe80::1/64", True),
    ):
        assert InterfaceAddress(ip_interface(text), 2).is_link_only is is_link_only
