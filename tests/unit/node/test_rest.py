"""An operator's order to rest: it holds at once, outlives the process, and ends when it should.

The keeper writes to a store that outlives it, as a disk does; the calendar is a number.
"""

from collections.abc import Callable, Mapping

import msgspec
import pytest

from wwwserve.adapters.storage import MemoryStore
from wwwserve.core.events import Depart, Departure, Event
from wwwserve.core.lanes import Lane
from wwwserve.node.rest import REST_S_MAX, RestKeeper
from wwwserve.ports.opening import RestKind
from wwwserve.ports.store import StoreFailed
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

HOUR_S = 3600


class Machine:
    """A machine whose disk outlives its node."""

    def __init__(self) -> None:
        self.lanes: dict[Lane, dict[bytes, bytes]] = {}
        self.wall_us = 1_700_000_000 * SECOND
        self.told: list[Departure] = []

    def start(self) -> RestKeeper:
        """A new process, with a peer that knows nothing."""
        self.told = []
        keeper = RestKeeper(MemoryStore(self.lanes), self.hear, lambda: self.wall_us)
        keeper.start()
        return keeper

    def hear(self, event: Event) -> None:
        assert isinstance(event, Depart)
        self.told.append(event.departure)

    def pass_time(self, span_s: int) -> None:
        self.wall_us += span_s * SECOND


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("kind", list(RestKind))
async def test_a_rest_outlives_a_process_that_was_killed(machine: Machine, kind: RestKind) -> None:
    keeper = machine.start()
    assert (keeper.rest, machine.told) == (None, [])
    await keeper.begin(kind)
    assert machine.told == [Departure.DRAIN]
    for _ in range(2):
        keeper = machine.start()
        assert keeper.rest is not None
        assert (keeper.rest.kind, machine.told) == (kind, [Departure.DRAIN])
    await keeper.end()
    assert machine.told == [Departure.DRAIN, Departure.RESUME]
    assert machine.start().rest is None
    assert machine.told == []


async def test_a_pause_ends_when_its_time_is_over(machine: Machine) -> None:
    keeper = machine.start()
    await keeper.begin(RestKind.PAUSE, 2 * HOUR_S)
    machine.pass_time(2 * HOUR_S - 1)
    keeper.look()
    assert machine.told == [Departure.DRAIN]
    keeper = machine.start()
    assert machine.told == [Departure.DRAIN], "the rest of its time is left after a restart"
    machine.pass_time(1)
    keeper.look()
    keeper.look()
    assert machine.told == [Departure.DRAIN, Departure.RESUME]
    assert machine.start().rest is None


async def test_a_pause_whose_time_ran_out_while_nothing_ran_is_over(machine: Machine) -> None:
    await machine.start().begin(RestKind.PAUSE, HOUR_S)
    machine.pass_time(HOUR_S)
    assert machine.start().rest is None
    assert Departure.DRAIN not in machine.told


async def test_a_stop_in_order_ends_a_drain_and_no_pause(machine: Machine) -> None:
    keeper = machine.start()
    await keeper.begin(RestKind.PAUSE)
    keeper.on_stopped()
    keeper = machine.start()
    assert keeper.rest is not None
    await keeper.begin(RestKind.DRAIN)
    assert keeper.rest.kind is RestKind.DRAIN, "the newer order holds"
    keeper.on_stopped()
    assert machine.start().rest is None


@pytest.mark.parametrize("for_s", [0, -1, REST_S_MAX + 1])
async def test_a_length_that_is_none_changes_nothing(machine: Machine, for_s: int) -> None:
    keeper = machine.start()
    with pytest.raises(BadInput, match="length of the pause"):
        await keeper.begin(RestKind.PAUSE, for_s)
    assert (keeper.rest, machine.told) == (None, [])


async def test_what_cannot_be_read_is_not_taken_for_nothing(machine: Machine) -> None:
    await machine.start().begin(RestKind.PAUSE)
    (key,) = machine.lanes[Lane.OPERATOR]
    for content in (b"\xff", b"\x93\x01\xa1\xe0\xc0", msgspec.msgpack.encode([2, "pause", None])):
        machine.lanes[Lane.OPERATOR][key] = content
        with pytest.raises(BadInput, match=r"operator\.sqlite"):
            machine.start()


class FullDisk:
    """A disk that takes nothing."""

    def read(self, lane: Lane) -> dict[bytes, bytes]:
        return {}

    def write(
        self,
        lane: Lane,
        changes: Mapping[bytes, bytes | None],
        on_durable: Callable[[StoreFailed | None], None],
    ) -> None:
        on_durable(StoreFailed("no space left"))

    async def close(self) -> None:
        pass


async def test_a_full_disk_is_said_and_the_order_holds_as_long_as_the_process() -> None:
    told: list[Event] = []
    keeper = RestKeeper(FullDisk(), told.append)
    with pytest.raises(StoreFailed, match="no space"):
        await keeper.begin(RestKind.PAUSE)
    assert told == [Depart(Departure.DRAIN)]


# -- what the policy says ------------------------------------------------------------------------


def test_the_policy_rests_and_ends_its_rest_with_the_calendar(machine: Machine) -> None:
    keeper = machine.start()
    keeper.follow(is_draining=False, paused_until_us=machine.wall_us + HOUR_S * SECOND)
    assert machine.told == [Departure.DRAIN]
    machine.pass_time(HOUR_S - 1)
    keeper.look()
    assert machine.told == [Departure.DRAIN]
    machine.pass_time(1)
    keeper.look()
    assert (keeper.by_policy, machine.told[-1]) == (None, Departure.RESUME)


def test_a_moment_that_is_over_is_no_pause(machine: Machine) -> None:
    keeper = machine.start()
    keeper.follow(is_draining=False, paused_until_us=machine.wall_us)
    assert (keeper.by_policy, machine.told) == (None, [])


async def test_a_resumed_node_rests_on_while_its_policy_drains(machine: Machine) -> None:
    keeper = machine.start()
    keeper.follow(is_draining=True, paused_until_us=None)
    await keeper.begin(RestKind.PAUSE)
    await keeper.end()
    keeper.follow(is_draining=False, paused_until_us=None)
    assert machine.told == [Departure.DRAIN, Departure.DRAIN, Departure.DRAIN, Departure.RESUME]
