"""A node is killed around an order of its policy's about its stake; it is carried out once.

Two nodes and the log, and no requests: what is to be staked was set aside before. The process dies
at each point between the order and the diary's note of its end, and comes back with what is on its
disk and in its diary, of which it forgot the last moment.
"""

from dataclasses import replace as replace_fields

import pytest
from msgspec.structs import replace

from wwwserve.core.chain import Loaded
from wwwserve.core.deciding import IncomeSetAside, PolicyMemory
from wwwserve.core.effects import Effect, OpenFeed, Persist, Report
from wwwserve.core.lanes import Lane
from wwwserve.core.peer import Peer
from wwwserve.core.policy.staking import ORDER_EPOCHS
from wwwserve.core.setup import PeerSetup
from wwwserve.core.snapshot import WalletView
from wwwserve.core.wallet import read_stake_order
from wwwserve.sim import SCENARIOS
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.hosts import Host
from wwwserve.sim.plans import NodePlan, Scenario
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import DEV_LEDGER
from wwwserve.values.moments import MILLISECOND, SECOND, Moment

NAME = "stakes"
PRICE = DEV_LEDGER.seat_price
SET_ASIDE = PRICE * 3 // 2
RESERVE = 400
EPOCH_US = DEV_LEDGER.epoch_ms * MILLISECOND
HELD_US = SECOND // 5
"""What a killed process may have told its diary without that being written."""
LOOK_US = MILLISECOND // 10
SHARE = {"stake_income_permille": 1_000, "stake_reserve": RESERVE * CREDIT}


def make_scenario(policy: dict[str, int]) -> Scenario:
    plan = SCENARIOS["policy-income"]
    assert plan.ledger is not None
    return replace(
        plan,
        nodes={"sequencer": NodePlan(share=0), NAME: NodePlan(share=0, policy={**policy})},
        ledger=replace(plan.ledger, credits_each=1_000),
        workload=replace(plan.workload, load_permille=0),
    )


class Life:
    """One node's disk and diary, its processes, and when the first of them dies."""

    def __init__(self, point: str, policy: dict[str, int]) -> None:
        self.point = point
        self.diary: list[tuple[int, IncomeSetAside]] = [(0, IncomeSetAside(Moment(0), SET_ASIDE))]
        """When each record was told, and what it says."""
        self.killed_us = 0
        self.is_cut_off = False
        """Whether nothing that the node says reaches the log."""
        self.free_least = 1_000 * CREDIT
        self.cluster = Cluster(
            make_scenario(policy), 1, strategy="wwwserve", create_core=self.create
        )
        self.host = self.cluster.hosts[NAME]
        self._carry_out = self.host.carry_out
        self.host.carry_out = self._on_effect
        self.cluster.start()
        self.seats_first = self.play(1).bond // PRICE

    def create(self, setup: PeerSetup, loaded: Loaded | None) -> Peer:
        """A process begins with what is in the diary."""
        if setup.addresses == (self.host.address,):
            _, last = self.diary[-1]
            memory = PolicyMemory(set_aside=last.microcredits, orders=last.orders)
            setup = replace_fields(setup, memory=memory)
        return Peer(setup, loaded)

    def play(self, epochs: int) -> WalletView:
        """Let so many epochs pass; the wallet at their end."""
        for _ in range(epochs):
            self.cluster.run_until(self.cluster.world.now_us + EPOCH_US)
            wallet = self.get_wallet()
            if wallet.is_ready:  # What may be spent is not known before.
                self.free_least = min(self.free_least, wallet.spendable)
        return self.get_wallet()

    def get_wallet(self) -> WalletView:
        """The wallet as the process knows it now."""
        snapshot = self.host.get_snapshot()
        assert snapshot is not None
        assert snapshot.wallet is not None
        return snapshot.wallet

    def _on_effect(self, host: Host, effect: Effect) -> None:
        """Carry out an effect, unless the process is dead by then or cut off."""
        if host.is_up:
            self._on_order(effect)
        if host.is_up and not (self.is_cut_off and isinstance(effect, OpenFeed)):
            self._carry_out(host, effect)

    def _on_order(self, effect: Effect) -> None:
        match effect:
            case Persist(lane=Lane.FEED, changes=changes) if not self.killed_us:
                if read_stake_order({key: value for key, value in changes if value}) is not None:
                    self._on_signed()
            case Report(IncomeSetAside() as fact):
                self._on_set_aside(fact)
            case _:
                pass

    def _on_signed(self) -> None:
        if self.point == "signed":
            self._kill()
        elif self.point == "written":
            self.cluster.world.after(LOOK_US, self._look)

    def _on_set_aside(self, fact: IncomeSetAside) -> None:
        is_end = not self.killed_us and fact.orders == 1
        if is_end and self.point == "in the log":
            self._kill()
            return
        world = self.cluster.world
        self.diary.append((world.now_us, fact))
        if is_end and self.point == "noted":
            world.after(2 * HELD_US, self._kill)

    def _look(self) -> None:
        """Die as soon as the order is on disk."""
        if read_stake_order(self.host.disk.read(Lane.FEED)) is not None:
            self._kill()
        else:
            self.cluster.world.after(LOOK_US, self._look)

    def _kill(self) -> None:
        world = self.cluster.world
        self.killed_us = world.now_us
        self.host.end()
        self.diary = [one for one in self.diary if one[0] < max(self.killed_us - HELD_US, 1)]
        world.after(SECOND, self.host.start)


@pytest.mark.parametrize("point", ["signed", "written", "in the log", "noted"])
def test_a_share_is_staked_once_wherever_a_process_dies(point: str) -> None:
    """[POLICY-STAKE.4], [POLICY-STAKE.1]."""
    life = Life(point, SHARE)
    life.play(ORDER_EPOCHS + 1)
    assert life.killed_us
    wallet = life.play(ORDER_EPOCHS + 3)
    assert wallet.bond // PRICE - life.seats_first == 1
    _, last = life.diary[-1]
    assert last.microcredits == SET_ASIDE - PRICE, "the rest is kept for the next seat"
    assert life.free_least >= RESERVE * CREDIT


def test_an_order_that_a_killed_process_left_is_waited_for() -> None:
    """[POLICY-STAKE.3]: the next process gives none while it is not in the log, however long."""
    life = Life("written", {"stake_seats": 3, "stake_reserve": RESERVE * CREDIT})
    assert life.seats_first == 2
    life.play(ORDER_EPOCHS - 1)
    life.is_cut_off = True
    life.play(ORDER_EPOCHS + 3)
    assert life.killed_us
    life.is_cut_off = False
    assert life.play(2).bond // PRICE == 3


def test_a_kill_does_not_open_the_reserve() -> None:
    """[POLICY-STAKE.1]: what a killed process ordered is not free for the next."""
    reserve = 1_000 * CREDIT - PRICE * 3 // 2
    life = Life("written", {"stake_seats": 20, "stake_reserve": reserve})
    life.play(ORDER_EPOCHS - 1)
    life.is_cut_off = True
    life.play(ORDER_EPOCHS + 2)
    assert life.killed_us
    life.is_cut_off = False
    life.play(2)
    assert life.free_least >= reserve
