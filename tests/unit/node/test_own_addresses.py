"""Where others should dial a node, given where it listens and what its operator named.

The addresses of its machine are any that a test likes.
"""

from ipaddress import ip_interface

import pytest

from wwwserve.node import Config, Layer, parse_config
from wwwserve.node.setup_parts import list_addresses, list_reachable
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.limits import RECORD_ADDRESSES_MAX

WILDCARD = "0.0.0.0"  # noqa: S104 - only spoken of, never bound


def parse(**sections: object) -> Config:
    return parse_config([Layer("config.toml", sections)]).config


HERE = tuple(
    InterfaceAddress(ip_interface(text), 2)
    for text in ("192.0.2.10/24", "198.51.100.7/24", "2001:db8::10/64", "fe80::10/64")
)


@pytest.mark.parametrize(
    ("listen", "advertise", "bound", "addresses"),
    [
        ("127.0.0.1:0", [], "127.0.0.1:4000", ("127.0.0.1:4000",)),
        ("127.0.0.1:0", ["auto"], "127.0.0.1:4000", ("127.0.0.1:4000",)),
        (f"{WILDCARD}:0", ["auto"], f"{WILDCARD}:4000", ("192.0.2.10:4000", "198.51.100.7:4000")),
        ("[::]:0", ["auto"], "[::]:4000", ("[2001:db8::10]:4000",)),
        ("192.0.2.10:0", ["auto"], "192.0.2.10:4000", ("192.0.2.10:4000",)),
        (
            f"{WILDCARD}:0",
            ["auto", "node.example.org:1"],
            f"{WILDCARD}:4000",
            ("192.0.2.10:4000", "198.51.100.7:4000", "node.example.org:1"),
        ),
        ("", ["auto"], "", ()),
    ],
)
def test_auto_stands_for_the_addresses_at_which_the_node_listens(
    listen: str, advertise: list[str], bound: str, addresses: tuple[str, ...]
) -> None:
    config = parse(links={"listen": listen, "advertise": advertise})
    assert list_addresses(config, bound, HERE) == addresses


def test_the_addresses_an_operator_named_have_their_room() -> None:
    crowd = [InterfaceAddress(ip_interface(f"192.0.2.{number}/24"), 2) for number in range(1, 100)]
    links = {"listen": f"{WILDCARD}:1", "advertise": ["auto", "a.example.org:1", "b.example.org:1"]}
    addresses = list_addresses(parse(links=links), f"{WILDCARD}:1", crowd)
    assert len(addresses) == RECORD_ADDRESSES_MAX
    assert addresses[-2:] == ("a.example.org:1", "b.example.org:1")


@pytest.mark.parametrize(
    ("bound", "reachable"),
    [
        ("", []),
        ("127.0.0.1:1", []),
        (f"{WILDCARD}:1", ["192.0.2.10", "198.51.100.7"]),
        ("[::]:1", ["2001:db8::10", "fe80::10"]),
        ("198.51.100.7:1", ["198.51.100.7"]),
        ("[fe80::10%2]:1", ["fe80::10"]),
        ("203.0.113.1:1", []),
    ],
)
def test_others_reach_a_node_where_it_listens_and_the_machine_is(
    bound: str, reachable: list[str]
) -> None:
    assert [str(one.address.ip) for one in list_reachable(bound, HERE)] == reachable
