"""A node asks on behalf of its peers, tells them what came of it, and cannot be worn out by them.

Node 5 is linked to 1, 2 and 3 in the tiny network; node 1 asks it to ask node 2. Claims:
[GOSSIP-PROBE.3], [GOSSIP-PROBE.6], [GOSSIP-PROBE.10], [GOSSIP-SUSPICION.3].
"""

from collections.abc import Iterable

import pytest

from tests.unit.core.gossip.driver import Driver, facts, sends, suspect, targets
from tests.unit.core.gossip.pretend import name
from wwwserve.core.events import LinkClosed, SendFailed
from wwwserve.core.facts import PeerRefused
from wwwserve.core.gossip import GossipEffect
from wwwserve.core.gossip.state import RELAYS_PER_PEER_MAX
from wwwserve.values.moments import MILLISECOND
from wwwserve.values.parameters import TINY
from wwwserve.wire import Ack, Nack, Ping, PingRequest

PERIOD_US = TINY.probe_period_us
WAIT_US = 30 * MILLISECOND


@pytest.fixture
def node() -> Driver:
    driver = Driver()
    driver.link(1, 2, 3)
    return driver


def request(number: int, node: int, wait_us: int = WAIT_US) -> PingRequest:
    return PingRequest(number, name(node), wait_us)


def read(effects: Iterable[GossipEffect]) -> list[tuple[int, bool]]:
    """What peers are told of silence: about which request, and whether there is a link."""
    return [(nack.number, nack.is_linked) for nack in sends(effects, Nack)]


def test_a_probe_for_another_is_passed_on_and_its_answer_back(node: Driver) -> None:
    # [GOSSIP-PROBE.3]
    effects = node.hear(1, request(77, 2))
    (ping,) = sends(effects, Ping)
    assert targets(effects, Ping) == [name(2)]
    assert node.hear(3, Ack(ping.number)) == [], "only the probed node can answer for itself"
    answer = node.hear(2, Ack(ping.number))
    assert targets(answer, Ack) == [name(1)]
    assert sends(answer, Ack)[0].number == 77
    assert node.hear(2, Ack(ping.number)) == [], "and only once"
    assert sends(node.wait(5 * WAIT_US), Nack) == []


def test_silence_is_told_in_time_and_a_late_answer_still_passed_on(node: Driver) -> None:
    # [GOSSIP-PROBE.10]
    (ping,) = sends(node.hear(1, request(77, 2)), Ping)
    assert sends(node.wait(WAIT_US - 1), Nack) == []
    told = node.wait(1)
    assert targets(told, Nack) == [name(1)]
    assert read(told) == [(77, True)]
    assert [ack.number for ack in sends(node.hear(2, Ack(ping.number)), Ack)] == [77]
    (ping,) = sends(node.hear(1, request(78, 2)), Ping)
    assert len(sends(node.wait(3 * WAIT_US), Nack)) == 1, "told once"
    assert sends(node.hear(2, Ack(ping.number)), Ack) == [], "nobody waits for it any more"


def test_who_has_no_link_says_so_at_once(node: Driver) -> None:
    # [GOSSIP-PROBE.10]
    assert read(node.hear(1, request(77, 9))) == [(77, False)]
    assert sends(node.effects, Ping) == []
    (ping,) = sends(node.hear(1, request(78, 2)), Ping)
    node.feed(LinkClosed(name(2), "reset"))
    assert read(node.feed(SendFailed(name(2), ping))) == [(78, False)]


def test_a_peer_asks_for_itself_in_vain_and_for_us_with_success(node: Driver) -> None:
    assert node.hear(1, request(78, 1)) == []
    assert [ack.number for ack in sends(node.hear(1, request(79, 5)), Ack)] == [79]


def test_the_doubted_member_is_told_so_by_a_relayed_probe_too(node: Driver) -> None:
    # [GOSSIP-SUSPICION.3]: whoever asks brings the doubt along.
    doubt = suspect(2, accuser=1)
    effects = node.hear(1, PingRequest(77, name(2), WAIT_US, (doubt,)))
    (ping,) = sends(effects, Ping)
    assert ping.claims[0] == doubt


def test_nobody_waits_longer_than_the_worst_of_health_allows(node: Driver) -> None:
    # [GOSSIP-PROBE.10]
    node.hear(1, request(77, 2, wait_us=10**15))
    assert read(node.wait(9 * PERIOD_US)) == [(77, True)]


def test_probes_for_others_are_bounded_for_each_peer(node: Driver) -> None:
    # [GOSSIP-PROBE.6]
    effects = [effect for number in range(50) for effect in node.hear(1, request(number, 2))]
    assert len(sends(effects, Ping)) == RELAYS_PER_PEER_MAX
    assert [fact.peer for fact in facts(effects, PeerRefused)] == [name(1)], (
        "told once, not 46 times"
    )
    assert sends(node.hear(3, request(1, 2)), Ping), "others are not made to pay"
    node.wait(PERIOD_US)
    assert sends(node.hear(1, request(99, 2)), Ping)
