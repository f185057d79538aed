"""A node that is slow or stands still is doubted itself, but makes nobody doubt the healthy.

Eight machines in the pretend network, one of them on a sick host, for a hundred probe
periods. Nobody dies, and nobody but the sick one is ever suspect. Claims:
[GOSSIP-HEALTH.1], [GOSSIP-HEALTH.2], [GOSSIP-PROBE.4].
"""

from collections.abc import Iterator

import pytest

from tests.unit.core.gossip.pretend import Host, World, name
from wwwserve.core.events import DeadlineReached, EnvelopeReceived
from wwwserve.core.facts import MemberChanged, MemberStatus
from wwwserve.core.gossip import GossipEvent
from wwwserve.values.moments import MILLISECOND, SECOND

NODES = 8
SICK = 3


class SickWorld(World):
    """One host reads late, or at times does nothing at all."""

    def __init__(self) -> None:
        super().__init__()
        self.lateness_us = 0
        """From when a message is there until the sick host reads it."""
        self.paused_until = 0
        self.unread: list[GossipEvent] = []

    def pause(self, span_us: int) -> None:
        """The sick host stands still; when it wakes, its timers come before what it has to read."""
        self.paused_until = self.now + span_us
        self._later(span_us, self._wake)

    def feed(self, number: int, event: GossipEvent) -> None:
        if number != SICK:
            super().feed(number, event)
        elif self.now < self.paused_until:
            self.unread.append(event)
        elif self.lateness_us and isinstance(event, EnvelopeReceived):
            self._later(self.lateness_us, lambda: World.feed(self, number, event))
        else:
            super().feed(number, event)

    def find_doubted(self) -> Iterator[tuple[int, MemberStatus]]:
        """Who was held for what since the beginning of the sickness."""
        numbers = {name(number): number for number in range(NODES)}
        for host in self.hosts.values():
            for fact in host.facts:
                if isinstance(fact, MemberChanged):
                    yield numbers[fact.node], fact.status

    def _wake(self) -> None:
        unread, self.unread = self.unread, []
        for event in [DeadlineReached(), *unread]:
            super().feed(SICK, event)

    def _find_deadline(self, host: Host) -> int:
        deadline = super()._find_deadline(host)
        return max(deadline, self.paused_until) if host.number == SICK else deadline


@pytest.fixture
def world() -> SickWorld:
    world = SickWorld()
    for number in range(NODES):
        world.start(number)
    world.run_until(lambda: not world.find_disagreement(), within_us=5 * SECOND)
    for host in world.hosts.values():
        host.facts.clear()
    return world


@pytest.mark.parametrize("lateness_us", [60 * MILLISECOND, 150 * MILLISECOND, 250 * MILLISECOND])
def test_a_node_that_reads_late(world: SickWorld, lateness_us: int) -> None:
    world.lateness_us = lateness_us
    world.run(10 * SECOND)
    assert set(world.find_doubted()) <= {
        (SICK, MemberStatus.SUSPECT),
        (SICK, MemberStatus.ALIVE),
    }


@pytest.mark.parametrize("pause_us", [30 * MILLISECOND, 90 * MILLISECOND, 400 * MILLISECOND])
def test_a_node_that_stands_still_at_times(world: SickWorld, pause_us: int) -> None:
    for _ in range(10):
        world.pause(pause_us)
        world.run(SECOND + 7 * MILLISECOND)
    assert set(world.find_doubted()) <= {
        (SICK, MemberStatus.SUSPECT),
        (SICK, MemberStatus.ALIVE),
    }


def test_a_node_that_is_well_again_is_trusted(world: SickWorld) -> None:
    world.lateness_us = 350 * MILLISECOND
    world.run(10 * SECOND)
    world.lateness_us = 0
    world.run_until(lambda: not world.find_disagreement(), within_us=5 * SECOND)
