"""No two clocks need to agree, in what they show or in how fast they run.

Six machines in the pretend network, with origins days apart and speeds a tenth too fast or too
slow, do what six with equal clocks do, in nearly the same time. Claim: [GOSSIP-CLOCK.1].
"""

import pytest

from tests.unit.core.gossip.pretend import World
from wwwserve.core.facts import MemberChanged, MemberStatus
from wwwserve.core.gossip.rules import compute_suspicion_us
from wwwserve.core.gossip.state import LOST_ROUNDS
from wwwserve.sim.world import PretendClock
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import TINY

NODES = 6
TENTH_PPM = 100_000
RIGHT = {number: PretendClock() for number in range(NODES)}
WRONG = {
    number: PretendClock(
        origin_us=number * 86_400 * SECOND, drift_ppm=TENTH_PPM if number % 2 else -TENTH_PPM
    )
    for number in range(NODES)
}


@pytest.fixture(params=[RIGHT, WRONG], ids=["right", "wrong"])
def world(request: pytest.FixtureRequest) -> World:
    world = World()
    world.clocks = request.param
    for number in range(NODES):
        world.start(number)
    world.run_until(lambda: not world.find_disagreement(), within_us=5 * SECOND)
    return world


def test_a_healthy_network_doubts_nobody(world: World) -> None:
    for host in world.hosts.values():
        host.facts.clear()
    world.run(60 * SECOND)
    assert [
        fact
        for host in world.hosts.values()
        for fact in host.facts
        if isinstance(fact, MemberChanged)
    ] == []


def test_a_crash_is_found_out_in_time_and_the_way_back_too(world: World) -> None:
    world.crash(3)
    # To the next period, the rounds of the search, and some gossip; then to the verdict.
    suspected_us = (1 + LOST_ROUNDS + 1) * TINY.probe_period_us * 11 // 10
    world.run(suspected_us)
    assert {world.status(number, 3) for number in world.hosts} == {MemberStatus.SUSPECT}
    world.run(compute_suspicion_us(TINY, NODES - 1, confirmations=0) * 11 // 10)
    assert {world.status(number, 3) for number in world.hosts} == {MemberStatus.DEAD}
    world.start(3)
    world.run_until(lambda: not world.find_disagreement(), within_us=5 * SECOND)


def test_halves_that_were_apart_find_each_other(world: World) -> None:
    world.split({number: number % 2 for number in range(NODES)})
    world.cut_split_links()
    world.run(5 * SECOND)
    assert world.status(0, 1) is MemberStatus.DEAD
    world.heal()
    world.run_until(lambda: not world.find_disagreement(), within_us=15 * SECOND)
