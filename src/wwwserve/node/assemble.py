"""Building one real node out of its parts, running it, and taking it down in order."""

import asyncio
import gc
import logging
import os
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from wwwserve import __version__
from wwwserve.adapters.host import FileKeyRing, LibsodiumVerifier, MonotonicClock, NodeKey
from wwwserve.adapters.storage import SqliteStore
from wwwserve.adapters.transports import TcpTransport
from wwwserve.core.events import Depart, Departure, Started
from wwwserve.core.lanes import Lane
from wwwserve.core.peer import Peer
from wwwserve.core.setup import PeerSetup
from wwwserve.frontends.admin import start_admin
from wwwserve.frontends.gateway import start_gateway
from wwwserve.node.bodies import BodyStore
from wwwserve.node.carrier import NodeCarrier
from wwwserve.node.config import Config, validate_exposure
from wwwserve.node.engine_table import EngineTable
from wwwserve.node.engine_watch import EngineWatch
from wwwserve.node.engines import open_engine
from wwwserve.node.fact_hub import FactHub
from wwwserve.node.handle import NodeHandle
from wwwserve.node.links import LinkTable
from wwwserve.node.logs import FactLog, open_logs
from wwwserve.node.opening import make_opening_watch
from wwwserve.node.ready import ReadyInfo
from wwwserve.node.runner import Runner
from wwwserve.node.setup_parts import (
    make_bootstrap,
    make_groups,
    make_parameters,
    make_policy,
)
from wwwserve.node.state_folder import RunInfo, StateFolder
from wwwserve.node.streams import Replies, Works
from wwwserve.node.verifying import RememberingVerifier
from wwwserve.ports.store import Store
from wwwserve.ports.transport import Transport
from wwwserve.values.ids import node_prefix, node_text
from wwwserve.values.parameters import compute_network_id
from wwwserve.wire import Signer

GRACE_S = 30
"""How long running requests may take to end when the node stops; then they are cut off."""
ENGINE_WAIT_S = 30
"""How long a starting node waits for its engine to say what it serves; then it goes on without."""
ENTROPY_SEED_BYTES = 32
ADMIN_TOKEN_BYTES = 32

_LOG = logging.getLogger("wwwserve.node")


async def run_node(
    config: Config,
    home: StateFolder,
    *,
    on_ready: Callable[[ReadyInfo], None],
    stop: asyncio.Event,
) -> None:
    """Run one node until `stop` is set (or its operator tells it to), then take it down.

    Raises `BadInput` for what the operator can mend, and whatever broke the node otherwise: a bug
    or a dead disk stops it rather than letting it go on with what it no longer knows.
    """
    with home.hold():
        keys = FileKeyRing(home.api_keys_file, is_open=config.gateway.open)
        validate_exposure(config.gateway, keys.count)
        async with AsyncExitStack() as stack:
            log = stack.enter_context(open_logs(config.logs))
            parts = await _open_parts(config, home, stack)
            log = log.bind(node=node_prefix(parts.key.node_id))
            async with asyncio.TaskGroup() as tasks:
                node = await connect(config, parts, tasks, stop)
                node.handle.facts.listen(
                    FactLog(log, node.handle.node_id, node.handle.clock).on_fact
                )
                tasks.create_task(_tell_stop(log, stop))
                await node.run(keys, home, _tell_log(log, on_ready))
            log.info("node stopped")


def _tell_log(
    log: FilteringBoundLogger, on_ready: Callable[[ReadyInfo], None]
) -> Callable[[ReadyInfo], None]:
    def tell(info: ReadyInfo) -> None:
        log.info(
            "node ready",
            version=__version__,
            gateway=info.gateway_url,
            links=list(info.link_addresses),
            models=list(info.models),
        )
        on_ready(info)

    return tell


async def _tell_stop(log: FilteringBoundLogger, stop: asyncio.Event) -> None:
    await stop.wait()
    log.info("node stopping", grace_s=GRACE_S)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node has opened of the world."""

    key: Signer
    store: Store
    transport: Transport
    engines: EngineTable


async def _open_parts(config: Config, home: StateFolder, stack: AsyncExitStack) -> Parts:
    """Open disk, key, engines and network; the stack closes them in reverse order."""
    key = NodeKey.load(home.node_key_file)
    store = SqliteStore(home.store_folder)
    stack.push_async_callback(store.close)
    engines = EngineTable()
    stack.push_async_callback(engines.close)
    for engine in config.engines:
        engines.put(open_engine(engine))
    transport = TcpTransport(key, compute_network_id(make_parameters(config)))
    stack.push_async_callback(transport.close)
    return Parts(key, store, transport, engines)


async def connect(
    config: Config, parts: Parts, tasks: asyncio.TaskGroup, stop: asyncio.Event
) -> "Node":
    """Introduce the parts to each other: the peer in the middle, and what carries its effects."""
    clock, facts, bodies = MonotonicClock(), FactHub(), BodyStore()
    runner = Runner(clock, parts.store)
    engines = EngineWatch(parts.engines, config, tasks, runner.deliver)
    works = Works(
        engines=parts.engines,
        bodies=bodies,
        clock=clock,
        tasks=tasks,
        deliver=runner.deliver,
        on_engine_failed=engines.read_now,
        report_fault=_report_fault,
    )
    links = LinkTable(
        own=parts.key.node_id,
        network_id=compute_network_id(make_parameters(config)),
        transport=parts.transport,
        verifier=RememberingVerifier(LibsodiumVerifier()),
        clock=clock,
        tasks=tasks,
        deliver=runner.deliver,
        tell=facts.tell,
        on_stream=works.on_stream,
    )
    replies = Replies(
        own=parts.key.node_id,
        engines=parts.engines,
        bodies=bodies,
        clock=clock,
        tasks=tasks,
        deliver=runner.deliver,
        get_link=links.get,
        on_engine_failed=engines.read_now,
    )
    addresses = await _listen(config, parts.transport, links)
    peer = Peer(_make_setup(config, parts, addresses))
    carrier = NodeCarrier(runner, links, replies, works, facts)
    handle = NodeHandle(
        node_id=parts.key.node_id,
        peer=peer,
        network=config.network.name,
        clock=clock,
        facts=facts,
        replies=replies,
        deliver=runner.deliver,
        opening=make_opening_watch(config.policy, parts.store, clock, runner.deliver),
        request_stop=stop.set,
    )
    return Node(config, runner, carrier, engines, handle, tasks, stop)


def _make_setup(config: Config, parts: Parts, addresses: tuple[str, ...]) -> PeerSetup:
    """What the peer is born with: the operator's choices, and what it remembers."""
    return PeerSetup(
        signer=parts.key,
        parameters=make_parameters(config),
        entropy_seed=secrets.token_bytes(ENTROPY_SEED_BYTES),
        addresses=addresses,
        groups=make_groups(config),
        policy=make_policy(config.policy),
        bootstrap=make_bootstrap(config),
        restored=parts.store.read(Lane.BOOK),
        region=config.network.region,
        software=f"wwwserve {__version__}",
    )


async def _listen(config: Config, transport: Transport, links: LinkTable) -> tuple[str, ...]:
    """Accept links where the operator wants them; returns the addresses to tell others."""
    if not config.links.listen:
        return ()
    bound = await transport.listen(config.links.listen, links.adopt)
    return config.links.advertise or (bound,)


def _report_fault(what: str, error: BaseException) -> None:
    _LOG.error("a fault of this node while %s", what, exc_info=error)


@dataclass(slots=True)
class Node:
    """One assembled node."""

    config: Config
    runner: Runner
    carrier: NodeCarrier
    engines: EngineWatch
    handle: NodeHandle
    tasks: asyncio.TaskGroup
    stop: asyncio.Event
    background: list[asyncio.Task[None]] = field(default_factory=list)
    """What runs as long as the node does."""

    async def run(
        self, keys: FileKeyRing, home: StateFolder, on_ready: Callable[[ReadyInfo], None]
    ) -> None:
        """Serve until `stop` is set; then leave, let running requests end, and close the doors."""
        self.start()
        async with AsyncExitStack() as stack:
            info = await self._open_doors(keys, home, stack)
            stack.callback(home.remove_run_info)
            home.write_run_info(_make_run_info(info))
            on_ready(info)
            # What was built to stay is not looked through again: a full collection would cost
            # more than a whole event may.
            gc.collect()
            gc.freeze()
            await self.stop.wait()
            await self._drain()
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
        self.carrier.works.stop_all()
        self.engines.end()
        for task in self.background:
            task.cancel()

    async def _open_doors(
        self, keys: FileKeyRing, home: StateFolder, stack: AsyncExitStack
    ) -> ReadyInfo:
        """Start gateway and admin; say where everything is once the engine has said what it is."""
        config, token = self.config, secrets.token_urlsafe(ADMIN_TOKEN_BYTES)
        gateway = await start_gateway(
            self.handle, keys, host=config.gateway.host, port=config.gateway.port
        )
        stack.push_async_callback(gateway.close)
        admin = await start_admin(
            self.handle,
            token,
            metrics_token=home.get_metrics_token(),
            host=config.admin.host,
            port=config.admin.port,
        )
        stack.push_async_callback(admin.close)
        await self._wait_engines()
        snapshot = self.handle.get_snapshot()
        return ReadyInfo(
            node=self.handle.node_id,
            gateway_url=gateway.url,
            admin_url=admin.url,
            admin_token=token,
            link_addresses=snapshot.record.addresses,
            models=tuple(offer.model for offer in snapshot.record.models),
        )

    async def _wait_engines(self) -> None:
        """Wait until each engine is ready or known to be away: models follow from that."""
        try:
            async with asyncio.timeout(ENGINE_WAIT_S):
                await self.engines.wait_known()
        except TimeoutError:
            _LOG.warning("an engine is still loading after %d s", ENGINE_WAIT_S)

    async def _drain(self) -> None:
        """Tell the others, then let what runs here end, for a while."""
        self.runner.deliver(Depart(Departure.LEAVE))
        try:
            async with asyncio.timeout(GRACE_S):
                await self.carrier.replies.wait_none()
                await self.carrier.works.wait_none()
                await self.runner.wait_durable()
        except TimeoutError:
            _LOG.warning("cut off what still ran after %d s", GRACE_S)
        self.handle.opening.rest.on_stopped()


def _make_run_info(info: ReadyInfo) -> RunInfo:
    return RunInfo(
        pid=os.getpid(),
        node=node_text(info.node),
        gateway=info.gateway_url,
        admin=info.admin_url,
        admin_token=info.admin_token,
        links=info.link_addresses,
    )
