"""Links are made to every live member, to the addresses given, and in the end to the absent.

Node 5's dials all fail unless a test opens the link; what it dials, and when, is looked at. Claims:
[GOSSIP-LINKS.1] to [GOSSIP-LINKS.4], [GOSSIP-LINKS.6], [GOSSIP-LINKS.9].
"""

from dataclasses import replace

from tests.unit.core.gossip.driver import Driver, dead, dials, push_pull
from tests.unit.core.gossip.pretend import address_of, make_record, make_setup, name
from wwwserve.core.effects import Dial
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    DeadlineReached,
    EnvelopeReceived,
    Join,
    LinkClosed,
    LinkOpened,
    Started,
)
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip import Gossip
from wwwserve.core.gossip.rules import compute_knock_us
from wwwserve.core.gossip.state import (
    DIALS_BURST_MAX,
    DIALS_MAX,
    DIALS_PER_PERIOD,
    JOIN_ATTEMPTS_MAX,
    MEETINGS_MAX,
)
from wwwserve.values.limits import LINK_HANDSHAKE_US, LINKS_MAX
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.parameters import PROTOCOL_VERSION, PROTOCOL_VERSION_MIN, TINY
from wwwserve.wire import Envelope

PERIOD_US = TINY.probe_period_us


def count_dials(node: Driver, number: int, span_us: int) -> int:
    return dials(node.wait(span_us)).count(address_of(number))


def test_of_two_the_smaller_id_dials_first() -> None:
    # [GOSSIP-LINKS.1]
    node = Driver()
    node.link(1)
    effects = node.tell(1, make_record(9), make_record(3))
    assert dials(effects) == [address_of(9)]
    assert address_of(3) in dials(node.wait(PERIOD_US))


def test_who_cannot_be_dialled_is_not() -> None:
    # [GOSSIP-LINKS.1]
    node = Driver()
    node.link(1)
    node.tell(1, make_record(9, addresses=()))
    before = set(dials(node.effects))
    node.wait(SECOND)
    assert node.status(9) is not None
    assert set(dials(node.effects)) <= before | {address_of(1)}


def test_a_failed_dial_is_tried_again_later_and_later() -> None:
    # [GOSSIP-LINKS.2]
    node = Driver()
    node.link(1)
    node.tell(1, make_record(9))
    # Kept alive by news, as if others reached it.
    early = late = 0
    for version in range(2, 52):
        count = count_dials(node, 9, SECOND // 5)
        node.tell(1, make_record(9, version=version), make_record(1, version=version))
        early, late = (early + count, late) if version < 12 else (early, late + count)
    assert 2 <= early <= 6
    assert 5 <= late <= 16, "about once a push/pull period, for eight of them"


def test_every_address_of_a_member_is_tried() -> None:
    node = Driver()
    node.link(1)
    node.tell(1, make_record(9, addresses=("a:1", "b:1", "c:1")))
    node.wait(SECOND)
    assert {"a:1", "b:1", "c:1"} <= set(dials(node.effects))


def test_a_lost_link_is_made_anew() -> None:
    # [GOSSIP-LINKS.1]
    node = Driver()
    node.link(1, 2)
    node.feed(LinkClosed(name(1), "reset"))
    assert count_dials(node, 1, 2 * PERIOD_US) >= 1


def test_at_the_bound_nobody_more_is_dialled() -> None:
    # [GOSSIP-LINKS.1]
    node = Driver()
    node.link(100)
    for stranger in range(101, 100 + LINKS_MAX):
        node.open(stranger)
    node.tell(100, make_record(9))
    assert count_dials(node, 9, 5 * PERIOD_US) == 0
    node.feed(LinkClosed(name(101), "reset"))
    assert count_dials(node, 9, 2 * TINY.push_pull_period_us) >= 1


def test_a_member_that_moved_is_dialled_where_it_is_now() -> None:
    # [GOSSIP-LINKS.2]: that it did not answer elsewhere is no reason to wait.
    node = Driver()
    node.link(1)
    node.tell(1, make_record(9))
    for version in range(2, 12):
        node.wait(SECOND // 2)
        node.tell(1, make_record(9, version=version), make_record(1, version=version))
    moved = make_record(9, version=20, addresses=("elsewhere:1",))
    assert dials(node.tell(1, moved)) == ["elsewhere:1"]
    assert address_of(9) not in dials(node.wait(2 * SECOND))


def test_a_member_that_moves_while_linked_keeps_its_link() -> None:
    # [GOSSIP-LINKS.2]
    node = Driver()
    node.link(1)
    effects = node.tell(1, make_record(1, version=2, addresses=("elsewhere:1",)))
    assert dials(effects) == []
    assert node.gossip.is_routable(name(1))


def test_a_link_that_ends_at_once_is_a_failed_dial() -> None:
    # [GOSSIP-LINKS.2]: as by a node that has no room.
    node = Driver()
    node.link(1)
    node.tell(1, make_record(9))
    count = 0
    for version in range(2, 52):
        dialled = dials(node.wait(SECOND // 5)).count(address_of(9))
        count += dialled
        if dialled:
            node.open(9, is_dialled=True)
            node.feed(LinkClosed(name(9), "full", is_shed=True))
        node.tell(1, make_record(9, version=version), make_record(1, version=version))
    assert 5 <= count <= 20


def test_who_does_not_speak_our_protocol_is_known_but_not_dialled() -> None:
    # [GOSSIP-LINKS.9]
    node = Driver()
    node.link(1)
    newer, older = PROTOCOL_VERSION + 1, PROTOCOL_VERSION_MIN - 1
    node.tell(1, make_record(8, protocol_min=newer, protocol_max=newer + 3))
    node.tell(1, make_record(9, protocol_min=0, protocol_max=older))
    node.tell(1, make_record(10, protocol_min=0, protocol_max=newer))
    effects = node.wait(SECOND)
    assert node.status(8) is not None
    assert not {address_of(8), address_of(9)} & set(dials(effects))
    assert address_of(10) in dials(node.effects)


def test_only_so_many_dials_are_under_way_at_once() -> None:
    # [GOSSIP-LINKS.2]: here no dial is answered, until it counts as failed.
    gossip = Gossip(make_setup(5, bootstrap=range(10, 60)), Entropy(b""))
    now = Moment(0)
    dialled = [effect for effect in gossip.handle(Started(), now) if isinstance(effect, Dial)]
    assert len(dialled) == DIALS_MAX
    while now < LINK_HANDSHAKE_US:
        now = max(now, gossip.next_deadline())
        effects = gossip.handle(DeadlineReached(), now)
        assert not any(isinstance(effect, Dial) for effect in effects)
    while now < 6 * LINK_HANDSHAKE_US:
        now = max(now, gossip.next_deadline())
        effects = gossip.handle(DeadlineReached(), now)
        dialled += [effect for effect in effects if isinstance(effect, Dial)]
    assert len({effect.address for effect in dialled}) > DIALS_MAX


def test_bootstrap_addresses_are_tried_for_ever_and_slowly() -> None:
    # [GOSSIP-LINKS.3]
    node = Driver(bootstrap=[1, 2])
    assert dials(node.effects) == [address_of(1), address_of(2)]
    node.wait(100 * SECOND)
    late = dials(node.wait(100 * SECOND))
    assert 50 <= late.count(address_of(1)) <= 200


def test_a_bootstrap_node_that_dialled_us_is_not_dialled_again() -> None:
    # [GOSSIP-LINKS.3]: of two links to one node the shells close one, with all that runs on it.
    node = Driver(bootstrap=[1])
    node.link(1)
    before = len(dials(node.effects))
    node.wait(4 * TINY.push_pull_period_us)
    assert address_of(1) not in dials(node.effects)[before:]


def test_bootstrap_names_are_met_whatever_their_addresses_look_like() -> None:
    # [GOSSIP-LINKS.3]: a dial is under way until its link opens, under the name it was dialled by.
    setup = make_setup(5)
    bootstrap = (("one.example:1", None), ("two.example:1", None))
    gossip = Gossip(replace(setup, bootstrap=bootstrap), Entropy(b""))
    gossip.handle(Started(), Moment(0))
    now = Moment(1000)
    for number, (address, _) in enumerate(bootstrap, start=1):
        gossip.handle(LinkOpened(name(number), address, is_dialled=True), now)
        record = make_record(number, addresses=(f"192.0.2.{number}:1",))
        envelope = Envelope(name(number), push_pull(record), (record,))
        gossip.handle(EnvelopeReceived(envelope), now)
    while now < 3 * LINK_HANDSHAKE_US:
        now = max(now, gossip.next_deadline())
        assert dials(gossip.handle(DeadlineReached(), now)) == []


def test_a_dial_that_finds_a_linked_peer_has_met_it() -> None:
    # [GOSSIP-LINKS.3]
    node = Driver()
    node.link(1)
    node.dials_find = name(1)
    assert dials(node.feed(Join(("other-name:1",)))) == ["other-name:1"]
    assert "other-name:1" not in dials(node.wait(10 * SECOND))


def test_a_bootstrap_address_may_change_its_key() -> None:
    # [GOSSIP-LINKS.3]: a provider that made a new key is still at its address.
    node = Driver(bootstrap=[1])
    node.open(1, is_dialled=True)
    node.feed(LinkClosed(name(1), "gone"))
    effects = node.wait(2 * TINY.push_pull_period_us)
    again = [effect for effect in effects if isinstance(effect, Dial)]
    assert Dial(address_of(1), None) in again


def test_a_node_does_not_dial_itself() -> None:
    bootstrap = ((address_of(5), None), ("other:1", name(5)))
    gossip = Gossip(replace(make_setup(5), bootstrap=bootstrap), Entropy(b""))
    assert dials(gossip.handle(Started(), Moment(0))) == []


def test_a_join_dials_at_once_and_each_address_and_gives_up() -> None:
    # [GOSSIP-LINKS.3]
    node = Driver()
    effects = node.feed(Join(("x:1", "y:1"), name(7)))
    assert [effect for effect in effects if isinstance(effect, Dial)] == [Dial("x:1", name(7))]
    node.wait(60 * SECOND)
    tried = [address for address in dials(node.effects) if address in ("x:1", "y:1")]
    assert len(tried) == JOIN_ATTEMPTS_MAX
    assert tried.count("y:1") == JOIN_ATTEMPTS_MAX // 2


def test_a_join_to_nowhere_is_harmless() -> None:
    assert Driver().feed(Join((), None)) == []


def test_the_operator_can_name_only_so_many_addresses() -> None:
    node = Driver()
    for number in range(3 * MEETINGS_MAX):
        node.feed(Join((f"h{number}:1",)))
    before = len(node.effects)
    node.wait(3 * TINY.push_pull_period_us)
    tried = {address for address in dials(node.effects[before:]) if address.startswith("h")}
    assert len(tried) <= MEETINGS_MAX
    assert f"h{3 * MEETINGS_MAX - 1}:1" in tried


def test_no_crowd_of_joins_takes_the_place_of_a_bootstrap_address() -> None:
    # [GOSSIP-LINKS.3]
    node = Driver(bootstrap=[1, 2])
    for number in range(3 * MEETINGS_MAX):
        node.feed(Join((f"h{number}:1",)))
    late = dials(node.wait(3 * TINY.push_pull_period_us))
    assert {address_of(1), address_of(2)} <= set(late)


def test_a_join_for_another_key_at_a_bootstrap_address_changes_nothing_there() -> None:
    # [GOSSIP-LINKS.3]: on a local network anybody can announce a key of theirs at any address.
    node = Driver(bootstrap=[1])
    node.feed(Join((address_of(1),), name(66)))
    effects = node.wait(3 * TINY.push_pull_period_us)
    assert Dial(address_of(1), None) in effects


def test_nobody_is_met_by_signing_that_it_is_at_a_bootstrap_address() -> None:
    # [GOSSIP-LINKS.3]: somebody without a link says so, whom nobody can ask.
    node = Driver(bootstrap=[1])
    node.link(7)
    node.tell(7, make_record(66, addresses=(address_of(1),)))
    assert address_of(1) in dials(node.wait(3 * TINY.push_pull_period_us))


def test_another_key_may_be_met_at_an_own_address() -> None:
    # Two private networks have the same addresses, and a laptop goes from one to the other.
    node = Driver()
    effects = node.feed(Join((address_of(5), "elsewhere:1"), name(7)))
    assert dials(effects) == [address_of(5)]
    assert "elsewhere:1" in dials(node.wait(TINY.push_pull_period_us))


def test_of_addresses_to_be_met_only_the_own_are_left_out() -> None:
    node = Driver()
    assert dials(node.feed(Join((address_of(5), "elsewhere:1")))) == ["elsewhere:1"]


def test_the_dead_are_knocked_at_in_turn() -> None:
    # [GOSSIP-LINKS.4]
    node = Driver()
    node.link(1)
    node.tell(1, make_record(8), make_record(9))
    node.tell(1, dead(8), dead(9))
    node.wait(SECOND)
    for version in range(2, 60):
        node.wait(SECOND // 5)
        node.tell(1, make_record(1, version=version))
    assert node.status(8) is MemberStatus.DEAD
    tried = dials(node.effects)[-6:]
    assert {address_of(8), address_of(9)} <= set(tried)


def test_the_fewer_are_left_the_more_often_each_knocks() -> None:
    # [GOSSIP-LINKS.4]: the nodes of a network share the work.
    few = compute_knock_us(TINY, 1)
    assert few == TINY.probe_period_us
    assert compute_knock_us(TINY, 20) == 5 * TINY.probe_period_us
    assert compute_knock_us(TINY, 4000) == TINY.push_pull_period_us


def test_a_knock_is_a_dial_like_others() -> None:
    # [GOSSIP-LINKS.6]
    node = Driver()
    node.link(1)
    node.tell(1, *(make_record(number) for number in range(10, 14)))
    node.tell(1, *(dead(number) for number in range(10, 14)))
    crowd = [make_record(number) for number in range(200, 200 + 2 * DIALS_BURST_MAX)]
    node.hear(1, push_pull(*crowd), *crowd)
    node.wait(3 * PERIOD_US)
    assert len(dials(node.effects)) <= DIALS_BURST_MAX + 4 * DIALS_PER_PERIOD


def test_who_is_alone_knocks_more_often() -> None:
    # [GOSSIP-LINKS.4]
    node = Driver()
    node.link(1)
    node.feed(LinkClosed(name(1), "all is gone"))
    node.wait(3 * SECOND)
    assert node.status(1) is MemberStatus.DEAD
    assert 50 <= count_dials(node, 1, 10 * SECOND) <= 200


def test_who_left_is_knocked_at_for_it_may_only_have_been_restarted() -> None:
    # [GOSSIP-LINKS.4]
    node = Driver()
    node.link(1)
    node.tell(1, make_record(1, version=2, is_leaving=True))
    node.feed(LinkClosed(name(1), "it has gone"))
    assert node.status(1) is MemberStatus.LEFT
    assert count_dials(node, 1, 10 * SECOND) > 0
    node.open(1)
    node.tell(1, make_record(1, version=3))
    assert node.status(1) is MemberStatus.ALIVE


def test_a_crowd_of_signed_strangers_does_not_make_a_node_knock_at_every_door() -> None:
    # [GOSSIP-LINKS.6] Every dial fails at once, so that only the ration bounds them.
    node = Driver()
    node.link(1)
    for first in range(10, 250, 4):
        node.tell(1, *(make_record(number) for number in range(first, first + 4)))
    node.wait(PERIOD_US)
    before = len(dials(node.effects))
    assert before <= DIALS_BURST_MAX + 2 * DIALS_PER_PERIOD
    periods = 20
    node.wait(periods * PERIOD_US)
    # The absent are knocked at beside, one at a time.
    assert len(dials(node.effects)) - before <= (periods + 1) * DIALS_PER_PERIOD + periods
