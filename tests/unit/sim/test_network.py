"""Pretend links keep the rules of `sim.network`: ordered, one for two nodes, lost as real ones.

Scripted peers are linked in a quiet world; what each is told is compared with what a socket's owner
would be told.
"""

import pytest

from tests.unit.sim.stage import CROSSING_US, Stage
from wwwserve.core.effects import CloseLink
from wwwserve.core.events import DialFailed, EnvelopeReceived, LinkClosed, LinkOpened, SendFailed
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import (
    LINK_DEAD_US,
    LINK_HANDSHAKE_US,
    LINK_IDLE_DEAD_US,
    LINK_MESSAGES_QUEUED_MAX,
)
from wwwserve.values.moments import SECOND
from wwwserve.wire import Gossip, Ping


def list_pings(stage: Stage, index: int) -> list[int]:
    return [
        event.envelope.message.number
        for event in stage.hear(stage.hosts[index])
        if isinstance(event, EnvelopeReceived) and isinstance(event.envelope.message, Ping)
    ]


def test_a_dial_opens_one_link_at_both_ends() -> None:
    stage = Stage()
    a, b = stage.hosts
    stage.cluster.network.dial(a, b.address, None)
    stage.run()
    assert stage.hear(a) == [LinkOpened(b.node_id, b.address, is_dialled=True)]
    (accepted,) = stage.hear(b)
    assert isinstance(accepted, LinkOpened)
    assert (accepted.peer, accepted.is_dialled) == (a.node_id, False)
    stage.cluster.network.dial(b, a.address, None)
    stage.run()
    assert stage.hear(b) == [DialFailed(a.address, a.node_id, "linked already")]
    assert stage.hear(a) == []


def test_a_dial_fails_with_its_reason() -> None:
    stage = Stage(3)
    a, b, c = stage.hosts
    stage.cluster.network.dial(a, "nowhere:1", None)
    stage.cluster.network.dial(a, a.address, None)
    stage.cluster.network.dial(a, b.address, c.node_id)
    stage.cluster.faults.end(c)
    stage.cluster.network.dial(a, c.address, c.node_id)
    stage.run()
    assert [event.detail for event in stage.hear(a) if isinstance(event, DialFailed)] == [
        "nobody of use listens there",
        "nobody of use listens there",
        "another node answers there",
        "connection refused",
    ]
    stage.cluster.network.block(b, a)
    stage.cluster.network.dial(a, b.address, b.node_id)
    stage.run(LINK_HANDSHAKE_US)
    assert stage.hear(a) == [DialFailed(b.address, b.node_id, "no answer")]


def test_who_dials_at_the_same_moment_as_others_may_find_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wwwserve.sim.network.LINKS_MAX", 4)
    stage = Stage(8)
    host, *others = stage.hosts
    for other in others:
        stage.cluster.network.dial(other, host.address, None)
    stage.run()
    assert len(stage.cluster.network.get_links(host)) == 4
    refused = [other for other in others if isinstance(stage.hear(other)[-1], LinkClosed)]
    assert len(refused) == len(others) - 4
    assert all(stage.cluster.network.get_links(other) == [] for other in refused)


def test_messages_arrive_in_order_and_a_short_block_loses_none() -> None:
    stage = Stage()
    a, b = stage.hosts
    stage.link(a, b)
    network = stage.cluster.network
    network.send(a, b.node_id, Ping(1))
    network.block(a, b)
    network.send(a, b.node_id, Ping(2))
    network.send(a, b.node_id, Ping(3))
    stage.run(LINK_DEAD_US - SECOND)
    assert list_pings(stage, 1) == [1]
    network.unblock(a, b)
    stage.run(CROSSING_US)
    assert list_pings(stage, 1) == [2, 3]


def test_silence_ends_a_link_for_both() -> None:
    stage = Stage()
    a, b = stage.hosts
    stage.link(a, b)
    stage.cluster.network.block(a, b)
    stage.run(LINK_IDLE_DEAD_US - 1)
    assert stage.name(b) == []
    stage.run(SECOND)
    assert stage.name(b) == ["LinkClosed"]
    assert stage.name(a) == ["LinkClosed"], "the other direction still carries the news"


def test_a_kill_is_heard_of_at_once_and_a_power_cut_by_silence() -> None:
    stage = Stage(3)
    a, b, c = stage.hosts
    stage.link(a, b)
    stage.link(a, c)
    stage.cluster.faults.end(b)
    stage.cluster.faults.end(c, is_silent=True)
    stage.run(CROSSING_US)
    assert [event.peer for event in stage.hear(a) if isinstance(event, LinkClosed)] == [b.node_id]
    stage.run(LINK_IDLE_DEAD_US)
    assert [event.peer for event in stage.hear(a) if isinstance(event, LinkClosed)] == [c.node_id]


def test_a_restarted_process_knows_nothing_of_its_old_links() -> None:
    stage = Stage()
    a, b = stage.hosts
    stage.link(a, b)
    stage.cluster.network.send(a, b.node_id, Ping(1))
    stage.cluster.faults.end(b)
    stage.cluster.faults.start(b)
    stage.run()
    assert stage.hear(b) == []
    stage.link(b, a)
    stage.cluster.network.send(a, b.node_id, Ping(2))
    stage.run()
    assert list_pings(stage, 1) == [2]


def test_what_cannot_go_comes_back() -> None:
    stage = Stage()
    a, b = stage.hosts
    stage.cluster.network.send(a, b.node_id, Ping(1))
    stage.cluster.network.send(a, NodeId(bytes(32)), Ping(2))
    stage.run()
    assert stage.hear(a) == [SendFailed(b.node_id, Ping(1)), SendFailed(NodeId(bytes(32)), Ping(2))]
    stage.link(a, b)
    stage.cluster.network.block(a, b)
    for _ in range(LINK_MESSAGES_QUEUED_MAX + 1):
        stage.cluster.network.send(a, b.node_id, Gossip(()))
    stage.run()
    assert stage.name(a) == ["SendFailed"]


def test_closing_tells_both_ends_once() -> None:
    stage = Stage()
    a, b = stage.hosts
    stage.link(a, b)
    a.carry_out(a, CloseLink(b.node_id, "enough"))
    a.carry_out(a, CloseLink(b.node_id, "enough"))
    stage.run()
    assert stage.hear(a) == [LinkClosed(b.node_id, "enough")]
    assert stage.hear(b) == [LinkClosed(a.node_id, "enough")]
