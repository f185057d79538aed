"""When many fall silent at once, a node neither takes it for its own fault nor asks about each.

Node 5 has links to twelve others, of whom some stop answering. Claims: [GOSSIP-HEALTH.1],
[GOSSIP-SUSPICION.3], [GOSSIP-LINKS.11].
"""

from tests.unit.core.gossip.driver import Driver, dead, suspect, targets
from tests.unit.core.gossip.pretend import name, number_of
from wwwserve.core.effects import CloseLink, SendMessage
from wwwserve.core.events import LinkClosed
from wwwserve.core.gossip import GossipEffect
from wwwserve.core.gossip.dialling import DOUBTED_LINK_PERIODS
from wwwserve.core.gossip.state import CONFIRMATIONS_MAX
from wwwserve.values.parameters import TINY
from wwwserve.wire import Ack, Ping

PERIOD_US = TINY.probe_period_us


def answer_all(node: Driver, periods: int, *, silent: range) -> list[GossipEffect]:
    """Let time pass in which all but the silent answer what they are asked."""
    done: list[GossipEffect] = []
    for _ in range(periods * 20):
        effects = node.wait(PERIOD_US // 20)
        done += effects
        for effect in effects:
            if isinstance(effect, SendMessage) and isinstance(effect.message, Ping):
                number = number_of(effect.peer)
                if number not in silent:
                    done += node.hear(number, Ack(effect.message.number))
    return done


def open_node() -> Driver:
    node = Driver()
    node.link(*range(10, 22))
    return node


def test_who_is_accused_by_enough_is_not_probed_before_its_turn() -> None:
    # [GOSSIP-SUSPICION.3]
    node = open_node()
    accusers = range(15, 16 + CONFIRMATIONS_MAX)
    for number in range(10, 14):
        node.tell(20, *(suspect(number, accuser=accuser) for accuser in accusers))
    node.tell(20, suspect(14, accuser=15))
    silent = range(10, 15)
    pinged = [number_of(peer) for peer in targets(answer_all(node, 3, silent=silent), Ping)]
    assert 14 in pinged, "one accuser may be wrong"
    assert len([number for number in pinged if number in range(10, 14)]) < len(pinged) - 1


def test_the_silence_of_the_dead_says_nothing_of_our_own_hearing() -> None:
    # [GOSSIP-HEALTH.1]: a node in bad health probes more slowly.
    counts = []
    for silent in (range(10, 10), range(10, 16)):
        node = open_node()
        node.tell(20, *(dead(number) for number in silent[:3]))
        node.tell(20, *(dead(number) for number in silent[3:]))
        counts.append(len(targets(answer_all(node, 9, silent=silent), Ping)))
    assert counts[0] == counts[1]


def test_an_idle_link_nothing_comes_over_is_let_go_in_time() -> None:
    # [GOSSIP-LINKS.11]: as long as it is there, nobody dials.
    node = open_node()
    node.tell(20, dead(10))
    soon = answer_all(node, DOUBTED_LINK_PERIODS - 1, silent=range(10, 11))
    assert not any(isinstance(effect, CloseLink) for effect in soon)
    later = answer_all(node, 4, silent=range(10, 11))
    closing = [effect for effect in later if isinstance(effect, CloseLink)]
    assert {(effect.peer, effect.is_shed) for effect in closing} == {(name(10), True)}


def test_who_was_in_doubt_is_so_still_when_its_link_is_let_go() -> None:
    # [GOSSIP-LINKS.11]
    node = open_node()
    node.tell(20, suspect(10))
    node.feed(LinkClosed(name(10), "full", is_shed=True))
    assert node.gossip.get_member(name(10)) is not None
    assert not node.gossip.is_routable(name(10))
