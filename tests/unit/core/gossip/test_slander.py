"""Who doubts others all the time keeps no work from them, and true silence is still found.

Node 5 is linked to 1, 2 and 3 in the tiny network, and 2 slanders; then eight machines, one of
which slanders two others without a pause. Claims: [GOSSIP-SUSPICION.6] and [GOSSIP-SUSPICION.7].
"""

import pytest

from tests.unit.core.gossip.driver import Driver, claims_about, dead, sends, suspect, targets
from tests.unit.core.gossip.pretend import World, make_record, name, number_of
from wwwserve.core.effects import SendMessage
from wwwserve.core.events import EnvelopeReceived
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.state import TRUSTED_PERIODS
from wwwserve.values.moments import MILLISECOND, SECOND, Moment
from wwwserve.values.parameters import TINY
from wwwserve.wire import Ack, Envelope, Gossip, Nack, Ping, PingRequest, Suspect

ALIVE, SUSPECT, DEAD = MemberStatus.ALIVE, MemberStatus.SUSPECT, MemberStatus.DEAD
TRUSTED_US = TRUSTED_PERIODS * TINY.probe_period_us


@pytest.fixture
def node() -> Driver:
    """A node that knows 1 at version 2, by which it refuted a first doubt."""
    driver = Driver()
    driver.link(1, 2, 3)
    driver.tell(2, suspect(1, 1))
    assert driver.status(1) is SUSPECT, "a first doubt is believed at once"
    driver.tell(1, make_record(1, version=2))
    return driver


def live(node: Driver, span_us: int, *, silent: int | None = None) -> None:
    """Let time pass while everybody answers but one, whom nobody else can reach either."""
    for _ in range(span_us // MILLISECOND):
        for effect in node.wait(MILLISECOND):
            if not isinstance(effect, SendMessage) or effect.peer == name(silent or 0):
                continue
            message = effect.message
            if isinstance(message, Ping):
                node.hear(number_of(effect.peer), Ack(message.number))
            elif isinstance(message, PingRequest):
                node.hear(number_of(effect.peer), Nack(message.number, is_linked=True))


@pytest.mark.parametrize("doubt", [suspect(1, 2, accuser=2), dead(1, 2, accuser=8)])
def test_who_has_refuted_is_asked_before_it_is_doubted_again(node: Driver, doubt: object) -> None:
    # [GOSSIP-SUSPICION.6]: whoever is named as the accuser.
    effects = node.tell(2, doubt)  # type: ignore[arg-type]
    assert node.gossip.is_routable(name(1))
    assert targets(effects, Gossip) == [name(1)], "it is told, and nobody else"
    assert name(1) in targets(node.wait(TINY.probe_period_us), Ping), "and is probed next"
    node.tell(1, make_record(1, version=3))
    live(node, TRUSTED_US - SECOND)
    node.tell(2, suspect(1, 3))
    assert node.status(1) is ALIVE, "each refutation begins the time anew"


def test_after_a_quiet_while_a_doubt_is_believed_again(node: Driver) -> None:
    # [GOSSIP-SUSPICION.6]
    live(node, TRUSTED_US)
    assert node.status(1) is ALIVE
    node.tell(2, suspect(1, 2))
    assert node.status(1) is SUSPECT


def test_a_doubt_about_another_version_is_not_even_put_to_the_member(node: Driver) -> None:
    # [GOSSIP-SUSPICION.6]
    assert sends(node.tell(2, suspect(1, 1), suspect(1, 3), dead(1, 9)), Gossip) == []


def test_who_has_no_link_believes_what_it_hears(node: Driver) -> None:
    # [GOSSIP-SUSPICION.6]: it gives the member no work in any case, and others may know better.
    node.tell(2, make_record(7), suspect(7, 1))
    node.tell(3, make_record(7, version=2))
    assert node.status(7) is ALIVE
    node.tell(2, dead(7, 2))
    assert node.status(7) is DEAD


def test_silence_after_a_refutation_is_found_and_then_others_words_count(node: Driver) -> None:
    # [GOSSIP-SUSPICION.6]: 1 answers nobody any more, 2 and 3 are there.
    node.tell(3, suspect(1, 2, accuser=3))
    live(node, 4 * TINY.probe_period_us, silent=1)
    assert node.status(1) is SUSPECT
    node.tell(2, dead(1, 2, accuser=2))
    assert node.status(1) is DEAD


def test_a_member_is_told_of_doubts_no_more_often_than_it_can_refute_them(node: Driver) -> None:
    # [GOSSIP-SUSPICION.7]: however many of them come.
    told = []
    for _ in range(10 * TINY.gossip_period_us // MILLISECOND):
        effects = node.tell(2, suspect(1, 2), suspect(1, 2, accuser=8))
        told += [claim for claim in claims_about(effects, 1) if isinstance(claim, Suspect)]
        node.now = Moment(node.now + MILLISECOND)
    assert len(told) == 10


def test_an_endless_slanderer_keeps_hardly_any_work_from_its_victims() -> None:
    # [GOSSIP-SUSPICION.6]: of ten seconds in which it speaks once in each gossip period.
    world, liar, victims, others = World(seed=3), 0, (1, 2), range(3, 8)
    for number in range(8):
        world.start(number)
    world.run_until(lambda: not world.find_disagreement(), within_us=5 * SECOND)
    looks = doubted = 0
    for _ in range(10 * SECOND // TINY.gossip_period_us):
        for number in (*victims, *others):
            versions = [world.hosts[victim].gossip.own.record.version for victim in victims]
            claims = [suspect(*pair, accuser=liar) for pair in zip(victims, versions, strict=True)]
            news = Envelope(name(liar), Gossip(tuple(claims)), ())
            world.feed(number, EnvelopeReceived(news))
        world.run(TINY.gossip_period_us)
        held = [world.status(other, victim) for other in others for victim in victims]
        looks, doubted = looks + len(held), doubted + len(held) - held.count(ALIVE)
    assert doubted < looks // 50
    world.run_until(lambda: not world.find_disagreement(), within_us=5 * SECOND)
