"""Where a node can be reached, followed through changes of its configuration and of its machine.

A laptop goes from one network to another: whoever uses the machine's own addresses is told within
`LOOK_PERIOD_S`. A node whose operator named its addresses never looks.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wwwserve.core.events import Event, SetAddresses
from wwwserve.node.config import AUTO, Config
from wwwserve.node.logs import NodeLog
from wwwserve.node.setup_parts import list_addresses
from wwwserve.ports.interfaces import InterfaceAddress

LOOK_PERIOD_S = 10.0
"""How often this machine's addresses are read, where anything follows from them."""

Interfaces = tuple[InterfaceAddress, ...]


@dataclass(slots=True)
class AddressWatch:
    """Tells the peer where it can be reached, and others which networks the machine is on."""

    config: Config
    """What holds now."""
    told: tuple[tuple[str, ...], str]
    """Addresses and region, as the peer has them."""
    get_bound: Callable[[], str]
    """Where the node listens for links."""
    read: Callable[[], Interfaces]
    """Reads this machine's addresses."""
    deliver: Callable[[Event], None]
    followers: Sequence[Callable[[Config, str, Interfaces], None]]
    """Told of configuration, place of listening and the machine's addresses at each look."""
    on_moved: Callable[[], None]
    """The peer has other addresses."""
    log: NodeLog
    period_s: float = LOOK_PERIOD_S
    _has_warned: bool = False

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(self.period_s)

    def follow(self, config: Config) -> None:
        """From now on this configuration holds."""
        self.config = config
        self.look()

    def look(self) -> None:
        """See where the node can be reached now, and tell whoever has to know."""
        config = self.config
        is_needed = config.network.lan_discovery or AUTO in config.links.advertise
        interfaces = self.read() if is_needed else ()
        if is_needed:
            self._tell_network(interfaces)
        bound = self.get_bound()
        wanted = (list_addresses(config, bound, interfaces), config.network.region)
        if wanted != self.told:
            self.told = wanted
            self.deliver(SetAddresses(*wanted))
            self.on_moved()
            self.log.logger.info("own addresses changed", addresses=list(wanted[0]))
        for follow in self.followers:
            follow(config, bound, interfaces)

    def _tell_network(self, interfaces: Interfaces) -> None:
        """Say it once when the machine is on no network, and once when it is on one again."""
        if not interfaces and not self._has_warned:
            self.log.logger.warning(
                "this machine is on no network",
                reason="until it is, other machines can neither find nor dial this node",
            )
        elif interfaces and self._has_warned:
            self.log.logger.info("this machine is on a network again")
        self._has_warned = not interfaces
