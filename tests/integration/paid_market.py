"""Nodes of one process that are paid, and their books: for attacks whose gain is to be counted.

The first node orders the log. Strangers (`tests.integration.paid_stranger`) have accounts too. When
a market closes, the log of each of its nodes must pass `wwwserve ledger audit`, and an export with
a byte changed must not: the audit names the record.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.integration.world import World, get_node_key, open_world, wait_until
from wwwserve.adapters.host import NodeKey
from wwwserve.adapters.storage import write_export
from wwwserve.cli.app import run
from wwwserve.cli.ledger import check_export
from wwwserve.core.chain import Broken, Export, LedgerView, Totals
from wwwserve.core.ledger_view import AccountView
from wwwserve.node.ledger_home import make_reader
from wwwserve.node.living import Node
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import DEV_LEDGER, LedgerParameters
from wwwserve.values.parameters import MAIN, compute_network_id
from wwwserve.wire.ledger import (
    GENESIS_FORMAT,
    NO_DIGEST,
    Circulation,
    Door,
    Genesis,
    GenesisAccount,
    compute_genesis_held,
    compute_genesis_id,
)

CREDITS_EACH = 1_000
"""Of a node."""
SEATS_EACH = 2
PARAMETERS: LedgerParameters = msgspec.structs.replace(
    DEV_LEDGER, claim_window_ms=2_000, height_ms_idle=1_000
)
"""So that a test waits a second where an operator waits half a minute."""
FEE = PARAMETERS.op_fee
QUIET_BLOCKS = 2
SETTLE_WAIT_S = 30
"""Far above what it takes: a test that needs it all has failed."""


@dataclass(frozen=True, slots=True)
class Stake:
    """What a stranger begins with."""

    credits: int
    seats: int = 0


class Market:
    """A world that pays."""

    def __init__(self, world: World, genesis: Genesis) -> None:
        self.world = world
        self.network_id = compute_genesis_id(genesis)
        self._begun = {NodeId(one.key): one.amount for one in genesis.accounts}

    @property
    def nodes(self) -> list[Node]:
        return self.world.nodes

    @property
    def ledger(self) -> LedgerView:
        """The sequencer's."""
        return get_ledger(self.nodes[0])

    def find(self, key: NodeId) -> AccountView:
        account = self.ledger.find_account(key)
        assert account is not None
        return account

    def get_gain(self, key: NodeId) -> int:
        """Free micro-credits of an account beyond those it began with; none once gone."""
        account = self.ledger.find_account(key)
        return (account.avail if account else 0) - self._begun[key]

    def get_earned(self) -> list[int]:
        """What each node was paid for work, in micro-credits."""
        wallets = [node.handle.get_snapshot().wallet for node in self.nodes]
        return [wallet.earned for wallet in wallets if wallet]

    async def settle(self, *keys: NodeId) -> None:
        """Wait until no node and none of these accounts has anything open.

        For two blocks on end: a word on its way is in the next. Preimages of holds that never come
        are kept for a while, and wait for nothing.
        """
        async with asyncio.timeout(SETTLE_WAIT_S):
            quiet_from = self.ledger.height
            while self.ledger.height < quiet_from + QUIET_BLOCKS:
                await self.wait_block()
                if not self._is_quiet(keys):
                    quiet_from = self.ledger.height

    def _is_quiet(self, keys: tuple[NodeId, ...]) -> bool:
        snapshots = [node.handle.get_snapshot() for node in self.nodes]
        wallets = [one.wallet for one in snapshots if one.wallet]
        is_busy = any(one.held or one.waiting for one in wallets)
        accounts = [self.ledger.find_account(key) for key in keys]
        is_open = any(account.holds_out for account in accounts if account)
        return not (is_busy or is_open or any(one.works_open for one in snapshots))

    async def wait_block(self) -> None:
        """Wait for the next block."""
        height = self.ledger.height
        await wait_until(lambda: self.ledger.height > height)

    def audit(self, folder: Path) -> list[Totals]:
        """What a third party finds in every node's export."""
        return [_audit(node, folder / f"log-{index}") for index, node in enumerate(self.nodes)]


def get_ledger(node: Node) -> LedgerView:
    """The ledger as a node has it."""
    ledger = node.handle.peer.ledger
    assert ledger is not None
    return ledger


def _audit(node: Node, file: Path) -> Totals:
    """An export passes; with a byte changed in the middle, the audit names the record."""
    written = Export(make_reader(node.carrier.mail.store))
    write_export(file, written.list_records(), written.make_end)
    assert run(["ledger", "audit", str(file)]) == 0
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    changed = file.with_suffix(".changed")
    changed.write_bytes(whole)
    assert run(["ledger", "audit", str(changed)]) != 0
    with pytest.raises(Broken) as caught:
        check_export(changed)
    assert 0 < caught.value.height <= written.height, "it names the block"
    return check_export(file)


def make_market_genesis(nodes: int, strangers: Mapping[int, Stake], seats: int) -> Genesis:
    """Accounts of the nodes and of strangers, who are known by their numbers."""
    keys = [get_node_key(number + 1).node_id for number in range(nodes)]
    own = [GenesisAccount(key, CREDITS_EACH * CREDIT, seats) for key in keys]
    others = [
        GenesisAccount(NodeKey(bytes([number]) * 32).node_id, stake.credits, stake.seats)
        for number, stake in strangers.items()
    ]
    bare = Genesis(
        format=GENESIS_FORMAT,
        name="market",
        salt=NO_DIGEST,
        peer_parameters=compute_network_id(MAIN),
        parameters=PARAMETERS,
        sequencer=keys[0],
        circulation=Circulation.OPEN,
        doors=(Door.DEV,),
        supply=0,
        accounts=(*own, *others),
    )
    return msgspec.structs.replace(bare, supply=compute_genesis_held(bare))


@asynccontextmanager
async def open_market(
    folder: Path,
    strangers: Mapping[int, Stake],
    *,
    nodes: int = 1,
    seats: int = SEATS_EACH,
    **engine: Any,
) -> AsyncIterator[Market]:
    """A market of real nodes; what `engine` says is how their mock engines are."""
    genesis = make_market_genesis(nodes, strangers, seats)
    async with open_world(genesis) as world:
        for _ in range(nodes):
            await world.add(**engine)
        market = Market(world, genesis)
        await wait_until(lambda: all(_is_ready(node) for node in world.nodes))
        yield market
        await market.settle()
        for totals in market.audit(folder):
            assert totals.supply == genesis.supply


def _is_ready(node: Node) -> bool:
    wallet = node.handle.get_snapshot().wallet
    return wallet is not None and wallet.is_ready
