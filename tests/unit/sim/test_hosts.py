"""A pretend machine with a calendar tells its peer the local time, in each life of its process."""

from tests.unit.sim.stage import Stage
from wwwserve.core.events import LocalTimeRead
from wwwserve.core.policy import WEEK_US
from wwwserve.sim.hosts import LOCAL_TIME_PERIOD_US, Host
from wwwserve.values.moments import SECOND


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
