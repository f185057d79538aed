"""In a small network all are linked; in a large one the links are few, random, and enough.

Node 5 alone is told of many members, and whom it dials and sheds is looked at. Then whole networks
of 200 and 1000 nodes choose by the code of each node, with the links kept here, and the graph is
looked at from above: who reaches whom, how many links each has, and what is left when nodes fail.
Claims: [GOSSIP-LINKS.1], [GOSSIP-LINKS.7], [GOSSIP-LINKS.8], [GOSSIP-LINKS.10].
"""

from collections.abc import Sequence

import pytest

from tests.unit.core.gossip.driver import Driver, dials, push_pull, sends
from tests.unit.core.gossip.pretend import address_of, make_record, name
from tests.unit.core.gossip.town import Town
from wwwserve.core.effects import CloseLink
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import LinkClosed
from wwwserve.core.gossip import GossipEffect
from wwwserve.core.gossip.dialling import SHED_REST_PERIODS
from wwwserve.core.gossip.neighbours import (
    EXECUTORS_PER_MODEL,
    LINK_KEPT_PERIODS,
    LINKS_CROWDED,
    MESH_MEMBERS_MAX,
    MESH_MEMBERS_SPARE,
    NEIGHBOURS_CHOSEN,
    NEIGHBOURS_CHOSEN_MIN,
)
from wwwserve.values.limits import LINKS_MAX, PUSH_PULL_RECORDS_MAX
from wwwserve.values.parameters import TINY
from wwwserve.wire import PingRequest

PERIOD_US = TINY.probe_period_us


def tell_of(node: Driver, numbers: range) -> None:
    """Have node 5 hear of these from node 1, as in an exchange."""
    for first in range(numbers.start, numbers.stop, PUSH_PULL_RECORDS_MAX):
        part = range(first, min(first + PUSH_PULL_RECORDS_MAX, numbers.stop))
        records = [make_record(number) for number in part]
        node.hear(1, push_pull(*records), *records)


def find_dialled(node: Driver) -> set[str]:
    """Everybody that node 5, linked to 1 and told of 200 others, dials in a while."""
    node.link(1)
    tell_of(node, range(100, 300))
    node.wait(2 * PERIOD_US)
    return set(dials(node.effects))


def wait_among(node: Driver, numbers: Sequence[int], span_us: int) -> list[GossipEffect]:
    """Let time pass in which these refute all doubts; what was done meanwhile."""
    before = len(node.effects)
    for version in range(2, 2 + span_us // (5 * PERIOD_US)):
        node.wait(5 * PERIOD_US)
        for number in numbers:
            node.tell(number, make_record(number, version=version))
    return node.effects[before:]


# -- one node ------------------------------------------------------------------------------------


def test_up_to_the_bound_everybody_is_dialled() -> None:
    # [GOSSIP-LINKS.1]
    node = Driver()
    node.link(1)
    others = range(100, 100 + MESH_MEMBERS_MAX - 1)
    tell_of(node, others)
    node.wait(2 * PERIOD_US)
    assert set(dials(node.effects)) == {address_of(number) for number in others}


def test_above_it_few_are_dialled_and_which_nobody_can_tell() -> None:
    # [GOSSIP-LINKS.7]: dials fail here, so that some in place of others are tried too.
    one, other = find_dialled(Driver(seed=b"one")), find_dialled(Driver(seed=b"other"))
    assert NEIGHBOURS_CHOSEN <= len(one) <= 3 * NEIGHBOURS_CHOSEN
    assert len(one & other) < NEIGHBOURS_CHOSEN


def test_a_network_of_about_the_bound_does_not_waver() -> None:
    # [GOSSIP-LINKS.1]
    node = Driver()
    node.link(1)
    tell_of(node, range(100, 100 + MESH_MEMBERS_MAX - 1))
    node.wait(2 * PERIOD_US)
    tell_of(node, range(200, 200 + MESH_MEMBERS_SPARE))
    assert address_of(200) in dials(node.wait(2 * PERIOD_US))


def test_a_crowded_node_sheds_links_others_made_and_not_its_own_choice() -> None:
    # [GOSSIP-LINKS.8]
    node = Driver()
    node.link(1)
    tell_of(node, range(100, 300))
    node.wait(6 * PERIOD_US)
    dialled = dials(node.effects)
    own = [number for number in range(100, 300) if address_of(number) in dialled]
    for number in [*own, *(other for other in range(100, 300) if other not in own)][:60]:
        node.open(number, is_dialled=number in own)
    effects = node.wait(TINY.gossip_period_us)
    shed = [effect.peer for effect in effects if isinstance(effect, CloseLink) and effect.is_shed]
    assert len(shed) == 61 - LINKS_CROWDED
    assert sum(name(number) not in shed for number in own) >= NEIGHBOURS_CHOSEN


def test_who_was_shed_soon_chooses_another() -> None:
    # [GOSSIP-LINKS.8]
    node = Driver()
    first = find_dialled(node)
    (number,) = [number for number in range(100, 300) if address_of(number) == min(first)]
    node.open(number, is_dialled=True)
    node.wait(PERIOD_US)
    node.feed(LinkClosed(name(number), "full", is_shed=True))
    news = make_record(1, version=2), make_record(number, version=2)
    node.tell(1, *news)
    span_us = SHED_REST_PERIODS * TINY.push_pull_period_us // 3
    assert address_of(number) not in dials(node.wait(span_us))


def test_no_link_is_shed_for_members_that_are_not_there() -> None:
    # [GOSSIP-LINKS.8]: one peer signs hundreds of records, and nobody is behind them.
    node = Driver()
    node.link(1)
    there = range(100, 110)
    tell_of(node, there)
    for number in there:
        node.open(number, is_dialled=True)
    tell_of(node, range(200, 500))
    effects = wait_among(node, (1, *there), (LINK_KEPT_PERIODS + 3) * TINY.push_pull_period_us)
    assert not any(isinstance(effect, CloseLink) for effect in effects)


def test_members_that_are_not_there_do_not_hide_those_who_are() -> None:
    # [GOSSIP-LINKS.2]: nobody answers a dial, and in the end each of so many was tried.
    node = Driver()
    node.link(1)
    tell_of(node, range(200, 500))
    wait_among(node, (1,), 8 * SHED_REST_PERIODS * TINY.push_pull_period_us)
    tried = set(dials(node.effects))
    assert {address_of(number) for number in range(200, 500)} <= tried


def test_nobody_is_suspected_for_shedding_a_link() -> None:
    # [GOSSIP-LINKS.8]
    node = Driver()
    node.link(*range(10, 30))
    node.feed(LinkClosed(name(10), "full", is_shed=True))
    node.feed(LinkClosed(name(11), "reset"))
    asked = {question.node for question in sends(node.wait(2 * PERIOD_US), PingRequest)}
    assert name(11) in asked
    assert name(10) not in asked


# -- whole networks ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_large_network_is_a_random_expander(count: int) -> None:
    # [GOSSIP-LINKS.7]
    town = Town(count)
    town.settle()
    degrees = town.list_degrees()
    assert min(degrees) >= NEIGHBOURS_CHOSEN
    assert max(degrees) <= LINKS_CROWDED
    assert sum(degrees) <= 2.5 * NEIGHBOURS_CHOSEN * count
    steps = town.find_reach(0)
    assert len(steps) == count
    assert max(steps.values()) <= 4


@pytest.mark.slow
def test_it_stays_connected_when_half_of_it_fails_at_once() -> None:
    # [GOSSIP-LINKS.7]
    town = Town(200)
    town.settle()
    for seed in range(20):
        failed = Entropy(b"%d" % seed).shuffle(range(1, 200))[:100]
        assert len(town.find_reach(0, without=failed)) == 100


@pytest.mark.slow
def test_links_do_not_change_without_need() -> None:
    # [GOSSIP-LINKS.7]
    town = Town(200)
    town.settle()
    before = [list(links) for links in town.links]
    town.run(20)
    assert [list(links) for links in town.links] == before


@pytest.mark.slow
def test_two_networks_that_become_one_are_soon_linked_all_over() -> None:
    # [GOSSIP-LINKS.7]: were the choice kept, nearly all links would stay within the halves.
    town = Town(200)
    halves = range(100), range(100, 200)
    for half in halves:
        town.meet(half)
    town.settle(is_met=True)
    assert len(town.find_reach(0)) == 100
    town.link(0, 199)
    town.settle()
    crossing = sum(other >= 100 for number in halves[0] for other in town.links[number])
    assert crossing * 3 > sum(town.list_degrees()[:100])


@pytest.mark.slow
def test_links_of_when_the_network_was_small_are_shed_in_time() -> None:
    # [GOSSIP-LINKS.7]
    town = Town(200)
    for number in range(40):
        for other in range(number):
            town.link(other, number)
    town.settle()
    town.run(5 * LINK_KEPT_PERIODS)
    assert max(town.list_degrees()) <= 4 * NEIGHBOURS_CHOSEN
    assert sum(town.list_degrees()[:40]) <= 40 * 3 * NEIGHBOURS_CHOSEN


@pytest.mark.slow
def test_where_most_accept_no_links_all_find_some() -> None:
    # [GOSSIP-LINKS.8]
    town = Town(200, hidden=150)
    town.settle()
    assert max(town.list_degrees()) < LINKS_MAX
    assert min(town.list_degrees()) >= NEIGHBOURS_CHOSEN_MIN
    assert len(town.find_reach(199)) == 200


@pytest.mark.slow
def test_every_node_reaches_every_model() -> None:
    # [GOSSIP-LINKS.10]: twelve of two hundred serve the rare one.
    town = Town(200, rare=range(0, 200, 17))
    town.settle()
    for number, links in enumerate(town.links):
        if number not in town.rare:
            assert sum(other in town.rare for other in links) >= EXECUTORS_PER_MODEL
