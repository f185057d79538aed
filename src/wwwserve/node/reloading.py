"""Living by another configuration without a restart: all of it at once, or nothing of it.

What can be refused (a wrong value, a taken port, a missing file) is tried first, beside what runs.
Only when all of it is there is anything changed, and then nothing can fail any more. Requests under
way are not disturbed: they end on the engines and connections they have.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from wwwserve.core.events import Event, Join, SetGroups, SetPolicy, SetPrices
from wwwserve.node.config import Config, LoadedConfig, list_changes, validate_exposure
from wwwserve.node.doors import Doors, join_address
from wwwserve.node.engine_table import EngineTable
from wwwserve.node.engine_watch import EngineWatch
from wwwserve.node.engines import make_settings, open_engine
from wwwserve.node.logs import NodeLog
from wwwserve.node.setup_parts import make_bootstrap, make_groups, make_policy, make_prices
from wwwserve.ports.engine import Engine
from wwwserve.ports.peer_handle import ConfigChange
from wwwserve.values.credits import parse_credits
from wwwserve.values.refusals import BadInput

FIXED = ("network.name",)
"""Settings that make a node what it is: another value takes a restart."""


@dataclass(slots=True)
class Reloader:
    """Reads a node's configuration again, and changes the node accordingly."""

    loaded: LoadedConfig
    """What holds now."""
    load: Callable[[], LoadedConfig]
    """Reads file, environment and flags again; raises `BadInput`."""
    count_keys: Callable[[], int]
    """How many API keys there are; raises `BadInput` if their file is broken."""
    engines: EngineTable
    watch: EngineWatch
    doors: Doors
    prepare_guest: Callable[[str], Callable[[], None]]
    """Loads a guest of the policy, "" being none, and says how to let it in; raises `BadInput`."""
    deliver: Callable[[Event], None]
    log: NodeLog
    followers: Sequence[Callable[[Config], None]] = ()
    """Told of each new configuration once it holds; none of them can fail."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reload(self) -> tuple[ConfigChange, ...]:
        """See `PeerHandle`."""
        async with self._lock:
            try:
                changes = await self._reload()
            except BadInput as error:
                self.log.logger.warning("configuration not changed", reason=str(error))
                raise
        told = {change.key: [change.old, change.new] for change in changes}
        self.log.logger.info("configuration read again", changes=told)
        return changes

    async def obey(self, order: asyncio.Event) -> None:
        """Reload whenever the event is set, until cancelled; whoever set it reads the log."""
        while True:
            await order.wait()
            order.clear()
            try:
                await self.reload()
            except BadInput:
                continue  # The log has said it.

    async def _reload(self) -> tuple[ConfigChange, ...]:
        new = self.load()
        changes = list_changes(self.loaded, new)
        for change in changes:
            if change.key in FIXED:
                raise BadInput(
                    field=change.key,
                    found=repr(change.new),
                    expected=f"{change.old!r}, as long as the node runs",
                    fix="put it back, or restart the node: nothing else was changed either",
                )
        if changes:
            await self._take(self.loaded.config, new.config)
        self.loaded = new
        return changes

    async def _take(self, old: Config, new: Config) -> None:
        validate_exposure(new.gateway, self.count_keys())
        async with AsyncExitStack() as undo:
            opened = _open_engines(old, new, undo)
            let_guest_in = self.prepare_guest(new.policy.guest)
            await self._prepare_doors(new, undo)
            undo.pop_all()
        # From here on nothing fails, and all of it happens before anything else does.
        self._change_engines(new, opened)
        let_guest_in()
        self._tell_peer(old, new)
        for follow in self.followers:
            follow(new)
        await self.doors.settle()

    async def _prepare_doors(self, new: Config, undo: AsyncExitStack) -> None:
        gateway, admin = new.gateway, new.admin
        await self.doors.links.prepare(new.links.listen, undo)
        await self.doors.gateway.prepare(join_address(gateway.host, gateway.port), undo)
        await self.doors.admin.prepare(join_address(admin.host, admin.port), undo)

    def _change_engines(self, new: Config, opened: Sequence[Engine]) -> None:
        for engine in opened:
            self.engines.put(engine)
        self.watch.set_config(new)
        named = {engine.name for engine in new.engines}
        for name in [name for name in self.engines if name not in named]:
            self.engines.remove(name)

    def _tell_peer(self, old: Config, new: Config) -> None:
        if (new.policy, new.price, new.stake) != (old.policy, old.price, old.stake):
            self.deliver(SetPolicy(make_policy(new)))
        if (new.price, new.ledger, new.wallet) != (old.price, old.ledger, old.wallet):
            reserve = parse_credits("wallet.reserve", new.wallet.reserve)
            self.deliver(SetPrices(make_prices(new.price, new.ledger), reserve))
        if new.groups != old.groups:
            self.deliver(SetGroups(make_groups(new)))
        known = make_bootstrap(old)
        for address, node in make_bootstrap(new):
            if (address, node) not in known:
                self.deliver(Join((address,), node))


def _open_engines(old: Config, new: Config, undo: AsyncExitStack) -> list[Engine]:
    """Open the engines that are new, or to be reached in another way. Raises `BadInput`."""
    known = {engine.name: make_settings(engine) for engine in old.engines}
    opened: list[Engine] = []
    for wanted in new.engines:
        if known.get(wanted.name) != make_settings(wanted):
            engine = open_engine(wanted)
            undo.push_async_callback(engine.close)
            opened.append(engine)
    return opened
