"""What goes wrong in a world: each fault of a plan done to its node, and undone in time or at once.

`docs/faults.md` says which of them the design claims to survive, and how.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from msgspec.structs import replace

from wwwserve.core.events import DeadlineReached, Depart, Departure, SetPolicy
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.sim.hosts import Host
from wwwserve.sim.network import Network
from wwwserve.sim.plans import Fault, PolicyValue
from wwwserve.sim.streams import Streams
from wwwserve.sim.world import Action, World
from wwwserve.values.moments import MILLISECOND, SECOND

LEAVE_GRACE_US = 3 * SECOND
"""From the command to leave to the end of the process, where a plan does not say."""
SLOW_DISK_US = 2 * SECOND
"""One write on a disk that struggles."""


@dataclass(slots=True)
class Faults:
    """Does faults to hosts, and can heal all of them."""

    world: World
    network: Network
    streams: Streams
    hosts: dict[str, Host]
    create_policy: Callable[[dict[str, PolicyValue]], PolicySettings]
    on_death: Callable[[Host], None]
    departed: dict[str, None] = field(default_factory=dict)
    """Who has left for good."""
    _cures: dict[int, Action] = field(default_factory=dict)
    _number: int = 0

    def schedule(self, faults: tuple[Fault, ...]) -> None:
        """Arrange everything a plan foresees."""
        for fault in faults:
            self.world.at(fault.at_us, self._create_strike(fault))

    def heal(self) -> None:
        """Undo every fault that is on, and let every dial succeed from now on."""
        for number in list(self._cures):
            self._cure(number)
        self.network.plan = replace(self.network.plan, dial_failure_permille=0)

    def start(self, host: Host) -> None:
        """Start a host's process, unless it runs or its node has left."""
        if not host.is_up and host.name not in self.departed:
            host.start()

    def end(self, host: Host, *, is_silent: bool = False) -> None:
        """End a host's process, if it runs: with `is_silent` its machine as a whole."""
        if host.is_up:
            self.network.lose_process(host, is_silent=is_silent)
            self.streams.lose_process(host)
            host.end(is_power_lost=is_silent)
            self.on_death(host)

    def _create_strike(self, fault: Fault) -> Action:
        return lambda: self._strike(fault, self.hosts[fault.node])

    def _strike(self, fault: Fault, host: Host) -> None:
        match fault.kind:
            case "kill" | "power-cut" | "start" | "leave":
                self._strike_process(fault, host)
            case "isolate" | "split" | "one-way" | "clog":
                self._block(fault, host)
            case "break-links":
                self.network.break_links(host)
            case "engine-down" | "engine-hang" | "slow-disk" | "withhold":
                self._strike_machine(fault, host)
            case "drain" | "resume":
                host.tell(Depart(Departure(fault.kind)))
            case "wake":
                host.tell(DeadlineReached())
                host.later(MILLISECOND, DeadlineReached())
            case "policy":
                host.tell(SetPolicy(self.create_policy(fault.policy)))
            case _:
                assert_never(fault.kind)

    def _strike_process(self, fault: Fault, host: Host) -> None:
        match fault.kind:
            case "start":
                self.start(host)
            case "leave":
                self._leave(host, fault.for_us or LEAVE_GRACE_US)
            case _:
                self.end(host, is_silent=fault.kind == "power-cut")
                if fault.for_us:
                    self._add_cure(fault.for_us, lambda: self.start(host))

    def _strike_machine(self, fault: Fault, host: Host) -> None:
        match fault.kind:
            case "engine-down":
                host.engine.go_down(for_us=fault.for_us)
                host.read_engine()
            case "engine-hang":
                host.engine.is_hung = True
                self._add_cure(fault.for_us, lambda: self._unhang(host))
            case "withhold":
                host.is_stingy = True
                self._add_cure(fault.for_us, lambda: self._set_stingy(host, is_stingy=False))
            case _:
                usual_us, host.disk.delay_us = host.disk.delay_us, SLOW_DISK_US
                self._add_cure(fault.for_us, lambda: self._set_disk(host, usual_us))

    def _leave(self, host: Host, grace_us: int) -> None:
        if host.is_up:
            self.departed[host.name] = None
            host.tell(Depart(Departure.LEAVE))
            host.do_later(grace_us, lambda: self.end(host))

    def _block(self, fault: Fault, host: Host) -> None:
        pairs = self._list_pairs(fault, host)
        for source, target in pairs:
            self.network.block(source, target)

        def unblock() -> None:
            for source, target in pairs:
                self.network.unblock(source, target)

        self._add_cure(fault.for_us, unblock)

    def _list_pairs(self, fault: Fault, host: Host) -> list[tuple[Host, Host]]:
        everybody = list(self.hosts.values())
        if fault.kind == "one-way":
            targets = [self.hosts[fault.other]] if fault.other else everybody
            return [(host, target) for target in targets if target is not host]
        inside = [host]
        if fault.kind == "split":
            inside = [one for one in everybody if one.index <= host.index]
        pairs = []
        for one in inside:
            for other in everybody:
                if other not in inside:
                    pairs += [(one, other), (other, one)]
        return pairs

    def _unhang(self, host: Host) -> None:
        host.engine.is_hung = False
        host.engine.go_down(for_us=0)  # whoever frees a hung engine restarts it

    def _set_stingy(self, host: Host, *, is_stingy: bool) -> None:
        host.is_stingy = is_stingy

    def _set_disk(self, host: Host, delay_us: int) -> None:
        host.disk.delay_us = delay_us

    def _add_cure(self, span_us: int, cure: Action) -> None:
        self._number += 1
        number = self._number
        self._cures[number] = cure
        self.world.after(span_us, lambda: self._cure(number))

    def _cure(self, number: int) -> None:
        cure = self._cures.pop(number, None)
        if cure is not None:
            cure()
