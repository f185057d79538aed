"""The loop of a real node keeps its promises: order, lanes, deadlines, and stopping at a bug.

A scripted machine stands where the peer would; the clock and the store are under the test's hand.
"""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from wwwserve.core.effects import Dial, Effect, Persist, SendMessage
from wwwserve.core.events import DeadlineReached, Event, Persisted, SendFailed, Started
from wwwserve.core.lanes import Lane
from wwwserve.node.runner import Runner
from wwwserve.ports.store import StoreFailed
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import NEVER, Moment
from wwwserve.wire import Ping

PEER = NodeId(b"p" * 32)


class ScriptedMachine:
    """Answers each event by a rule, and remembers what it heard."""

    def __init__(self, rule: Callable[[Event], list[Effect]]) -> None:
        self.heard: list[Event] = []
        self.deadline = NEVER
        self._rule = rule

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        self.heard.append(event)
        return self._rule(event)

    def next_deadline(self) -> Moment:
        return self.deadline


class HandClock:
    """A clock that stands still unless told."""

    def __init__(self) -> None:
        self.time = Moment(0)

    def now(self) -> Moment:
        return self.time


class HandStore:
    """A disk whose writes become durable when the test says so."""

    def __init__(self) -> None:
        self.pending: list[Callable[[StoreFailed | None], None]] = []

    def read(self, lane: Lane) -> dict[bytes, bytes]:
        return {}

    def write(
        self,
        lane: Lane,
        changes: Mapping[bytes, bytes | None],
        on_durable: Callable[[StoreFailed | None], None],
    ) -> None:
        self.pending.append(on_durable)

    async def close(self) -> None:
        return None


class Recorder:
    """Carries nothing out, only remembers; can deliver an event from within an effect."""

    def __init__(self) -> None:
        self.carried: list[Effect] = []
        self.on_effect: Callable[[Effect], None] = lambda _: None

    def carry(self, effect: Effect) -> None:
        self.carried.append(effect)
        self.on_effect(effect)


def persist(number: int) -> Persist:
    return Persist(Lane.BOOK, number, ((b"key", b"value"),))


def send(number: int, lane: Lane | None = None) -> SendMessage:
    return SendMessage(PEER, Ping(number), lane)


async def test_an_event_raised_by_an_effect_waits_for_the_rest_of_its_batch() -> None:
    def rule(event: Event) -> list[Effect]:
        return [send(1), send(2)] if isinstance(event, Started) else []

    machine, recorder = ScriptedMachine(rule), Recorder()
    runner = Runner(HandClock(), HandStore())
    seen: list[int] = []

    def on_effect(effect: Effect) -> None:
        assert isinstance(effect, SendMessage)
        runner.deliver(SendFailed(effect.peer, effect.message))
        seen.append(len(machine.heard))

    recorder.on_effect = on_effect
    runner.start(machine, recorder, Started())
    assert seen == [1, 1], "both effects were carried out before the next event was heard"
    assert [type(event) for event in machine.heard] == [Started, SendFailed, SendFailed]


async def test_an_effect_waits_for_the_writes_of_its_own_lane_and_no_other() -> None:
    def rule(event: Event) -> list[Effect]:
        if isinstance(event, Started):
            return [persist(1), send(1, Lane.BOOK), send(2), send(3, Lane.FEED), persist(2)]
        if isinstance(event, DeadlineReached):
            return [send(4, Lane.BOOK)]
        return []

    machine, recorder, store = ScriptedMachine(rule), Recorder(), HandStore()
    runner = Runner(HandClock(), store)
    runner.start(machine, recorder, Started())
    runner.deliver(DeadlineReached())
    assert recorder.carried == [send(2), send(3, Lane.FEED)]
    store.pending.pop(0)(None)
    assert recorder.carried[2:] == [send(1, Lane.BOOK)], "later writes do not hold it back"
    store.pending.pop(0)(None)
    assert recorder.carried[3:] == [send(4, Lane.BOOK)]
    assert [event for event in machine.heard if isinstance(event, Persisted)] == [
        Persisted(Lane.BOOK, 1),
        Persisted(Lane.BOOK, 2),
    ]


async def test_the_peer_is_woken_at_its_deadline() -> None:
    woken = asyncio.Event()

    def rule(event: Event) -> list[Effect]:
        if isinstance(event, DeadlineReached):
            machine.deadline = NEVER
            woken.set()
        return []

    machine = ScriptedMachine(rule)
    machine.deadline = Moment(1)
    runner = Runner(HandClock(), HandStore())
    runner.start(machine, Recorder(), Started())
    await woken.wait()


async def test_a_bug_in_the_peer_stops_the_node() -> None:
    def rule(event: Event) -> list[Effect]:
        assert not isinstance(event, DeadlineReached), "a bug"
        return []

    runner = Runner(HandClock(), HandStore())
    machine = ScriptedMachine(rule)
    runner.start(machine, Recorder(), Started())
    with pytest.raises(AssertionError, match="a bug"):
        runner.deliver(DeadlineReached())
    with pytest.raises(AssertionError, match="a bug"):
        await runner.wait_failed()
    runner.deliver(Started())
    assert len(machine.heard) == 2, "a broken peer is told nothing more"


async def test_a_dead_disk_stops_the_node_and_what_waited_is_never_sent() -> None:
    def rule(event: Event) -> list[Effect]:
        return [persist(1), send(1, Lane.BOOK)] if isinstance(event, Started) else []

    recorder, store = Recorder(), HandStore()
    runner = Runner(HandClock(), store)
    runner.start(ScriptedMachine(rule), recorder, Started())
    store.pending.pop(0)(StoreFailed("the disk is full"))
    with pytest.raises(StoreFailed, match="full"):
        await runner.wait_failed()
    assert recorder.carried == []


async def test_nothing_is_heard_before_the_start_nor_after_the_stop() -> None:
    machine = ScriptedMachine(lambda _: [Dial("127.0.0.1:1", None)])
    runner = Runner(HandClock(), HandStore())
    runner.deliver(DeadlineReached())
    runner.start(machine, Recorder(), Started())
    runner.stop()
    runner.deliver(DeadlineReached())
    assert machine.heard == [Started()]


async def test_who_listens_hears_of_a_write_before_what_waited_for_it() -> None:
    def rule(event: Event) -> list[Effect]:
        return [persist(1), send(1, Lane.BOOK)] if isinstance(event, Started) else []

    recorder, store = Recorder(), HandStore()
    order: list[Lane | Effect] = []
    recorder.on_effect = order.append
    Runner(HandClock(), store, order.append).start(ScriptedMachine(rule), recorder, Started())
    assert order == [], "nothing is durable yet"
    store.pending.pop()(None)
    assert order == [Lane.BOOK, send(1, Lane.BOOK)]
