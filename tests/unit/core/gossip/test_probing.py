"""Silence is noticed, by several ways of asking, and nothing else is taken for silence.

Node 5 is linked to 1, 2 and 3 in the tiny network: a period is 100 ms, a direct answer has 40 ms.
Claims: [GOSSIP-PROBE.1] to [GOSSIP-PROBE.6], [GOSSIP-SUSPICION.3].
"""

import pytest

from tests.unit.core.gossip.driver import Driver, dead, facts, sends, suspect, targets
from tests.unit.core.gossip.pretend import make_record, name, number_of
from wwwserve.core.effects import SendMessage
from wwwserve.core.events import DeadlineReached, LinkClosed, SendFailed
from wwwserve.core.facts import MemberStatus, PeerRefused
from wwwserve.core.gossip.state import RELAYS_PER_PEER_MAX
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import MILLISECOND, Moment
from wwwserve.values.parameters import TINY
from wwwserve.wire import Ack, Ping, PingRequest

ALIVE, SUSPECT = MemberStatus.ALIVE, MemberStatus.SUSPECT
PERIOD_US = TINY.probe_period_us


@pytest.fixture
def node() -> Driver:
    driver = Driver()
    driver.link(1, 2, 3)
    return driver


def wait_probe(node: Driver) -> tuple[NodeId, int]:
    """Let time pass to the next probe that goes out: of whom, and its number."""
    while True:
        for effect in node.wait(MILLISECOND):
            if isinstance(effect, SendMessage) and isinstance(effect.message, Ping):
                return effect.peer, effect.message.number


def answer_all(node: Driver, span_us: int) -> list[NodeId]:
    """Let time pass while everybody answers; who was probed, in order."""
    probed: list[NodeId] = []
    for _ in range(span_us // MILLISECOND):
        for effect in node.wait(MILLISECOND):
            if isinstance(effect, SendMessage) and isinstance(effect.message, Ping):
                probed.append(effect.peer)
                node.hear(number_of(effect.peer), Ack(effect.message.number))
    return probed


def test_each_round_asks_everybody_once_in_no_fixed_order(node: Driver) -> None:
    # [GOSSIP-PROBE.1]
    probed = answer_all(node, 3 * 20 * PERIOD_US)
    rounds = [tuple(probed[start : start + 3]) for start in range(0, 57, 3)]
    assert all(len(set(one)) == 3 for one in rounds)
    assert len(set(rounds)) > 2
    assert abs(len(probed) - 60) <= 1


def test_an_answer_keeps_a_member_alive_and_measures_the_round_trip(node: Driver) -> None:
    peer, number = wait_probe(node)
    started = node.now
    node.wait(7 * MILLISECOND)
    node.hear(number_of(peer), Ack(number))
    node.wait(PERIOD_US - 8 * MILLISECOND)
    view = node.gossip.get_member(peer)
    assert view is not None
    assert view.status is ALIVE
    assert view.round_trip_us is not None
    assert abs(view.round_trip_us - (node.now - started - PERIOD_US + 8 * MILLISECOND)) <= 1000


def test_silence_has_others_ask_and_then_is_suspect(node: Driver) -> None:
    # [GOSSIP-PROBE.2]
    peer, number = wait_probe(node)
    early = node.wait(TINY.probe_timeout_us - MILLISECOND)
    assert sends(early, PingRequest) == []
    later = node.wait(MILLISECOND)
    requests = sends(later, PingRequest)
    assert {(request.node, request.number) for request in requests} == {(peer, number)}
    assert len(requests) == TINY.indirect_probes
    assert peer not in targets(later, PingRequest)
    assert node.gossip.is_routable(peer)
    node.wait(PERIOD_US - TINY.probe_timeout_us)
    assert not node.gossip.is_routable(peer)


def test_an_answer_through_another_counts(node: Driver) -> None:
    # [GOSSIP-PROBE.2], [GOSSIP-PROBE.3]
    peer, number = wait_probe(node)
    asked = targets(node.wait(TINY.probe_timeout_us), PingRequest)
    node.hear(number_of(asked[0]), Ack(number))
    node.wait(PERIOD_US - TINY.probe_timeout_us)
    view = node.gossip.get_member(peer)
    assert view is not None
    assert view.status is ALIVE
    assert view.round_trip_us is None, "the way through another says nothing of the direct one"


def test_answers_nobody_asked_for_are_ignored(node: Driver) -> None:
    # [GOSSIP-PROBE.3]: a wrong number, and the right one from a node that was not asked.
    peer, number = wait_probe(node)
    other = next(n for n in (1, 2, 3) if name(n) != peer)
    assert node.hear(number_of(peer), Ack(number + 999)) == []
    assert node.hear(other, Ack(number)) == []
    node.wait(PERIOD_US)
    view = node.gossip.get_member(peer)
    assert view is not None
    assert view.status is SUSPECT


def test_a_ping_that_could_not_go_has_others_ask_at_once(node: Driver) -> None:
    # [GOSSIP-PROBE.2]
    peer, number = wait_probe(node)
    effects = node.feed(SendFailed(peer, Ping(number)))
    assert len(sends(effects, PingRequest)) == TINY.indirect_probes


def test_a_member_without_a_link_is_asked_through_others(node: Driver) -> None:
    # [GOSSIP-PROBE.2]
    node.tell(1, make_record(9, addresses=()))
    asked: list[SendMessage] = []
    for _ in range(6 * PERIOD_US // MILLISECOND):
        effects = node.wait(MILLISECOND)
        asked += [
            effect
            for effect in effects
            if isinstance(effect, SendMessage)
            and isinstance(effect.message, PingRequest)
            and effect.message.node == name(9)
        ]
        for effect in effects:
            if isinstance(effect, SendMessage) and isinstance(effect.message, Ping | PingRequest):
                node.hear(number_of(effect.peer), Ack(effect.message.number))
    assert len(asked) >= TINY.indirect_probes
    assert node.status(9) is ALIVE


def test_a_closed_link_is_looked_into_first(node: Driver) -> None:
    # [GOSSIP-PROBE.5]
    wait_probe(node)
    node.feed(LinkClosed(name(2), "reset"))
    node.wait(PERIOD_US)
    requests = [request for request in sends(node.effects, PingRequest) if request.node == name(2)]
    assert requests
    assert node.status(2) is ALIVE


def test_who_slept_judges_nobody(node: Driver) -> None:
    # [GOSSIP-PROBE.4]: the host stopped for three periods with an answer on its way.
    peer, _ = wait_probe(node)
    node.now = Moment(node.now + 3 * PERIOD_US)
    node.feed(DeadlineReached())
    view = node.gossip.get_member(peer)
    assert view is not None
    assert view.status is ALIVE


def test_early_and_repeated_deadlines_change_nothing(node: Driver) -> None:
    wait_probe(node)
    assert [node.feed(DeadlineReached()) for _ in range(3)] == [[], [], []]


def test_a_doubted_member_is_told_so_by_its_next_probe(node: Driver) -> None:
    # [GOSSIP-SUSPICION.3]
    node.tell(2, suspect(1))
    pings = []
    for _ in range(4 * PERIOD_US // MILLISECOND):
        for effect in node.wait(MILLISECOND):
            if isinstance(effect, SendMessage) and isinstance(effect.message, Ping):
                pings += [effect.message] if effect.peer == name(1) else []
    assert pings
    assert all(ping.claims[0] == suspect(1, accuser=1) for ping in pings)


def test_a_dead_member_is_still_told_while_there_is_a_link(node: Driver) -> None:
    # [GOSSIP-SUSPICION.3]: it may live and not know what is held of it.
    node.tell(2, dead(1))
    told = [
        effect.message.claims
        for _ in range(4 * PERIOD_US // MILLISECOND)
        for effect in node.wait(MILLISECOND)
        if isinstance(effect, SendMessage)
        and isinstance(effect.message, Ping)
        and effect.peer == name(1)
    ]
    assert told
    assert told[0][0] == dead(1)
    node.feed(LinkClosed(name(1), "gone"))
    assert name(1) not in targets(node.wait(10 * PERIOD_US), Ping)


def test_a_probe_for_another_is_passed_on_and_its_answer_back(node: Driver) -> None:
    effects = node.hear(1, PingRequest(77, name(2)))
    (ping,) = sends(effects, Ping)
    assert targets(effects, Ping) == [name(2)]
    assert node.hear(3, Ack(ping.number)) == [], "only the probed node can answer for itself"
    answer = node.hear(2, Ack(ping.number))
    assert targets(answer, Ack) == [name(1)]
    assert sends(answer, Ack)[0].number == 77
    assert node.hear(2, Ack(ping.number)) == [], "and only once"


def test_what_cannot_be_probed_for_another_is_not(node: Driver) -> None:
    assert sends(node.hear(1, PingRequest(77, name(9))), Ping) == []
    assert sends(node.hear(1, PingRequest(78, name(1))), Ping) == []


def test_probes_for_others_are_bounded_for_each_peer(node: Driver) -> None:
    # [GOSSIP-PROBE.6]
    effects = [
        effect for number in range(50) for effect in node.hear(1, PingRequest(number, name(2)))
    ]
    assert len(sends(effects, Ping)) == RELAYS_PER_PEER_MAX
    assert [fact.peer for fact in facts(effects, PeerRefused)] == [name(1)], (
        "told once, not 46 times"
    )
    assert sends(node.hear(3, PingRequest(1, name(2))), Ping), "others are not made to pay"
    node.wait(PERIOD_US)
    assert sends(node.hear(1, PingRequest(99, name(2))), Ping)


def test_every_ping_is_answered_by_its_number(node: Driver) -> None:
    assert [ack.number for ack in sends(node.hear(1, Ping(123)), Ack)] == [123]


def test_nobody_without_a_link_is_heard(node: Driver) -> None:
    assert node.hear(9, Ping(1)) == []
