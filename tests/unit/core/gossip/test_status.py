"""What is held of a member follows the order of versions, and a doubted one gets no work.

Node 5 is told records and doubts by its linked peers 1 and 2, about them and about 3. Claims:
[GOSSIP-ORDER.1] to [GOSSIP-ORDER.5], [GOSSIP-SUSPICION.1], [GOSSIP-SUSPICION.2],
[GOSSIP-SUSPICION.4], [GOSSIP-SUSPICION.5].
"""

import pytest

from tests.unit.core.gossip.driver import (
    Driver,
    claims_about,
    dead,
    facts,
    push_pull,
    suspect,
)
from tests.unit.core.gossip.pretend import make_record, name, number_of
from wwwserve.core.events import DeadlineReached, LinkClosed
from wwwserve.core.facts import MemberChanged, MemberStatus
from wwwserve.core.gossip import MemberUpdated
from wwwserve.core.gossip.rules import compute_suspicion_us
from wwwserve.core.gossip.state import CONFIRMATIONS_MAX
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.parameters import MAIN, TINY

ALIVE, SUSPECT, DEAD, LEFT = (
    MemberStatus.ALIVE,
    MemberStatus.SUSPECT,
    MemberStatus.DEAD,
    MemberStatus.LEFT,
)


@pytest.fixture
def node() -> Driver:
    """A node linked to 1 and 2, which knows 3 only by hearsay, each at version 4 (3) or 1."""
    driver = Driver()
    driver.link(1, 2)
    driver.tell(1, make_record(3, version=4))
    return driver


def test_a_stranger_is_known_by_its_record_alone(node: Driver) -> None:
    # [GOSSIP-ORDER.4]
    node.tell(1, suspect(8), dead(9), make_record(7, is_leaving=True))
    assert [number_of(view.node) for view in node.gossip.get_members()] == [1, 2, 3]
    node.tell(1, make_record(8))
    assert node.status(8) is ALIVE


@pytest.mark.parametrize(
    ("before", "doubt", "after"),
    [
        ((), suspect(3, 4), SUSPECT),
        ((), dead(3, 4), DEAD),
        ((suspect(3, 4),), dead(3, 4), DEAD),
        ((dead(3, 4),), suspect(3, 4), DEAD),
        ((), suspect(3, 3), ALIVE),
        ((), dead(3, 3), ALIVE),
        # Nobody has shown us version 5: no word can make it count.
        ((), dead(3, 5), ALIVE),
        ((suspect(3, 4),), dead(3, 2**61), SUSPECT),
    ],
)
def test_a_doubt_counts_for_the_version_held(
    node: Driver, before: tuple[object, ...], doubt: object, after: MemberStatus
) -> None:
    # [GOSSIP-ORDER.2]
    for earlier in before:
        node.tell(1, earlier)  # type: ignore[arg-type]
    node.tell(2, doubt)  # type: ignore[arg-type]
    assert node.status(3) is after


@pytest.mark.parametrize("doubt", [suspect(3, 4), dead(3, 4)])
def test_only_a_higher_version_clears_a_doubt(node: Driver, doubt: object) -> None:
    # [GOSSIP-ORDER.1]
    node.tell(1, doubt)  # type: ignore[arg-type]
    node.tell(2, make_record(3, version=4))
    node.tell(2, make_record(3, version=3))
    assert node.status(3) is not ALIVE
    node.tell(2, make_record(3, version=5, slots=9))
    assert node.status(3) is ALIVE
    member = node.gossip.get_member(name(3))
    assert member is not None
    assert member.record.slots == 9


def test_goodbye_is_final_for_its_version(node: Driver) -> None:
    # [GOSSIP-ORDER.3]
    node.tell(1, make_record(3, version=5, is_leaving=True))
    node.tell(1, suspect(3, 5), dead(3, 5), make_record(3, version=4))
    assert node.status(3) is LEFT
    node.tell(1, make_record(3, version=6))
    assert node.status(3) is ALIVE


def test_a_suspect_gets_no_work_from_that_moment(node: Driver) -> None:
    # [GOSSIP-SUSPICION.2]
    assert node.gossip.is_routable(name(1))
    effects = node.tell(2, suspect(1))
    assert not node.gossip.is_routable(name(1))
    updates = [effect.member for effect in effects if isinstance(effect, MemberUpdated)]
    assert [view.status for view in updates] == [SUSPECT]
    node.tell(1, make_record(1, version=2))
    assert node.gossip.is_routable(name(1))


@pytest.mark.parametrize("fields", [{"is_draining": True}, {"is_leaving": True}])
def test_the_departing_get_no_work(node: Driver, fields: dict[str, bool]) -> None:
    node.tell(1, make_record(1, version=2, **fields))
    assert not node.gossip.is_routable(name(1))


def test_no_work_without_a_link(node: Driver) -> None:
    assert node.status(3) is ALIVE
    assert not node.gossip.is_routable(name(3))
    node.feed(LinkClosed(name(1), "reset"))
    assert node.status(1) is ALIVE, "a closed link alone condemns nobody"
    assert not node.gossip.is_routable(name(1))


def test_an_unrefuted_suspect_is_dead_after_its_time(node: Driver) -> None:
    # [GOSSIP-SUSPICION.1]: three others and this node, so 3 + log2(4 + 1), rounded up, periods,
    # and as long three times over while only one node says so.
    node.tell(1, suspect(3, 4))
    wait_us = 3 * (3 + 3) * TINY.probe_period_us
    node.wait(wait_us - 1)
    assert node.status(3) is SUSPECT
    effects = node.wait(1)
    assert node.status(3) is DEAD
    assert MemberChanged(name(3), DEAD, 4) in facts(effects, MemberChanged)
    # The others are told, in this node's name.
    assert dead(3, 4, accuser=5) in claims_about(node.wait(SECOND), 3)


@pytest.mark.parametrize(("others", "seconds"), [(1, 4), (3, 5), (7, 6), (200, 10)])
def test_the_time_to_refute_grows_with_the_logarithm(others: int, seconds: int) -> None:
    # [GOSSIP-SUSPICION.1]
    assert compute_suspicion_us(MAIN, others, CONFIRMATIONS_MAX) == seconds * SECOND


@pytest.mark.parametrize(
    ("others", "tenths"),
    [
        (1, [40, 40, 40, 40]),  # nobody is left who could confirm it
        (2, [240, 40, 40, 40]),
        (3, [300, 142, 50, 50]),
        (200, [600, 350, 204, 100]),
    ],
)
def test_each_confirmation_takes_less_off_the_time_to_refute(
    others: int, tenths: list[int]
) -> None:
    # [GOSSIP-SUSPICION.4]
    times = [compute_suspicion_us(MAIN, others, confirmations) for confirmations in range(4)]
    assert [span_us // (SECOND // 10) for span_us in times] == tenths


def test_every_new_accuser_is_passed_on_and_shortens_the_time_once(node: Driver) -> None:
    # [GOSSIP-SUSPICION.4], [GOSSIP-SUSPICION.5]: in a network of eight others.
    node.tell(1, *(make_record(number, addresses=()) for number in (6, 7, 8, 9, 10)))
    node.tell(1, suspect(3, 4, accuser=1))
    told = len(claims_about(node.wait(SECOND // 5), 3))
    node.tell(2, suspect(3, 4, accuser=1), suspect(3, 4, accuser=3), suspect(3, 3, accuser=6))
    assert len(claims_about(node.wait(SECOND // 20), 3)) == 0, "no news, nothing to tell"
    for accuser in (6, 7, 8):
        node.tell(2, suspect(3, 4, accuser))
        assert suspect(3, 4, accuser) in claims_about(node.wait(SECOND // 20), 3)
    assert told > 0
    node.tell(2, suspect(3, 4, accuser=9))
    assert suspect(3, 4, accuser=9) not in claims_about(node.wait(SECOND // 20), 3)
    assert node.status(3) is SUSPECT
    node.wait(7 * TINY.probe_period_us - 2 * SECOND // 5)
    assert node.status(3) is DEAD, "the shortest time, counted from the first word, is over"


def test_who_slept_declares_nobody_dead(node: Driver) -> None:
    # [GOSSIP-PROBE.4]: the refutation lies unread, so the suspect has the shortest time again.
    node.tell(1, suspect(3, 4))
    node.now = Moment(node.now + 9 * SECOND)
    node.feed(DeadlineReached())
    assert node.status(3) is SUSPECT
    node.tell(1, make_record(3, version=5))
    node.wait(5 * SECOND)
    assert node.status(3) is ALIVE


def test_old_news_cannot_bring_back_the_dead_and_then_they_are_forgotten(node: Driver) -> None:
    # [GOSSIP-ORDER.5]; 1 and 2 stay, because they answer.
    node.tell(1, dead(3, 4))
    node.tell(2, make_record(3, version=4))
    assert node.status(3) is DEAD
    for _ in range(31):
        node.wait(TINY.dead_memory_us // 30)
        for number in (1, 2):
            version = view.record.version if (view := node.gossip.get_member(name(number))) else 0
            node.tell(number, make_record(number, version=version + 1))
    assert node.status(3) is None
    assert node.status(1) is ALIVE


def test_while_alone_nobody_is_forgotten() -> None:
    # [GOSSIP-ORDER.5]: a laptop that slept for a day must find its way back.
    node = Driver()
    node.link(1)
    node.feed(LinkClosed(name(1), "asleep"))
    node.wait(5 * TINY.dead_memory_us)
    assert node.status(1) is DEAD
    assert node.disk.keys() >= {b"peer/" + name(1)}
    node.link(2)
    node.wait(3 * TINY.dead_memory_us)
    assert node.status(1) is None
    assert b"peer/" + name(1) not in node.disk


def test_the_dead_come_back_with_a_link_and_a_higher_version(node: Driver) -> None:
    node.tell(1, dead(3, 4))
    node.open(3)
    assert node.status(3) is DEAD
    node.hear(3, push_pull(make_record(3, version=5)), make_record(3, version=5))
    assert node.gossip.is_routable(name(3))


def test_members_are_shown_in_the_order_of_their_ids(node: Driver) -> None:
    node.tell(1, make_record(9), make_record(7), make_record(8))
    nodes = [view.node for view in node.gossip.get_members()]
    assert nodes == sorted(nodes)
    assert len(nodes) == 6
