"""Whatever the network and the hosts do, gossip stays truthful, and heals when they do.

Hypothesis drives up to five real gossip machines in a pretend network: messages are lost, doubled,
delayed and overtaken; links break; the network splits; nodes crash and return, with their disk or
without; every clock has its own origin and speed. After each step: no node doubts itself, and no
version goes back. At the end every fault stops, and within a bounded time all must hold the same
table. Claims: [GOSSIP-OWN.1], [GOSSIP-OWN.2], [GOSSIP-OWN.3], [GOSSIP-CLOCK.1], [GOSSIP-HEAL.1],
[GOSSIP-HEAL.2].
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.core.gossip.pretend import Faults, Host, World, make_model, name, number_of
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import Depart, Departure
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip import Described
from wwwserve.sim.world import PretendClock
from wwwserve.values.moments import MILLISECOND, SECOND

NODES = 5
HEALING_US = 25 * SECOND
"""With `TINY`: knocking, dialling, suspicion and exchanges each take about a second."""

pairs = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))
numbers = st.integers(0, NODES - 1)
shares = st.sampled_from([0, 0, 100, 300])


class GossipNetwork(RuleBasedStateMachine):
    """Five nodes and everything that can befall them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.seen: dict[tuple[int, int, int], int] = {}
        self.is_disk_lost: dict[int, bool] = {}

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.world = World(seed, bootstrap=(0, 1))
        self.world.clocks = draw_clocks(Entropy(b"clocks %d" % seed), NODES)
        for number in range(NODES - 1):
            self.world.start(number)
        # A home machine: nobody can dial it.
        self.world.start(NODES - 1, is_listening=False)

    @rule(span_ms=st.sampled_from([1, 30, 200, 1500]))
    def wait(self, span_ms: int) -> None:
        self.world.run(span_ms * MILLISECOND)

    @rule(drop=shares, duplicate=shares, delay=shares)
    def trouble(self, drop: int, duplicate: int, delay: int) -> None:
        self.world.faults = Faults(drop, duplicate, delay)

    @rule(pair=pairs)
    def cut(self, pair: tuple[int, int]) -> None:
        self.world.cut(*pair)

    @rule(sides=st.lists(st.integers(0, 1), min_size=NODES, max_size=NODES))
    def split(self, sides: list[int]) -> None:
        self.world.split(dict(enumerate(sides)))

    @rule()
    def notice_split(self) -> None:
        self.world.cut_split_links()

    @rule(number=numbers)
    def crash(self, number: int) -> None:
        if number in self.world.hosts:
            self.world.crash(number)

    @precondition(lambda self: len(self.world.hosts) < NODES)
    @rule(keeps_disk=st.sampled_from([True, True, False]))
    def restart(self, *, keeps_disk: bool) -> None:
        number = next(n for n in range(NODES) if n not in self.world.hosts)
        self._start(number, keeps_disk=keeps_disk)

    @rule(number=numbers, slots=st.integers(1, 3))
    def describe(self, number: int, slots: int) -> None:
        if number in self.world.hosts:
            self.world.feed(number, Described((make_model("org/model", slots),), slots))

    @rule(number=numbers)
    def leave(self, number: int) -> None:
        if number in self.world.hosts:
            self.world.feed(number, Depart(Departure.LEAVE))
            self.world.run(50 * MILLISECOND)
            self.world.crash(number)

    @invariant()
    def nobody_doubts_itself(self) -> None:
        for number, host in self.world.hosts.items():
            assert host.gossip.get_member(name(number)) is None
            assert not host.gossip.own.record.is_leaving

    @invariant()
    def versions_never_go_back(self) -> None:
        for number, host in self.world.hosts.items():
            self._see(host, number, host.gossip.own.record.version)
            for view in host.gossip.get_members():
                self._see(host, number_of(view.node), view.record.version)

    @invariant()
    def only_the_alive_and_linked_get_work(self) -> None:
        for host in self.world.hosts.values():
            for view in host.gossip.get_members():
                if host.gossip.is_routable(view.node):
                    assert view.status is MemberStatus.ALIVE
                    assert view.is_linked

    def teardown(self) -> None:
        self.world.heal()
        self.world.cut_split_links()
        for number in range(NODES):
            if number not in self.world.hosts:
                self._start(number, keeps_disk=True)
        self.world.run_until(lambda: not self.world.find_disagreement(), within_us=HEALING_US)
        # And it stays so: nothing left over unsettles a healthy network.
        for host in self.world.hosts.values():
            host.updates.clear()
        self.world.run(5 * SECOND)
        assert not self.world.find_disagreement()

    def _start(self, number: int, *, keeps_disk: bool) -> None:
        heard = self.world.heard_versions.get(number, 0)
        host = self.world.start(number, keeps_disk=keeps_disk, is_listening=number != NODES - 1)
        self.is_disk_lost[number] = not keeps_disk or self.is_disk_lost.get(number, False)
        if not self.is_disk_lost[number]:
            version = host.gossip.own.record.version
            assert version > heard, "a version was heard of before it was durable"

    def _see(self, host: Host, number: int, version: int) -> None:
        key = (host.number, host.life, number)
        assert version >= self.seen.get(key, 0)
        self.seen[key] = version


def draw_clocks(entropy: Entropy, count: int) -> dict[int, PretendClock]:
    """Clocks with origins days apart and speeds up to a tenth off."""
    return {
        number: PretendClock(
            origin_us=entropy.below(10**12), drift_ppm=entropy.below(200_001) - 100_000
        )
        for number in range(count)
    }


GossipNetwork.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestGossipNetwork = pytest.mark.slow(GossipNetwork.TestCase)
