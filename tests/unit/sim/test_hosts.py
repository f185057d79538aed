"""A pretend machine tells its peer the local time and how busy it is, in each life of its process.

Scripted peers note what they hear; expected values are worked out by hand.
"""

from tests.unit.sim.stage import Stage
from wwwserve.core.events import LocalTimeRead, MachineRead
from wwwserve.core.policy import WEEK_US
from wwwserve.sim.hosts import LOCAL_TIME_PERIOD_US, MACHINE_PERIOD_US, WORKING_PERMILLE, Host
from wwwserve.sim.plans import OwnerUse
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Usage


def list_told(stage: Stage, host: Host) -> list[int]:
    """The local times the host's present process was told."""
    heard = stage.peers[host.node_id].heard
    return [event.week_us for event in heard if isinstance(event, LocalTimeRead)]


def test_the_local_time_is_told_at_the_start_and_every_minute_round_the_week() -> None:
    stage = Stage()
    host, plain = stage.hosts
    for _ in range(2):
        host.end()
        host.local_zero_us = WEEK_US - 90 * SECOND - stage.cluster.world.now_us
        host.start()
        stage.run(2 * LOCAL_TIME_PERIOD_US)
        at_start_us = WEEK_US - 90 * SECOND
        assert list_told(stage, host) == [at_start_us, at_start_us + 60 * SECOND, 30 * SECOND]
    assert list_told(stage, plain) == [], "a host without a calendar tells nothing"


def list_busy(stage: Stage, host: Host) -> list[int]:
    """How busy the host's present process was told its machine is."""
    heard = stage.peers[host.node_id].heard
    return [event.busy_permille for event in heard if isinstance(event, MachineRead)]


def test_the_machine_is_read_every_few_seconds_where_that_is_asked_for() -> None:
    stage = Stage()
    host, plain = stage.hosts
    host.end()
    now_us = stage.cluster.world.now_us
    host.is_machine_read = True
    host.owner_use = (
        OwnerUse(from_us=now_us + 4 * SECOND, until_us=now_us + 11 * SECOND),
        OwnerUse(from_us=now_us + 9 * SECOND, until_us=now_us + 10**9, busy_permille=300),
    )
    host.start()
    stage.run(3 * MACHINE_PERIOD_US)
    assert list_busy(stage, host) == [0, 800, 800, 300], "at 0, 5, 10 and 15 s"
    assert list_busy(stage, plain) == []


def test_work_of_the_engine_keeps_the_machine_busy_whoever_it_is_for() -> None:
    stage = Stage()
    host = stage.hosts[0]
    host.end()
    host.is_machine_read = True
    host.start()
    host.engine.start(stage.create_request(completion_tokens=240), Deaf())
    stage.run(2 * MACHINE_PERIOD_US)
    assert list_busy(stage, host) == [WORKING_PERMILLE, 0], "an answer of six seconds"


class Deaf:
    """Does not listen to an engine."""

    def on_first_output(self) -> None:
        pass

    def on_progress(self, completion_tokens: int) -> None:
        pass

    def on_end(self, usage: Usage) -> None:
        pass

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        pass
