"""However many nodes somebody announces, only a few are remembered, and few are called.

Times are numbers, and which nodes are linked is said by the test.
"""

from ipaddress import ip_address, ip_interface

import pytest

from wwwserve.core.gossip.state import MEETINGS_MAX
from wwwserve.node.found_nodes import (
    CALL_AGAIN_US,
    CALL_PERIOD_US,
    CALLS_BURST_MAX,
    FOUND_MAX,
    FoundNodes,
    list_near,
)
from wwwserve.ports.discovery import Notice
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND, Moment

MINUTE = 60 * SECOND
INTERFACES = (
    InterfaceAddress(ip_interface("192.0.2.10/24"), 2),
    InterfaceAddress(ip_interface("172.17.0.1/16"), 3),
    InterfaceAddress(ip_interface("2001:db8::10/64"), 2),
    InterfaceAddress(ip_interface("fe80::10/64"), 2),
)


def make_node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


def make_found(count: int) -> FoundNodes:
    found = FoundNodes()
    for number in range(count):
        found.put(f"n{number}", make_node(number), ("192.0.2.7:1",), Moment(0))
    return found


def call(found: FoundNodes, now_us: int, linked: frozenset[NodeId] = frozenset()) -> list[NodeId]:
    return [one.node for one in found.take_due(Moment(now_us), lambda node: node in linked)]


def test_who_is_found_is_called_once() -> None:
    found = make_found(1)
    assert call(found, 0) == [make_node(0)]
    assert call(found, 10 * MINUTE) == []
    assert call(found, CALL_AGAIN_US) == [make_node(0)], "still announced, still not linked"


def test_who_is_linked_is_not_called_until_the_link_has_gone() -> None:
    found = make_found(1)
    linked = frozenset({make_node(0)})
    assert call(found, 0, linked) == []
    assert call(found, CALL_PERIOD_US) == [make_node(0)]


def test_the_same_again_changes_nothing_and_another_place_is_called_at_once() -> None:
    found = make_found(1)
    call(found, 0)
    found.put("n0", make_node(0), ("192.0.2.7:1",), Moment(1))
    assert call(found, 1) == []
    found.put("n0", make_node(0), ("192.0.2.8:1",), Moment(2))
    assert call(found, 2) == [make_node(0)]


def test_who_says_goodbye_is_forgotten() -> None:
    found = make_found(2)
    found.remove("n0")
    found.remove("never heard")
    assert call(found, 0) == [make_node(1)]
    found.clear()
    assert found.count == 0


def test_a_crowd_takes_no_more_room_than_there_is() -> None:
    found = make_found(FOUND_MAX)
    for number in range(FOUND_MAX, 3 * FOUND_MAX):
        assert not found.put(f"n{number}", make_node(number), ("192.0.2.7:1",), Moment(0))
        assert found.count == FOUND_MAX
    assert found.put(f"n{2 * FOUND_MAX}", make_node(1), ("192.0.2.9:1",), Moment(0)), "known"
    found.remove(f"n{2 * FOUND_MAX}")
    assert found.put("one more", make_node(999), ("192.0.2.7:1",), Moment(0))


def test_a_newcomer_is_called_first_however_many_were_announced_before() -> None:
    found = make_found(2 * FOUND_MAX)
    call(found, 0)
    found.put("newcomer", make_node(9_999), ("192.0.2.9:1",), Moment(1))
    assert call(found, CALL_PERIOD_US) == [make_node(9_999)]


def test_each_of_a_crowd_is_called_before_any_is_called_again() -> None:
    found = make_found(FOUND_MAX)
    called: list[NodeId] = []
    for period in range(FOUND_MAX):
        called += call(found, period * CALL_PERIOD_US)
    assert len(set(called[:FOUND_MAX])) == FOUND_MAX


def test_a_crowd_is_called_slowly_and_the_operators_wishes_keep_their_room() -> None:
    found = make_found(FOUND_MAX)
    assert len(call(found, 0)) == CALLS_BURST_MAX
    seconds = range(1, 12 * 60 + 1)
    later = sum(len(call(found, second * SECOND)) for second in seconds)
    assert later == 12 * MINUTE // CALL_PERIOD_US
    # Gossip gives up a meeting within these twelve minutes.
    assert CALLS_BURST_MAX + later <= MEETINGS_MAX // 2


def test_a_quiet_hour_earns_no_flood() -> None:
    found = make_found(FOUND_MAX)
    assert len(call(found, 60 * MINUTE)) == CALLS_BURST_MAX


@pytest.mark.parametrize(
    ("address", "is_near"),
    [
        ("192.0.2.7", True),
        ("172.17.0.9", True),
        ("198.51.100.7", False),
        ("127.0.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - somebody says so
        ("2001:db8::7", True),
        ("2001:db8:1::7", False),
        ("::1", False),
        ("fe80::7%2", True),
        ("fe80::7%9", False),
        ("fe80::7", False),
    ],
)
def test_only_the_networks_of_this_machine_are_called(address: str, *, is_near: bool) -> None:
    notice = Notice("x", make_node(1), (ip_address(address),), 8778)
    host = f"[{address}]" if ":" in address else address
    assert list_near(notice, INTERFACES, ()) == ((f"{host}:8778",) if is_near else ())


def test_what_two_machines_have_both_is_no_place_to_find_the_other() -> None:
    addresses = (ip_address("172.17.0.1"), ip_address("192.0.2.7"))
    notice = Notice("x", make_node(1), addresses, 8778)
    assert list_near(notice, INTERFACES, ("172.17.0.1:8778",)) == ("192.0.2.7:8778",)
