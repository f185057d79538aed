"""A node whose policy keeps stake is drawn more often, as soon as the ledger counts its new seats.

A small network that pays: equal nodes, of which one is told to have twenty seats. What it orders is
seen in the log of another node, and what it is worth in whom that node asks.
"""

from collections import Counter

from msgspec.structs import replace

from wwwserve.core.deciding import StakeDecided
from wwwserve.core.effects import Effect, SendMessage
from wwwserve.core.facts import Fact
from wwwserve.core.peer import Peer
from wwwserve.core.policy.staking import ORDER_EPOCHS
from wwwserve.sim import SCENARIOS
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.hosts import Host
from wwwserve.sim.plans import NodePlan, Scenario
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import DEV_LEDGER
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.wire import Probe

TARGET = 20
RESERVE = 400
CREDITS = 1_000
EPOCH_US = DEV_LEDGER.epoch_ms * MILLISECOND


def make_scenario() -> Scenario:
    plan = SCENARIOS["policy-income"]
    stakes: dict[str, int] = {"stake_seats": TARGET, "stake_reserve": RESERVE * CREDIT}
    nodes = {
        "asker": plan.nodes["asker"],
        "grows": NodePlan(policy={**stakes}),
        **{f"other-{number}": NodePlan() for number in range(1, 5)},
    }
    assert plan.ledger is not None
    return replace(
        plan,
        nodes=nodes,
        ledger=replace(plan.ledger, credits_each=CREDITS),
        workload=replace(plan.workload, load_permille=120),
    )


class Asked:
    """Whom the asker asks about its requests, and what the policy of the one that grows orders."""

    def __init__(self, cluster: Cluster) -> None:
        self.probes: Counter[bytes] = Counter()
        self.orders: list[tuple[int, int]] = []
        """When, and how many seats."""
        self.cluster = cluster
        self._asker = cluster.hosts["asker"]
        self._carry_out = self._asker.carry_out
        self._asker.carry_out = self._on_effect
        cluster.watchers.append(self._on_fact)

    def play(self, until_us: int) -> float:
        """Let time pass; the share of the probes that went to the node that grows."""
        self.probes.clear()
        self.cluster.run_until(until_us)
        return self.probes[self.cluster.hosts["grows"].node_id] / self.probes.total()

    def _on_effect(self, host: Host, effect: Effect) -> None:
        if isinstance(effect, SendMessage) and isinstance(effect.message, Probe):
            self.probes[effect.peer] += 1
        self._carry_out(host, effect)

    def _on_fact(self, host: Host, fact: Fact) -> None:
        if isinstance(fact, StakeDecided) and fact.seats:
            self.orders.append((host.world.now_us, fact.seats))


def test_a_node_that_stakes_is_drawn_more() -> None:
    """[POLICY-STAKE.5]."""
    cluster = Cluster(make_scenario(), 1, strategy="wwwserve", create_core=Peer)
    asked = Asked(cluster)
    cluster.start()
    before = asked.play(ORDER_EPOCHS * EPOCH_US)
    cluster.run_until((ORDER_EPOCHS + 2) * EPOCH_US)
    after = asked.play((2 * ORDER_EPOCHS + 1) * EPOCH_US)
    assert 0.1 < before < 0.3
    assert after > 1.4 * before
    # A quarter of 18 that are missing, then of 13.
    assert [seats for _, seats in asked.orders] == [5, 4]
    (first_us, _), (second_us, _) = asked.orders
    assert second_us - first_us > (ORDER_EPOCHS - 1) * EPOCH_US
    snapshot = cluster.hosts["grows"].get_snapshot()
    assert snapshot is not None
    assert snapshot.wallet is not None
    assert snapshot.wallet.bond == 11 * DEV_LEDGER.seat_price
    assert snapshot.wallet.avail >= RESERVE * CREDIT
    assert cluster.world.now_us < 600 * SECOND
