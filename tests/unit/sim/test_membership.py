"""The instruments that measure membership tell the truth, shown on small crowds and real links.

What a message weighs is held against the frames and the TLS of the real link. What crowds hold of
each other is compared with what their peers say when they are looked into.
"""

import secrets

import pytest

from wwwserve.adapters.transports import make_contexts
from wwwserve.adapters.transports.frames import FrameType, pack_frame, pack_ping
from wwwserve.adapters.transports.tls import TlsSession
from wwwserve.core.entropy import Entropy
from wwwserve.core.facts import MemberStatus
from wwwserve.sim.hosts import Host
from wwwserve.sim.membership import (
    Crowd,
    CrowdPlan,
    measure_crash,
    measure_idle,
    measure_newcomer,
    measure_partition,
    measure_spread,
    settle,
    watch_doubts,
)
from wwwserve.sim.membership.traffic import (
    HEARTBEAT_BYTES,
    SILENCE_US,
    Traffic,
    compute_message_bytes,
)
from wwwserve.sim.world import World
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.parameters import TINY
from wwwserve.wire import Ping


def join_sessions() -> tuple[TlsSession, TlsSession]:
    """Both ends of an established TLS connection."""
    dialling, _ = make_contexts(secrets.token_bytes(32))
    _, accepting = make_contexts(secrets.token_bytes(32))
    one = TlsSession(dialling, is_dialler=True)
    other = TlsSession(accepting, is_dialler=False)
    one.start()
    while data := one.take_output():
        other.receive(data)
        one.receive(other.take_output())
    return one, other


@pytest.mark.parametrize("payload_bytes", [0, 5, 1_000, 16_000, 16_384, 40_000])
def test_a_message_weighs_what_the_real_link_puts_on_the_wire(payload_bytes: int) -> None:
    one, _ = join_sessions()
    frame = pack_frame(FrameType.MESSAGE, 0, bytes(payload_bytes))
    assert len(one.seal(frame)) == compute_message_bytes(payload_bytes)


def test_a_heartbeat_weighs_what_the_real_link_puts_on_the_wire() -> None:
    one, _ = join_sessions()
    assert len(one.seal(pack_ping(1))) == HEARTBEAT_BYTES


def open_crowd(node_count: int = 8, seed: int = 1) -> Crowd:
    """Close together, for the tiny numbers leave no time for long ways."""
    return Crowd(CrowdPlan(node_count, latency_us=2 * MILLISECOND, parameters=TINY), seed)


def get_alive(host: Host) -> dict[bytes, None]:
    snapshot = host.get_snapshot()
    assert snapshot is not None
    alive = MemberStatus.ALIVE
    return {member.node: None for member in snapshot.members if member.status is alive}


def test_who_agrees_is_what_the_peers_themselves_say() -> None:
    crowd = open_crowd()
    settle(crowd, crowd.hosts[:-1])
    running = {host.node_id: None for host in crowd.hosts[:-1]}
    assert crowd.standing.is_agreed()
    for host in crowd.hosts[:-1]:
        assert {**get_alive(host), host.node_id: None} == running


def test_nobody_agrees_while_one_still_holds_the_dead_alive() -> None:
    crowd = open_crowd()
    settle(crowd)
    crowd.crash(crowd.hosts[3], is_silent=True)
    assert not crowd.standing.is_agreed()
    assert crowd.wait_until(crowd.standing.is_agreed, within_us=60 * SECOND) is not None
    assert crowd.standing.count_holding(3, MemberStatus.ALIVE) == 0


def test_on_a_link_that_speaks_often_there_are_no_heartbeats() -> None:
    crowd = open_crowd()
    settle(crowd)
    idle = measure_idle(crowd, 10 * SECOND)
    messages = sum(kind.bytes for kind in idle.kinds.values()) / 10 / len(crowd.hosts)
    assert idle.bytes_per_s == pytest.approx(messages)
    assert idle.busiest_bytes_per_s >= idle.bytes_per_s > 0


def test_on_a_silent_link_each_end_sends_a_heartbeat_or_answers_one() -> None:
    world = World(Entropy(b"silent"))
    traffic = Traffic(world, 3)
    for host, peer in ((0, 1), (1, 0), (1, 2)):
        traffic.on_link_opened(host, peer)
    before = traffic.read()
    world.run_until(3 * SILENCE_US + SECOND)
    after = traffic.read()
    sent = [late - early for early, late in zip(before.node_bytes, after.node_bytes, strict=True)]
    assert sent == [3 * HEARTBEAT_BYTES, 3 * HEARTBEAT_BYTES, 0], "the third has no end yet"
    traffic.on_message(0, 1, Ping(1), b"ping")
    world.run_until(4 * SILENCE_US)
    assert traffic.read().node_bytes[1] == after.node_bytes[1]


def test_each_trial_answers_within_its_time_on_a_small_crowd() -> None:
    crowd = open_crowd()
    settle(crowd, crowd.hosts[:-1])
    assert 0 < measure_newcomer(crowd, crowd.hosts[-1]) < 5 * SECOND
    assert 0 < measure_spread(crowd, crowd.hosts[2]) < 2 * SECOND
    killed = measure_crash(crowd, crowd.hosts[4], is_silent=False)
    assert 0 < killed.suspected_us < killed.confirmed_us < 10 * SECOND
    assert crowd.standing.is_agreed(), "the crashed node was started again and taken in"
    assert 0 < measure_partition(crowd, 10 * SECOND) < 10 * SECOND


def test_false_doubts_are_seen() -> None:
    crowd = open_crowd()
    settle(crowd)
    assert watch_doubts(crowd, 5 * SECOND).deaths == 0
    heal = crowd.split(crowd.hosts[:4])
    doubts = watch_doubts(crowd, 20 * SECOND)
    assert doubts.suspicions >= len(crowd.hosts)
    assert doubts.deaths >= len(crowd.hosts), "nobody crashed: every one of them is false"
    heal()


def test_the_same_seed_is_the_same_run() -> None:
    digests = []
    for _ in range(2):
        crowd = open_crowd(seed=7)
        settle(crowd)
        digests.append(crowd.world.get_digest())
    assert digests[0] == digests[1]
