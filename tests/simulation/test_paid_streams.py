"""In a whole pretend network that pays: who worked is paid, who cheats is no better off.

Production peers with wallet, payments and ledger run over pretend links, disks and engines; the
ledger checker looks at every block's sum. Amounts are read from the ledger when all is settled.
"""

import pytest

from wwwserve.core.peer import Peer
from wwwserve.core.sessions import Route
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.hosts import Host
from wwwserve.sim.plans import (
    MODEL,
    EnginePlan,
    LedgerPlan,
    NetworkPlan,
    NodePlan,
    Scenario,
    WorkloadPlan,
)
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import RequestId
from wwwserve.values.moments import SECOND

CREDITS_EACH = 1_000
SETTLED_US = 200 * SECOND
"""By then everything is claimed, closed or given back, and in everybody's log."""


class PaidWorld:
    """Nodes a, b, c ...: the first orders the log, all have credits."""

    def __init__(
        self, seed: int = 1, seats: int = 2, credits_each: int = CREDITS_EACH, **people: str
    ) -> None:
        names = ("a", "b", "c")
        plan = Scenario(
            name="paid",
            nodes={
                name: NodePlan(engine=EnginePlan(slots=4), person=people.get(name, "honest"))
                for name in names
            },
            network=NetworkPlan(),
            workload=WorkloadPlan(load_permille=0),
            ledger=LedgerPlan(credits_each=credits_each, seats_each=seats),
        )
        self.cluster = Cluster(plan, seed, strategy="wwwserve", create_core=Peer)
        self.cluster.start()
        self._number = 0
        self.run(10 * SECOND)

    @property
    def hosts(self) -> dict[str, Host]:
        return self.cluster.hosts

    def run(self, span_us: int) -> None:
        self.cluster.run_until(self.cluster.world.now_us + span_us)

    def ask(
        self, name: str, *, tokens: int = 200, patience_us: int = 0, allowed: str = "b"
    ) -> UserRequest:
        """A user of a node has a request run by another one."""
        self._number += 1
        request = UserRequest(
            request=RequestId(self._number.to_bytes(16, "big")),
            origin=self.hosts[name].index,
            arrival_us=self.cluster.world.now_us,
            prompt_tokens=500,
            completion_tokens=tokens,
            model=MODEL,
            route=Route.NETWORK,
            allowed_executors=tuple(self.hosts[one].node_id for one in allowed),
            patience_us=patience_us,
        )
        self.cluster.submit(request)
        return request

    def settle(self) -> None:
        self.run(SETTLED_US)

    def get_owned(self, name: str) -> int:
        """Free micro-credits of a node, by the sequencer's ledger; nothing of it may be held."""
        peer = self.hosts["a"].peer
        assert isinstance(peer, Peer)
        assert peer.ledger is not None
        account = peer.ledger.find_account(self.hosts[name].node_id)
        assert account is not None
        assert account.holds_out == 0, "every hold is settled by now"
        return account.avail

    def get_head(self, name: str) -> bytes:
        snapshot = self.hosts[name].get_snapshot()
        assert snapshot is not None
        assert snapshot.ledger is not None
        return snapshot.ledger.head

    def get_gain(self, name: str) -> int:
        return self.get_owned(name) - CREDITS_EACH * CREDIT


def test_an_answer_is_paid_and_everybody_agrees() -> None:
    # [REQUESTS-PAID.9]
    world = PaidWorld()
    requests = [world.ask("c") for _ in range(5)]
    world.settle()
    assert [request.outcome for request in requests] == [Outcome.ANSWERED] * 5
    assert world.get_gain("b") > 5 * CREDIT // 2, "about a credit each, less fees"
    assert -world.get_gain("c") > world.get_gain("b"), "the payer pays its fees too"
    assert len({world.get_head(name) for name in "abc"}) == 1


def test_a_user_who_leaves_pays_for_what_came() -> None:
    world = PaidWorld()
    whole = world.ask("c", tokens=400)
    world.settle()
    cost_whole = -world.get_gain("c")
    left = world.ask("c", tokens=400, patience_us=5 * SECOND)
    world.settle()
    cost_left = -world.get_gain("c") - cost_whole
    assert (whole.outcome, left.outcome) == (Outcome.ANSWERED, Outcome.CANCELLED)
    assert 0 < cost_left < cost_whole


@pytest.mark.parametrize("after_us", [SECOND // 2, 2 * SECOND, 6 * SECOND])
def test_an_executor_killed_under_way_is_paid_for_what_it_sent(after_us: int) -> None:
    world = PaidWorld()
    request = world.ask("c", tokens=400)
    world.run(after_us)
    world.hosts["b"].end()
    world.run(5 * SECOND)
    world.hosts["b"].start()
    world.settle()
    assert request.outcome is not Outcome.OPEN
    whole = PaidWorld()
    whole.ask("c", tokens=400)
    whole.settle()
    assert world.get_gain("b") < whole.get_gain("b")


def test_who_withholds_its_units_gets_little_and_then_nothing() -> None:
    # [REQUESTS-PAID.10]
    world = PaidWorld(c="withholder")
    first = world.ask("c", tokens=1_000)
    world.run(60 * SECOND)
    second = world.ask("c", tokens=1_000)
    world.settle()
    assert first.outcome is second.outcome is Outcome.FAILED
    assert second.first_output_us == 0, "it would have had to pay ahead"
    assert abs(world.get_gain("b")) < CREDIT // 10, "nothing earned, and some fees"


def test_who_states_more_tokens_is_paid_for_those_that_came() -> None:
    honest = PaidWorld()
    honest.ask("c")
    honest.settle()
    world = PaidWorld(b="inflater")
    request = world.ask("c")
    world.settle()
    assert request.outcome is Outcome.ANSWERED
    assert world.get_gain("b") == honest.get_gain("b")


def test_an_executor_that_never_answers_earns_nothing() -> None:
    world = PaidWorld(b="silent")
    request = world.ask("c")
    world.run(130 * SECOND)
    world.settle()
    assert request.outcome is not Outcome.ANSWERED
    assert world.get_gain("b") <= 0


def test_without_seats_the_output_waits_for_the_hold_to_be_final() -> None:
    # [REQUESTS-PAID.11]
    seated, bare = PaidWorld(), PaidWorld(seats=0)
    first_us = []
    for world in (seated, bare):
        request = world.ask("c")
        world.settle()
        assert request.outcome is Outcome.ANSWERED
        first_us.append(request.ttft_us)
    assert first_us[0] < first_us[1] < first_us[0] + SECOND
    assert bare.get_gain("b") > CREDIT // 2
