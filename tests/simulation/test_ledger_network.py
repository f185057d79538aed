"""Networks that pay, in virtual time: one log and one state everywhere, whatever happens to nodes.

The checkers watch every block that any host writes: one block at a height, and all credits add up.
What a test adds is what happens to the nodes, and what must be true of all of them in the end.
"""

from collections.abc import Callable

import msgspec
import pytest

from wwwserve.core.effects import Persist
from wwwserve.core.events import Persisted
from wwwserve.core.facts import Fact, ForkProved
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger import Account
from wwwserve.core.peer import Peer
from wwwserve.core.snapshot import LedgerStatus
from wwwserve.sim.checkers import Violation
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.disk import PretendDisk
from wwwserve.sim.hosts import Host
from wwwserve.sim.people import PEOPLE
from wwwserve.sim.plans import Fault, LedgerPlan, NodePlan, Scenario, WorkloadPlan
from wwwserve.sim.truth import Outcome
from wwwserve.values.moments import SECOND
from wwwserve.wire import encode
from wwwserve.wire.chain import read_chain_record

SEQUENCER = "node-1"
CATCH_UP_US = 30 * SECOND
"""Far above what it takes: a test that needs it all has failed."""


def open_cluster(
    *faults: Fault, seed: int = 1, load_permille: int = 0, **nodes: NodePlan
) -> Cluster:
    """Four nodes, and those named; all have an account, the first orders the log."""
    plans = {SEQUENCER: NodePlan(share=1)} | {f"node-{number}": NodePlan() for number in (2, 3, 4)}
    scenario = Scenario(
        name="ledger",
        nodes=plans | nodes,
        ledger=LedgerPlan(),
        faults=faults,
        workload=WorkloadPlan(load_permille=load_permille),
    )
    cluster = Cluster(scenario, seed, strategy="wwwserve", create_core=Peer)
    cluster.start()
    return cluster


def get_ledger(host: Host) -> LedgerStatus:
    snapshot = host.get_snapshot()
    assert snapshot is not None
    assert snapshot.ledger is not None
    return snapshot.ledger


def run_until(cluster: Cluster, is_met: Callable[[], bool], at_most_us: int) -> None:
    end_us = cluster.world.now_us + at_most_us
    while not is_met():
        assert cluster.world.now_us < end_us, "not in time"
        cluster.run_until(cluster.world.now_us + SECOND // 10)


def run_to_one_log(cluster: Cluster) -> int:
    """Run until all stand at one block and one state; gives its height."""
    hosts = list(cluster.hosts.values())
    run_until(cluster, lambda: cluster.ledger_checker.is_one_log(hosts), CATCH_UP_US)
    return get_ledger(hosts[0]).height


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kills_of_followers_and_of_the_sequencer_leave_one_log(seed: int) -> None:
    cluster = open_cluster(
        Fault(at_us=15 * SECOND, kind="kill", node="node-2", for_us=8 * SECOND),
        Fault(at_us=20 * SECOND, kind="kill", node=SEQUENCER, for_us=5 * SECOND),
        Fault(at_us=35 * SECOND, kind="power-cut", node="node-3", for_us=9 * SECOND),
        Fault(at_us=40 * SECOND, kind="power-cut", node=SEQUENCER, for_us=3 * SECOND),
        seed=seed,
        load_permille=600,
    )
    cluster.run_until(80 * SECOND)
    answered = [one for one in cluster.requests.values() if one.outcome is Outcome.ANSWERED]
    own = cluster.hosts[SEQUENCER].index
    assert any(one.executor not in (None, own) for one in answered)
    assert run_to_one_log(cluster) > 20


def test_who_was_cut_off_follows_again_and_meanwhile_knows_that_it_stands_still() -> None:
    cluster = open_cluster(
        Fault(at_us=20 * SECOND, kind="isolate", node="node-3", for_us=60 * SECOND)
    )
    cluster.run_until(70 * SECOND)
    away, present = get_ledger(cluster.hosts["node-3"]), get_ledger(cluster.hosts["node-2"])
    assert away.is_stalled
    assert not present.is_stalled
    assert away.height < present.height
    cluster.run_until(100 * SECOND)
    assert run_to_one_log(cluster) >= present.height
    assert not get_ledger(cluster.hosts["node-3"]).is_stalled


def test_without_its_sequencer_a_ledger_stands_still_and_then_goes_on() -> None:
    cluster = open_cluster(
        Fault(at_us=20 * SECOND, kind="kill", node=SEQUENCER, for_us=60 * SECOND)
    )
    cluster.run_until(75 * SECOND)
    before = get_ledger(cluster.hosts["node-2"])
    assert before.is_stalled
    cluster.run_until(110 * SECOND)
    after = get_ledger(cluster.hosts["node-2"])
    assert not after.is_stalled
    # In the stall the ledger clock stood still: no deadline has passed.
    assert after.time_ms - before.time_ms < 35_000


def test_who_knows_only_the_name_of_the_genesis_comes_to_the_same_log() -> None:
    cluster = open_cluster(late=NodePlan(start_us=25 * SECOND))
    cluster.run_until(24 * SECOND)
    told = get_ledger(cluster.hosts["node-2"])
    cluster.run_until(40 * SECOND)
    late = get_ledger(cluster.hosts["late"])
    assert late.network_id == told.network_id
    assert late.height > told.height
    assert run_to_one_log(cluster) >= late.height


def test_a_sequencer_that_signs_two_histories_is_caught_by_everybody() -> None:
    # Its disk is an old backup, and it is cut off while it listens for its later blocks: so it
    # signs heights that it has signed before. Nobody holds it to the checkers' rules. Empty blocks
    # would be the same again, so there are requests.
    cluster = open_cluster(load_permille=600)
    sequencer = cluster.hosts[SEQUENCER]
    proved: list[str] = []

    def watch(host: Host, fact: Fact) -> None:
        if isinstance(fact, ForkProved):
            proved.append(host.name)

    cluster.watchers.append(watch)
    cluster.run_until(20 * SECOND)
    backup = sequencer.disk.read(Lane.CHAIN)
    cluster.run_until(60 * SECOND)
    others = [host for host in cluster.hosts.values() if host is not sequencer]
    cluster.faults.end(sequencer)
    sequencer.person = PEOPLE["decliner"](sequencer.node_id)
    sequencer.disk = PretendDisk(cluster.world, delay_us=1_000)
    sequencer.disk.write(Persist(Lane.CHAIN, 1, tuple(backup.items())), lambda _: None)
    for other in others:
        cluster.network.block(sequencer, other)
        cluster.network.block(other, sequencer)
    cluster.run_until(61 * SECOND)
    cluster.faults.start(sequencer)
    cluster.run_until(90 * SECOND)
    assert not proved
    for other in others:
        cluster.network.unblock(sequencer, other)
        cluster.network.unblock(other, sequencer)
    cluster.run_until(150 * SECOND)
    assert set(proved) == set(cluster.hosts)
    stopped = {host.name: get_ledger(host).height for host in cluster.hosts.values()}
    assert all(get_ledger(host).fork for host in cluster.hosts.values())

    # Over a restart too, and nothing goes on.
    cluster.faults.end(others[0])
    cluster.faults.start(others[0])
    cluster.run_until(200 * SECOND)
    assert get_ledger(others[0]).fork
    assert {host.name: get_ledger(host).height for host in cluster.hosts.values()} == stopped


def test_a_credit_too_many_and_a_second_block_of_a_height_do_not_escape_the_checker() -> None:
    cluster = open_cluster()
    cluster.run_until(20 * SECOND)
    host = cluster.hosts["node-2"]
    lane = host.disk.read(Lane.CHAIN)
    account = next(key for key in lane if key.startswith(b"sa"))
    richer = msgspec.msgpack.Decoder(Account).decode(lane[account])
    richer.avail += 1
    with pytest.raises(Violation, match="supply"):
        write(cluster, host, {account: encode(richer)})

    places = sorted(key for key in lane if key.startswith(b"b"))
    other = read_chain_record(lane[places[1]])
    with pytest.raises(Violation, match="one-log"):
        write(cluster, host, {places[0]: encode(other)})


def write(cluster: Cluster, host: Host, changes: dict[bytes, bytes]) -> None:
    """A host writes, and its disk acknowledges it."""
    number = 10**6
    cluster.ledger_checker.on_effect(host, Persist(Lane.CHAIN, number, tuple(changes.items())))
    cluster.ledger_checker.on_event(host, Persisted(Lane.CHAIN, number))
