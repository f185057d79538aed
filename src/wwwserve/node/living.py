"""The life of an assembled node: it opens its doors, obeys, and leaves in good order."""

import asyncio
import gc
import os
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from wwwserve import __version__
from wwwserve.adapters.host import FileKeyRing, FileSpending, Machine, read_interfaces
from wwwserve.core.events import Depart, Departure, Started
from wwwserve.frontends.admin import start_admin
from wwwserve.frontends.gateway import start_gateway
from wwwserve.node.addresses import AddressWatch
from wwwserve.node.carrier import NodeCarrier
from wwwserve.node.config import Config, LoadedConfig
from wwwserve.node.doors import Door, Doors, join_address, split_address
from wwwserve.node.engine_table import EngineTable
from wwwserve.node.engine_watch import EngineWatch
from wwwserve.node.entering import Entering
from wwwserve.node.guests import GuestHouse
from wwwserve.node.handle import NodeHandle
from wwwserve.node.history import History, read_calendar
from wwwserve.node.lan import LanWatch
from wwwserve.node.logs import NodeLog
from wwwserve.node.machine_watch import MachineWatch
from wwwserve.node.orders import Orders
from wwwserve.node.ready import ReadyInfo
from wwwserve.node.reloading import Reloader
from wwwserve.node.runner import Runner
from wwwserve.node.setup_parts import make_objectives
from wwwserve.node.state_folder import RunInfo, StateFolder
from wwwserve.ports.discovery import Discovery
from wwwserve.values.ids import node_text

GRACE_S = 30
"""How long running requests may take to end when the node stops; then they are cut off."""
ENGINE_WAIT_S = 30
"""How long a starting node waits for its engines to say what they serve; then it goes on."""
ADMIN_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Host:
    """What a node that serves has of its machine and of whoever started it."""

    home: StateFolder
    keys: FileKeyRing
    log: NodeLog
    discovery: Discovery
    load: Callable[[], LoadedConfig]
    """Reads the configuration again. Raises `BadInput`."""
    orders: Orders
    guests: GuestHouse

    def follow(self, config: Config) -> None:
        """From now on this configuration holds."""
        self.keys.set_open(is_open=config.gateway.open)
        self.log.set(config.logs)


@dataclass(slots=True)
class Node:
    """One assembled node."""

    config: Config
    """As it began."""
    runner: Runner
    carrier: NodeCarrier
    engine_table: EngineTable
    engines: EngineWatch
    links_door: Door
    handle: NodeHandle
    tasks: asyncio.TaskGroup
    background: list[asyncio.Task[None]] = field(default_factory=list)
    """What runs as long as the node does."""

    async def run(
        self, loaded: LoadedConfig, host: Host, on_ready: Callable[[ReadyInfo], None]
    ) -> None:
        """Serve until told to stop; then leave, let running requests end, and close the doors."""
        self.start()
        token = secrets.token_urlsafe(ADMIN_TOKEN_BYTES)
        async with AsyncExitStack() as stack:
            doors = await self._open_doors(host, token, stack)
            await self._wait_engines(host.log)

            def write_run_info() -> None:
                _write_run_info(host, self._describe(doors, token))

            lan = self._make_lan_watch(host)
            stack.push_async_callback(lan.close)
            addresses = self._make_address_watch(host, doors, lan, write_run_info)
            machine = MachineWatch(
                Machine(), self.runner.deliver, is_wanted=loaded.config.policy.idle_only
            )
            reloader = self._make_reloader(host, loaded, doors)
            reloader.followers = (
                self._follow,
                host.follow,
                addresses.follow,
                machine.follow,
                lambda _: write_run_info(),
            )
            self.handle.reload_config = reloader.reload
            if self.handle.genesis:
                self.handle.entering = self._make_entering(host.log)
                self.background.append(self.tasks.create_task(self.handle.entering.run()))
            history = History(host.home, self.handle.node_id, read_calendar)
            stack.callback(self.handle.listen(history.on_fact))
            for work in (
                reloader.obey(host.orders.reload),
                addresses.run(),
                lan.run(),
                machine.run(),
            ):
                self.background.append(self.tasks.create_task(work))
            stack.callback(host.home.remove_run_info)
            info = self._describe(doors, token)
            host.home.write_run_info(_make_run_info(info))
            _tell_ready(host.log, info)
            on_ready(info)
            # What was built to stay is not looked through again: a full collection would cost
            # more than a whole event may.
            gc.collect()
            gc.freeze()
            await host.orders.stop.wait()
            host.log.logger.info("node stopping", grace_s=GRACE_S)
            await lan.close()
            await self._drain(host.log)
        self.end()

    def start(self) -> None:
        """Begin to live: links are dialled and taken, engines are read."""
        self.background.append(self.tasks.create_task(self.runner.wait_failed()))
        self.carrier.links.is_open = True
        self.runner.start(self.handle.peer, self.carrier, Started())
        self.background.append(self.handle.opening.start(self.tasks))
        self.engines.start()

    def end(self) -> None:
        """Stop at once; the parts are closed by whoever opened them."""
        self.runner.stop()
        self.carrier.links.end()
        self.carrier.mail.end()
        self.carrier.works.stop_all()
        self.engines.end()
        for task in self.background:
            task.cancel()

    async def _open_doors(self, host: Host, token: str, stack: AsyncExitStack) -> Doors:
        """Start gateway and admin, where the operator wants them."""
        wanted, admin_wanted = self.config.gateway, self.config.admin
        gateway = await start_gateway(
            self.handle,
            host.keys,
            host=wanted.host,
            port=wanted.port,
            spending=FileSpending(host.home.spending_file),
        )
        stack.push_async_callback(gateway.close)
        admin = await start_admin(
            self.handle,
            token,
            metrics_token=host.home.get_metrics_token(),
            host=admin_wanted.host,
            port=admin_wanted.port,
        )
        stack.push_async_callback(admin.close)
        return Doors(
            links=self.links_door,
            gateway=Door(
                key="gateway.port",
                listen=lambda address: gateway.listen(*split_address(address)),
                leave=gateway.leave,
                address=join_address(wanted.host, wanted.port),
                bound=gateway.url,
            ),
            admin=Door(
                key="admin.port",
                listen=lambda address: admin.listen(*split_address(address)),
                leave=admin.leave,
                address=join_address(admin_wanted.host, admin_wanted.port),
                bound=admin.url,
            ),
        )

    def _make_entering(self, log: NodeLog) -> Entering:
        return Entering(
            own=self.handle.node_id,
            get_ledger=lambda: self.handle.peer.ledger,
            sign=self.handle.sign,
            log=log,
            door=self.config.ledger.door,
        )

    def _make_reloader(self, host: Host, loaded: LoadedConfig, doors: Doors) -> Reloader:
        return Reloader(
            loaded=loaded,
            load=host.load,
            count_keys=lambda: len(host.keys.list_rules()),
            engines=self.engine_table,
            watch=self.engines,
            doors=doors,
            prepare_guest=host.guests.prepare,
            deliver=self.runner.deliver,
            log=host.log,
        )

    def _make_lan_watch(self, host: Host) -> LanWatch:
        links = self.carrier.links
        return LanWatch(
            discovery=host.discovery,
            is_linked=lambda node: links.get(node) is not None,
            deliver=self.runner.deliver,
            clock=self.handle.clock,
            log=host.log,
        )

    def _make_address_watch(
        self, host: Host, doors: Doors, lan: LanWatch, on_moved: Callable[[], None]
    ) -> AddressWatch:
        record = self.handle.get_snapshot().record
        return AddressWatch(
            config=self.config,
            told=(record.addresses, record.region),
            get_bound=lambda: doors.links.bound,
            read=read_interfaces,
            deliver=self.runner.deliver,
            followers=(lan.follow,),
            on_moved=on_moved,
            log=host.log,
        )

    def _follow(self, config: Config) -> None:
        """The configuration was read anew: what the handle answers by it holds from now on."""
        self.handle.opening.set_policy(config.policy)
        self.handle.is_private_unsaid = config.policy.offload_private
        self.handle.objectives = make_objectives(config)
        if self.handle.entering is not None:
            self.handle.entering.door = config.ledger.door

    def _describe(self, doors: Doors, token: str) -> ReadyInfo:
        """Where the node can be reached now."""
        record = self.handle.get_snapshot().record
        return ReadyInfo(
            node=self.handle.node_id,
            gateway_url=doors.gateway.bound,
            admin_url=doors.admin.bound,
            admin_token=token,
            link_addresses=record.addresses,
            models=tuple(offer.model for offer in record.models),
        )

    async def _wait_engines(self, log: NodeLog) -> None:
        """Wait until each engine is ready or known to be away: models follow from that."""
        try:
            async with asyncio.timeout(ENGINE_WAIT_S):
                await self.engines.wait_known()
        except TimeoutError:
            log.logger.warning("an engine is still loading", waited_s=ENGINE_WAIT_S)

    async def _drain(self, log: NodeLog) -> None:
        """Tell the others, then let what runs here end, for a while."""
        self.runner.deliver(Depart(Departure.LEAVE))
        try:
            async with asyncio.timeout(GRACE_S):
                await self.carrier.replies.wait_none()
                await self.carrier.works.wait_none()
                await self.runner.wait_durable()
        except TimeoutError:
            log.logger.warning("what still ran was cut off", grace_s=GRACE_S)
        self.handle.opening.rest.on_stopped()


def _tell_ready(log: NodeLog, info: ReadyInfo) -> None:
    log.logger.info(
        "node ready",
        version=__version__,
        gateway=info.gateway_url,
        links=list(info.link_addresses),
        models=list(info.models),
    )


def _write_run_info(host: Host, info: ReadyInfo) -> None:
    """Tell commands where the node has moved; it serves, even if it cannot tell them."""
    try:
        host.home.write_run_info(_make_run_info(info))
    except OSError as error:
        host.log.logger.warning("commands will not find this node", reason=str(error))


def _make_run_info(info: ReadyInfo) -> RunInfo:
    return RunInfo(
        pid=os.getpid(),
        node=node_text(info.node),
        gateway=info.gateway_url,
        admin=info.admin_url,
        admin_token=info.admin_token,
        links=info.link_addresses,
    )
