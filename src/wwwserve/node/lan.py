"""Meeting the nodes of the local network, and being found by them, while the operator wants that.

One task owns the discovery: it opens it, opens it anew when the machine's addresses or the settings
change, and tries again when that failed. What is found becomes a `Join` that expects the announced
key, so nothing that was heard on the network is believed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from wwwserve.core.events import Event, Join
from wwwserve.node.config import Config
from wwwserve.node.found_nodes import FoundNodes, list_near
from wwwserve.node.logs import NodeLog
from wwwserve.node.setup_parts import format_address, list_reachable, split_bound
from wwwserve.ports.clock import Clock
from wwwserve.ports.discovery import Discovery, DiscoveryFailed, Ignored, Notice
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId, node_prefix

PERIOD_S = 10.0
"""How often what is due is looked at: a call, or another try to open."""

_FIX = "let UDP port 5353 through the firewall, or set network.lan_discovery = false"


@dataclass(frozen=True, slots=True)
class Wish:
    """How discovery is to be open."""

    interfaces: tuple[InterfaceAddress, ...]
    announced: tuple[InterfaceAddress, ...] = ()
    """Where this node is to be found; empty: it only looks for others."""
    port: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where this node is to be found, in text."""
        return tuple(format_address(one.address.ip, self.port) for one in self.announced)


@dataclass(slots=True)
class LanWatch:
    """Keeps one node's discovery as its configuration and its machine want it."""

    discovery: Discovery
    is_linked: Callable[[NodeId], bool]
    deliver: Callable[[Event], None]
    clock: Clock
    log: NodeLog
    period_s: float = PERIOD_S
    _wish: Wish | None = None
    _open: Wish | None = None
    """How it is open now."""
    _found: FoundNodes = field(default_factory=FoundNodes)
    _ignored: Counter[str] = field(default_factory=Counter)
    _told: object = None
    """What the log said last of how discovery goes."""
    _is_closed: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def follow(self, config: Config, bound: str, interfaces: Sequence[InterfaceAddress]) -> None:
        """From now on these settings hold, and the machine has these addresses."""
        self._wish = make_wish(config, bound, interfaces)
        self._changed.set()

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            self._changed.clear()
            await self._settle()
            self._call()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.period_s):
                    await self._changed.wait()

    async def close(self) -> None:
        """Say goodbye, and neither look nor speak any more."""
        self._is_closed = True
        async with self._lock:
            await self.discovery.close()

    async def _settle(self) -> None:
        async with self._lock:
            wish = self._wish
            if wish == self._open or self._is_closed:
                return
            await self.discovery.close()
            self._found.clear()
            self._open = None
            if wish is None:
                self._tell("lan discovery off")
                return
            try:
                await self.discovery.open(
                    wish.interfaces, self, announced=wish.announced, port=wish.port
                )
            except DiscoveryFailed as failed:
                self._tell("lan discovery does not work", reason=str(failed), fix=_FIX)
            else:
                self._open = wish
                self._tell_open(wish)

    def _call(self) -> None:
        for found in self._found.take_due(self.clock.now(), self.is_linked):
            self.log.logger.info(
                "node found on the local network",
                peer=node_prefix(found.node),
                addresses=list(found.addresses),
            )
            self.deliver(Join(found.addresses, found.node))

    # -- what is heard ---------------------------------------------------------------------------

    def on_found(self, notice: Notice) -> None:
        """See `DiscoveryOwner`."""
        wish = self._wish
        if wish is None:
            return
        near = list_near(notice, wish.interfaces, wish.addresses)
        if not near:
            self._ignore("of an address elsewhere")
        elif not self._found.put(notice.name, notice.node, near, self.clock.now()):
            self._ignore("one too many")
        else:
            self._changed.set()

    def on_gone(self, name: str) -> None:
        """See `DiscoveryOwner`."""
        self._found.remove(name)

    def on_ignored(self, reason: Ignored) -> None:
        """See `DiscoveryOwner`."""
        self._ignore(reason.value)

    # -- what is told ----------------------------------------------------------------------------

    def _ignore(self, reason: str) -> None:
        """Count, and say so the first, the tenth, the hundredth time: anybody there causes it."""
        self._ignored[reason] += 1
        count = self._ignored[reason]
        if str(count).rstrip("0") == "1":
            self.log.logger.info("notice on the local network ignored", reason=reason, count=count)

    def _tell_open(self, wish: Wish) -> None:
        if wish.announced:
            self._tell("lan discovery on", announced=wish.addresses)
            return
        self._tell(
            "lan discovery on, and nobody can find this node",
            reason="links.listen lets no other machine in",
            fix='links.listen = "0.0.0.0:8778" and links.advertise = ["auto"], if others may',
        )

    def _tell(self, event: str, **fields: object) -> None:
        """Say how it goes, unless that was said already."""
        told = (event, fields)
        if told == self._told:
            return
        self._told = told
        is_well = not fields.keys() & {"reason"}
        (self.log.logger.info if is_well else self.log.logger.warning)(event, **fields)


def make_wish(config: Config, bound: str, interfaces: Sequence[InterfaceAddress]) -> Wish | None:
    """How discovery is to be open under a configuration, on a machine with these addresses."""
    if not config.network.lan_discovery or not interfaces:
        return None
    announced = list_reachable(bound, interfaces)
    if not announced:
        return Wish(tuple(interfaces))
    return Wish(tuple(interfaces), announced, split_bound(bound)[1])
