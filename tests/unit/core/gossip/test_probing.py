"""Silence is noticed, by several ways of asking, and nothing else is taken for silence.

Node 5 is linked to 1, 2 and 3 in the tiny network: a period is 100 ms, a direct answer has 40 ms.
Claims: [GOSSIP-PROBE.1] to [GOSSIP-PROBE.5], [GOSSIP-PROBE.7] to [GOSSIP-PROBE.9],
[GOSSIP-PROBE.11], [GOSSIP-SUSPICION.3], [GOSSIP-HEALTH.1] to [GOSSIP-HEALTH.3].
"""

from collections.abc import Callable, Iterable

import pytest

from tests.unit.core.gossip.driver import Driver, dead, facts, sends, suspect, targets
from tests.unit.core.gossip.pretend import make_record, name, number_of
from wwwserve.core.effects import SendMessage
from wwwserve.core.events import DeadlineReached, LinkClosed, SendFailed
from wwwserve.core.facts import MemberChanged, MemberStatus
from wwwserve.core.gossip import GossipEffect
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import MILLISECOND, Moment
from wwwserve.values.parameters import TINY
from wwwserve.wire import Ack, Nack, Ping, PingRequest

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


def deny(node: Driver, effects: Iterable[GossipEffect]) -> None:
    """Whoever was asked to ask has no answer."""
    for effect in list(effects):
        if isinstance(effect, SendMessage) and isinstance(effect.message, PingRequest):
            node.hear(number_of(effect.peer), Nack(effect.message.number, is_linked=True))


def ask_around(
    node: Driver,
    wanted: NodeId,
    answer: Callable[[PingRequest], Ack | Nack],
    *,
    until_asked: bool = False,
) -> list[tuple[NodeId, PingRequest]]:
    """Two periods, or up to the first requests about a member: who was asked to ask it.

    Those answer as told, everybody else is there.
    """
    asked: list[tuple[NodeId, PingRequest]] = []
    for _ in range(2 * PERIOD_US // MILLISECOND):
        for effect in node.wait(MILLISECOND):
            if not isinstance(effect, SendMessage):
                continue
            peer, message = effect.peer, effect.message
            if isinstance(message, PingRequest) and message.node == wanted:
                asked.append((peer, message))
                node.hear(number_of(peer), answer(message))
            elif isinstance(message, Ping | PingRequest):
                node.hear(number_of(peer), Ack(message.number))
        if until_asked and asked:
            break
    return asked


def test_each_period_one_member_is_asked_and_each_in_turn(node: Driver) -> None:
    # [GOSSIP-PROBE.1]: while all they say is their answers.
    probed = answer_all(node, 3 * 20 * PERIOD_US)
    rounds = [set(probed[start : start + 3]) for start in range(0, 57, 3)]
    assert all(len(one) == 3 for one in rounds)
    assert abs(len(probed) - 60) <= 1


def test_who_was_heard_from_is_asked_last(node: Driver) -> None:
    # [GOSSIP-PROBE.1]
    answer_all(node, 6 * PERIOD_US)
    for _ in range(6):
        node.tell(2)
        assert name(2) not in answer_all(node, PERIOD_US)
    assert name(2) in answer_all(node, 3 * PERIOD_US)


def test_one_silent_member_does_not_keep_others_from_being_asked(node: Driver) -> None:
    # [GOSSIP-PROBE.1]: it is suspect, then dead, while its link is still there.
    others = [2, 3, *range(20, 30)]
    node.link(*others)
    probed: list[NodeId] = []
    for _ in range(60 * PERIOD_US // MILLISECOND):
        for effect in node.wait(MILLISECOND):
            if not isinstance(effect, SendMessage) or effect.peer == name(1):
                continue
            if isinstance(effect.message, Ping):
                probed.append(effect.peer)
                node.hear(number_of(effect.peer), Ack(effect.message.number))
            elif isinstance(effect.message, PingRequest):
                node.hear(number_of(effect.peer), Nack(effect.message.number, is_linked=True))
    assert node.status(1) is MemberStatus.DEAD
    assert all(probed.count(name(number)) >= 2 for number in others)


def test_links_that_come_and_go_do_not_hide_the_silence_of_another(node: Driver) -> None:
    # [GOSSIP-PROBE.11]: two peers break their links again and again; 3 answers nobody any more.
    for turn in range(40):
        flapping = 1 + turn % 2
        node.feed(LinkClosed(name(flapping), "broken"))
        node.open(flapping)
        for _ in range(PERIOD_US // MILLISECOND):
            for effect in node.wait(MILLISECOND):
                if not isinstance(effect, SendMessage) or effect.peer == name(3):
                    continue
                if isinstance(effect.message, Ping):
                    node.hear(number_of(effect.peer), Ack(effect.message.number))
                elif isinstance(effect.message, PingRequest):
                    answer = Nack(effect.message.number, is_linked=True)
                    node.hear(number_of(effect.peer), answer)
    assert node.status(3) is MemberStatus.DEAD
    assert [node.status(number) for number in (1, 2)] == [ALIVE, ALIVE]


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
    for helper, request in zip(targets(later, PingRequest), requests, strict=True):
        node.hear(number_of(helper), Nack(request.number, is_linked=True))
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
    deny(node, node.wait(TINY.probe_timeout_us))
    node.wait(PERIOD_US)
    view = node.gossip.get_member(peer)
    assert view is not None
    assert view.status is SUSPECT


def test_a_ping_that_could_not_go_has_others_ask_at_once(node: Driver) -> None:
    # [GOSSIP-PROBE.2]
    peer, number = wait_probe(node)
    effects = node.feed(SendFailed(peer, Ping(number)))
    assert len(sends(effects, PingRequest)) == TINY.indirect_probes


def test_a_member_without_a_link_is_left_to_those_who_have_one(node: Driver) -> None:
    # [GOSSIP-PROBE.7]
    node.tell(1, make_record(9, addresses=()))
    answer_all(node, 12 * PERIOD_US)
    assert [
        request for request in sends(node.effects, PingRequest) if request.node == name(9)
    ] == []
    assert node.status(9) is ALIVE


def test_a_closed_link_is_looked_into_first(node: Driver) -> None:
    # [GOSSIP-PROBE.5]: somebody else has a link, and its answer ends the matter.
    answer_all(node, 3 * PERIOD_US)
    node.feed(LinkClosed(name(2), "reset"))
    requests = ask_around(node, name(2), lambda request: Ack(request.number))
    assert 1 <= len(requests) <= TINY.indirect_probes
    later = ask_around(node, name(2), lambda request: Ack(request.number))
    assert later == []
    assert node.status(2) is ALIVE


def test_a_member_to_whom_nobody_has_a_link_any_more_is_suspect(node: Driver) -> None:
    # [GOSSIP-PROBE.8]: not after the first round, in which its link may come again.
    node.link(4, 6)
    answer_all(node, 3 * PERIOD_US)
    node.feed(LinkClosed(name(2), "reset"))
    first = ask_around(node, name(2), lambda r: Nack(r.number, is_linked=False), until_asked=True)
    answer_all(node, PERIOD_US // 2)
    assert node.status(2) is ALIVE
    second = ask_around(node, name(2), lambda r: Nack(r.number, is_linked=False), until_asked=True)
    assert not {peer for peer, _ in first} & {peer for peer, _ in second}, "others are asked"
    answer_all(node, 2 * PERIOD_US)
    assert node.status(2) is SUSPECT


def test_a_new_link_ends_the_search(node: Driver) -> None:
    # [GOSSIP-PROBE.8]
    answer_all(node, 3 * PERIOD_US)
    node.feed(LinkClosed(name(2), "reset"))
    ask_around(node, name(2), lambda r: Nack(r.number, is_linked=False), until_asked=True)
    node.open(2)
    answer_all(node, 5 * PERIOD_US)
    assert node.status(2) is ALIVE


def test_who_lets_a_link_go_on_purpose_owes_no_answer(node: Driver) -> None:
    # [GOSSIP-PROBE.8], [GOSSIP-LINKS.8]: not even to the probe that was under way.
    node.link(4, 6)
    peer, _ = wait_probe(node)
    node.feed(LinkClosed(peer, "shed", is_shed=True))
    for _ in range(3):
        ask_around(node, peer, lambda r: Nack(r.number, is_linked=False))
    assert node.status(number_of(peer)) is ALIVE


def test_the_silence_of_anothers_link_is_evidence(node: Driver) -> None:
    # [GOSSIP-PROBE.8]: one round is enough.
    answer_all(node, 3 * PERIOD_US)
    node.feed(LinkClosed(name(2), "reset"))
    ask_around(node, name(2), lambda r: Nack(r.number, is_linked=True), until_asked=True)
    answer_all(node, PERIOD_US)
    assert node.status(2) is SUSPECT


def test_now_and_then_somebody_without_a_link_is_asked_for(node: Driver) -> None:
    # [GOSSIP-PROBE.9]: its neighbours may all have gone with it; everybody linked is asked.
    node.link(4, 6, 7)
    node.tell(1, make_record(9, addresses=()))
    helpers: dict[NodeId, None] = {}
    end = node.now + 4 * TINY.dead_memory_us
    while node.status(9) is ALIVE and node.now < end:
        asked = ask_around(node, name(9), lambda r: Nack(r.number, is_linked=False))
        helpers.update(dict.fromkeys(peer for peer, _ in asked))
    assert node.status(9) is SUSPECT
    assert set(helpers) == {name(number) for number in (1, 2, 3, 4, 6, 7)}


def test_who_hears_not_a_word_doubts_itself_first(node: Driver) -> None:
    # [GOSSIP-HEALTH.2]: neither the member nor those asked to ask it: tried again, in more time.
    peer, _ = wait_probe(node)
    node.wait(PERIOD_US)
    assert all(node.status(number) is ALIVE for number in (1, 2, 3))
    node.wait((1 + TINY.indirect_probes) * PERIOD_US)
    assert node.status(number_of(peer)) is SUSPECT


def test_a_slow_node_takes_its_time_and_accuses_nobody(node: Driver) -> None:
    # [GOSSIP-HEALTH.1]: every word reaches it one and a half periods late.
    unread: list[tuple[int, NodeId, Ping | PingRequest]] = []
    pings = 0
    for _ in range(60 * PERIOD_US // MILLISECOND):
        for effect in node.wait(MILLISECOND):
            if isinstance(effect, SendMessage) and isinstance(effect.message, Ping | PingRequest):
                due = node.now + PERIOD_US * 3 // 2
                unread.append((due, effect.peer, effect.message))
                pings += isinstance(effect.message, Ping)
        while unread and unread[0][0] <= node.now:
            _, peer, message = unread.pop(0)
            node.hear(number_of(peer), Ack(message.number))
    assert all(node.status(number) is ALIVE for number in (1, 2, 3))
    assert not [fact for fact in facts(node.effects, MemberChanged) if fact.status is SUSPECT]
    assert 15 <= pings <= 45, "it probes less often, but does not cease to"


def test_answers_bring_the_usual_pace_back(node: Driver) -> None:
    # [GOSSIP-HEALTH.1]
    wait_probe(node)
    node.wait(8 * PERIOD_US)
    answer_all(node, 40 * PERIOD_US)
    assert abs(len(answer_all(node, 10 * PERIOD_US)) - 10) <= 1


def test_having_to_refute_costs_health_but_lies_cannot_ruin_it(node: Driver) -> None:
    # [GOSSIP-HEALTH.3]
    answer_all(node, 5 * PERIOD_US)
    probes = 0
    for _ in range(30):
        node.tell(1, suspect(5, version=node.version))
        probes += len(answer_all(node, PERIOD_US))
    assert probes >= 15


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


def test_a_member_is_probed_as_soon_as_there_is_doubt(node: Driver) -> None:
    # [GOSSIP-SUSPICION.3]: it can refute, or its silence confirms the doubt.
    node.link(*range(20, 40))
    answer_all(node, 2 * PERIOD_US)
    for number in (21, 25, 29, 33, 37):
        node.tell(2, suspect(number, accuser=1))
        assert name(number) in answer_all(node, PERIOD_US)
        node.tell(number, make_record(number, version=2))


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


def test_every_ping_is_answered_by_its_number(node: Driver) -> None:
    assert [ack.number for ack in sends(node.hear(1, Ping(123)), Ack)] == [123]


def test_nobody_without_a_link_is_heard(node: Driver) -> None:
    assert node.hear(9, Ping(1)) == []
