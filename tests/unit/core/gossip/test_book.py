"""The book keeps on disk where members can be reached, and says nothing of who is alive.

Node 5 writes its book, and is born again from it. Claims: [GOSSIP-BOOK.1], [GOSSIP-BOOK.2].
"""

import pytest

from tests.unit.core.gossip.driver import Driver, dials
from tests.unit.core.gossip.pretend import address_of, make_record, name, number_of
from wwwserve.core.effects import Persist
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import LinkClosed
from wwwserve.core.gossip.book import OWN_VERSION_KEY, Book
from wwwserve.core.gossip.state import (
    BOOK_WRITES_MAX,
    State,
)
from wwwserve.values.limits import ADDRESS_BOOK_MAX
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import TINY

PERIOD_US = TINY.probe_period_us


def test_the_book_keeps_where_members_can_be_reached() -> None:
    # [GOSSIP-BOOK.1]
    node = Driver()
    node.link(1, 2)
    node.tell(1, make_record(3, addresses=()))
    node.wait(PERIOD_US)
    assert set(node.disk) == {OWN_VERSION_KEY, b"peer/" + name(1), b"peer/" + name(2)}


def test_who_left_is_in_the_book_as_long_as_it_is_remembered() -> None:
    # [GOSSIP-BOOK.1]: it may only have been restarted.
    node = Driver()
    node.link(1, 2)
    node.tell(1, make_record(1, version=2, is_leaving=True))
    node.wait(PERIOD_US)
    assert b"peer/" + name(1) in node.disk
    node.feed(LinkClosed(name(1), "it has gone"))
    node.wait(TINY.dead_memory_us + PERIOD_US)
    assert node.status(1) is None
    assert b"peer/" + name(1) not in node.disk


def test_a_member_that_accepts_links_no_more_leaves_the_book() -> None:
    # [GOSSIP-BOOK.1]
    node = Driver()
    node.link(1)
    node.wait(PERIOD_US)
    node.tell(1, make_record(1, version=2, addresses=()))
    node.wait(PERIOD_US)
    assert set(node.disk) == {OWN_VERSION_KEY}


def test_the_book_is_bounded_and_keeps_its_own_current() -> None:
    # [GOSSIP-BOOK.1]
    state = State(name(5), TINY, Entropy(b""))
    book = Book(state, {})
    for number in range(10, 10 + ADDRESS_BOOK_MAX + 3):
        book.put(make_record(number))
    assert len(book.get_nodes()) == ADDRESS_BOOK_MAX
    newer = make_record(10, version=2)
    book.put(newer)
    assert book.get(name(10)) == newer


def test_many_new_records_are_few_writes() -> None:
    # [GOSSIP-BOOK.1]
    node = Driver()
    node.link(1)
    node.wait(PERIOD_US)
    for number in range(100, 100 + BOOK_WRITES_MAX + 1):
        node.tell(1, make_record(number))
    effects = node.wait(2 * PERIOD_US)
    writes = [effect for effect in effects if isinstance(effect, Persist)]
    assert [len(write.changes) for write in writes] == [BOOK_WRITES_MAX, 1]


def test_a_restart_knocks_at_the_book_and_takes_nobody_for_alive() -> None:
    # [GOSSIP-BOOK.2]
    before = Driver()
    before.link(1, 2)
    before.wait(PERIOD_US)
    node = Driver(restored=before.disk)
    assert list(node.gossip.get_members()) == []
    node.wait(3 * PERIOD_US)
    assert {address_of(1), address_of(2)} <= set(dials(node.effects))
    node.open(1)
    assert [number_of(view.node) for view in node.gossip.get_members()] == [1]
    assert node.gossip.is_routable(name(1))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"peer/" + name(1), b""),
        (b"peer/" + name(1), b"\x92\xc4\x01x\xc4\x01y"),
        (b"peer/" + name(5), b"own"),
        (b"who knows", b"what"),
    ],
)
def test_what_cannot_be_read_on_disk_is_left_out(key: bytes, value: bytes) -> None:
    node = Driver(restored={key: value})
    assert list(node.gossip.get_members()) == []
    assert dials(node.wait(SECOND)) == []


def test_those_not_heard_of_for_long_leave_the_book() -> None:
    # [GOSSIP-BOOK.2]
    before = Driver()
    before.link(1, 2)
    before.wait(PERIOD_US)
    node = Driver(restored=before.disk)
    node.wait(3 * TINY.dead_memory_us)
    assert b"peer/" + name(2) in node.disk, "not while alone"
    node.link(1)
    node.wait(2 * TINY.dead_memory_us)
    assert b"peer/" + name(2) not in node.disk
