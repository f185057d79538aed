"""What opens a node to others and closes it, apart from the peer: the calendar and the operator."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo

from wwwserve.core.events import Event
from wwwserve.core.snapshot import OpeningView
from wwwserve.node.config import PolicyConfig
from wwwserve.node.hours import parse_pause
from wwwserve.node.local_time import LocalTime, ReadWall, find_zone, look_often, read_wall_us
from wwwserve.node.rest import RestKeeper
from wwwserve.ports.clock import Clock
from wwwserve.ports.opening import Opening, Rest
from wwwserve.ports.store import Store


@dataclass(frozen=True, slots=True)
class OpeningWatch:
    """Tells the peer the local time and its operator's order to rest, and explains both."""

    local_time: LocalTime
    rest: RestKeeper

    def start(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        """Tell a peer that has just started, and go on until the task is cancelled."""
        self.local_time.look()
        self.rest.start()
        return tasks.create_task(look_often((self.local_time.look, self.rest.look)))

    def set_policy(self, policy: PolicyConfig) -> None:
        """Zone and rests may be others from now on."""
        zone = find_zone("policy.time_zone", policy.time_zone)
        self.local_time.set_zone(zone)
        _follow(self.rest, policy, zone)

    def describe(self, view: OpeningView) -> Opening:
        """What the peer's own view of it means on the provider's clocks."""
        change_us, stored = view.hours_change_us, self.rest.rest or self.rest.by_policy
        rest = None
        if stored is not None:
            until_us = stored.until_us
            until = None if until_us is None else self.local_time.find_time_at(until_us)
            rest = Rest(stored.kind, until, is_by_policy=self.rest.rest is None)
        return Opening(
            is_open=view.is_open,
            is_within_hours=view.is_within_hours,
            hours_change_at=None if change_us is None else self.local_time.find_time_in(change_us),
            rest=rest,
        )


def make_opening_watch(
    policy: PolicyConfig,
    store: Store,
    clock: Clock,
    deliver: Callable[[Event], None],
    read_wall: ReadWall = read_wall_us,
) -> OpeningWatch:
    """The watch of one node. Raises `BadInput` if what it remembers cannot be read."""
    zone = find_zone("policy.time_zone", policy.time_zone)
    rest = RestKeeper(store, deliver, read_wall)
    _follow(rest, policy, zone)
    return OpeningWatch(LocalTime(zone, clock, deliver, read_wall), rest)


def _follow(rest: RestKeeper, policy: PolicyConfig, zone: tzinfo | None) -> None:
    paused_until_us = parse_pause("policy.paused_until", policy.paused_until, zone)
    rest.follow(is_draining=policy.drain, paused_until_us=paused_until_us)
