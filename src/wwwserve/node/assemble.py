"""Building one real node out of its parts, and introducing them to each other."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from wwwserve import __version__
from wwwserve.adapters.discovery import MulticastDiscovery
from wwwserve.adapters.host import (
    FileKeyRing,
    LibsodiumVerifier,
    MonotonicClock,
    NodeKey,
    read_interfaces,
)
from wwwserve.adapters.storage import SqliteStore
from wwwserve.adapters.transports import TcpTransport
from wwwserve.core.deciding import NO_MEMORY, PolicyMemory
from wwwserve.core.events import Event, OrderOps
from wwwserve.core.facts import AttemptStarted
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.peer import Peer
from wwwserve.core.setup import PeerSetup, WalletChoices
from wwwserve.node.bodies import BodyStore
from wwwserve.node.boot_mark import BootMark
from wwwserve.node.carrier import NodeCarrier
from wwwserve.node.chain_mail import ChainMail
from wwwserve.node.config import Config, LoadedConfig, validate_exposure
from wwwserve.node.doors import Door
from wwwserve.node.engine_table import EngineTable
from wwwserve.node.engine_watch import EngineWatch
from wwwserve.node.engines import open_engine
from wwwserve.node.fact_hub import FactHub
from wwwserve.node.handle import NodeHandle
from wwwserve.node.ledger_home import HomeLedger, open_ledger
from wwwserve.node.links import LinkTable
from wwwserve.node.living import Host, Node
from wwwserve.node.logs import NodeLog
from wwwserve.node.opening import make_opening_watch
from wwwserve.node.orders import Orders
from wwwserve.node.policy_diary import DIARY_FACTS
from wwwserve.node.providing import begin_providing
from wwwserve.node.ready import ReadyInfo
from wwwserve.node.runner import Runner, ignore_written
from wwwserve.node.setup_parts import (
    list_addresses,
    make_bootstrap,
    make_groups,
    make_objectives,
    make_parameters,
    make_policy,
    make_prices,
)
from wwwserve.node.state_folder import StateFolder
from wwwserve.node.streams import Replies, TillFinder, Works
from wwwserve.node.verifying import RememberingVerifier
from wwwserve.node.wallet_orders import WalletOrders
from wwwserve.ports.clock import Clock
from wwwserve.ports.store import RangeStore
from wwwserve.ports.transport import Transport
from wwwserve.values.credits import parse_credits
from wwwserve.values.parameters import compute_network_id
from wwwserve.wire import Signer

ENTROPY_SEED_BYTES = 32

_LOG = logging.getLogger("wwwserve.node")


async def run_node(
    load: Callable[[], LoadedConfig],
    home: StateFolder,
    *,
    on_ready: Callable[[ReadyInfo], None],
    orders: Orders,
) -> None:
    """Run one node until it is told to stop (by `orders` or its operator), then take it down.

    Raises `BadInput` for what the operator can mend, and whatever broke the node otherwise: a bug
    or a dead disk stops it rather than letting it go on with what it no longer knows.
    """
    loaded = load()
    config = loaded.config
    with home.hold():
        keys = FileKeyRing(home.api_keys_file, is_open=config.gateway.open)
        validate_exposure(config.gateway, keys.count)
        async with AsyncExitStack() as stack:
            log = NodeLog(config.logs)
            stack.callback(log.close)
            providing = begin_providing(config, home)
            stack.callback(providing.close)
            parts = await _open_parts(config, home, stack)
            parts = replace(parts, memory=providing.memory)
            async with asyncio.TaskGroup() as tasks:
                node = await connect(config, parts, tasks, orders.stop)
                log.follow(node.carrier.facts, parts.key.node_id, node.handle.clock)
                node.carrier.facts.listen(providing.diary.on_fact, DIARY_FACTS)
                host = Host(
                    home=home,
                    keys=keys,
                    log=log,
                    discovery=MulticastDiscovery(parts.key.node_id, node.carrier.links.network_id),
                    load=load,
                    orders=orders,
                    guests=providing.guests,
                )
                await node.run(loaded, host, on_ready)
            log.logger.info("node stopped")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node has opened of the world."""

    key: Signer
    store: RangeStore
    transport: Transport
    engines: EngineTable
    ledger: HomeLedger | None = None
    """None where nothing is paid."""
    is_clean_boot: bool = True
    """Whether the machine has run on since the node did, or was shut down in order."""
    on_written: Callable[[Lane], None] = ignore_written
    """Hears of each write that is durable."""
    memory: PolicyMemory = NO_MEMORY
    """What the policy remembers, and the guests it may ask."""


async def _open_parts(config: Config, home: StateFolder, stack: AsyncExitStack) -> Parts:
    """Open disk, key, engines and network; the stack closes them in reverse order."""
    key = NodeKey.load(home.node_key_file)
    mark = BootMark(home)
    is_clean_boot = mark.open()
    store = SqliteStore(home.store_folder)
    stack.push_async_callback(_close_store, store, mark)
    engines = EngineTable()
    stack.push_async_callback(engines.close)
    for engine in config.engines:
        engines.put(open_engine(engine))
    ledger = await open_ledger(home, config, store)
    transport = TcpTransport(key, _find_network_id(config, ledger))
    stack.push_async_callback(transport.close)
    return Parts(key, store, transport, engines, ledger, is_clean_boot, mark.on_written)


async def _close_store(store: SqliteStore, mark: BootMark) -> None:
    await store.close()
    mark.clear()


def _find_network_id(config: Config, ledger: HomeLedger | None) -> bytes:
    """By what nodes know that they are of one network: its ledger, or else its numbers."""
    return ledger.genesis_id if ledger else compute_network_id(make_parameters(config))


async def connect(
    config: Config, parts: Parts, tasks: asyncio.TaskGroup, stop: asyncio.Event
) -> Node:
    """Introduce the parts to each other: the peer in the middle, and what carries its effects."""
    clock, facts, bodies = MonotonicClock(), FactHub(), BodyStore()
    runner = Runner(clock, parts.store, parts.on_written)
    loop = _Loop(clock, tasks, runner.deliver)
    engines = EngineWatch(parts.engines, config, tasks, runner.deliver)
    verifier = LibsodiumVerifier()
    tills = TillFinder(parts.key, verifier, verifier, lambda: peer.ledger)
    works = Works(
        engines=parts.engines,
        bodies=bodies,
        clock=clock,
        tasks=tasks,
        deliver=runner.deliver,
        on_engine_failed=engines.read_now,
        report_fault=_report_fault,
        find_till=tills.find,
    )
    links = _make_links(config, parts, loop, facts, works)
    links.check_quote = tills.check_quote
    replies = Replies(
        own=parts.key.node_id,
        engines=parts.engines,
        bodies=bodies,
        clock=clock,
        tasks=tasks,
        deliver=runner.deliver,
        get_link=links.get,
        on_engine_failed=engines.read_now,
        find_till=tills.find,
    )
    facts.listen(replies.on_attempt, (AttemptStarted,))
    door = _make_links_door(parts.transport, links)
    bound = await door.open(config.links.listen)
    addresses = list_addresses(config, bound, read_interfaces())
    peer = Peer(
        _make_setup(config, parts, addresses), parts.ledger.loaded if parts.ledger else None
    )
    mail = _make_mail(parts, links, loop, lambda: peer.ledger)
    orders = _make_orders(parts, runner)
    carrier = NodeCarrier(runner, links, replies, works, facts, mail, orders)
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
        objectives=make_objectives(config),
        is_private_unsaid=config.policy.offload_private,
        genesis=parts.ledger.genesis_id if parts.ledger else b"",
        wallet_orders=orders,
    )
    return Node(config, runner, carrier, parts.engines, engines, door, handle, tasks)


@dataclass(frozen=True, slots=True)
class _Loop:
    """What every part has of the node's one loop."""

    clock: Clock
    tasks: asyncio.TaskGroup
    deliver: Callable[[Event], None]


def _make_links(
    config: Config, parts: Parts, loop: _Loop, facts: FactHub, works: Works
) -> LinkTable:
    return LinkTable(
        own=parts.key.node_id,
        network_id=_find_network_id(config, parts.ledger),
        transport=parts.transport,
        verifier=RememberingVerifier(LibsodiumVerifier()),
        clock=loop.clock,
        tasks=loop.tasks,
        deliver=loop.deliver,
        tell=facts.tell,
        on_stream=works.on_stream,
    )


def _make_mail(
    parts: Parts, links: LinkTable, loop: _Loop, get_ledger: Callable[[], AsksLedger | None]
) -> ChainMail:
    """What takes the log's words on all links; links are told of it."""
    verifier = LibsodiumVerifier()
    mail = ChainMail(
        own=parts.key.node_id,
        verifier=verifier,
        points=verifier,
        store=parts.store,
        tasks=loop.tasks,
        get_ledger=get_ledger,
        links=links,
        deliver=loop.deliver,
    )
    links.log_words = mail
    return mail


def _make_orders(parts: Parts, runner: Runner) -> WalletOrders:
    if parts.ledger is None:
        return WalletOrders()
    return WalletOrders(send=lambda number, ops: runner.deliver(OrderOps(number, ops)))


def _make_setup(config: Config, parts: Parts, addresses: tuple[str, ...]) -> PeerSetup:
    """What the peer is born with: the operator's choices, and what it remembers."""
    return PeerSetup(
        signer=parts.key,
        parameters=make_parameters(config),
        entropy_seed=secrets.token_bytes(ENTROPY_SEED_BYTES),
        addresses=addresses,
        groups=make_groups(config),
        policy=make_policy(config),
        memory=parts.memory,
        bootstrap=make_bootstrap(config),
        restored=parts.store.read(Lane.BOOK),
        genesis_id=parts.ledger.genesis_id if parts.ledger else b"",
        prices=make_prices(config.price, config.ledger),
        wallet=WalletChoices(
            stored=parts.store.read(Lane.FEED) if parts.ledger else {},
            is_clean_boot=parts.is_clean_boot,
            reserve=parse_credits("wallet.reserve", config.wallet.reserve),
        ),
        region=config.network.region,
        software=f"wwwserve {__version__}",
    )


def _make_links_door(transport: Transport, links: LinkTable) -> Door:
    async def listen(address: str) -> str:
        return await transport.listen(address, links.adopt, links.on_refused)

    async def leave(bound: str) -> None:
        transport.stop_listening(bound)

    return Door("links.listen", listen, leave)


def _report_fault(what: str, error: BaseException) -> None:
    _LOG.error("a fault of this node while %s", what, exc_info=error)
