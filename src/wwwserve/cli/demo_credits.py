"""The credits of the demo's network: its genesis, and who has what once requests are paid.

Each node begins with credits and a seat, so that all of them can pay and be paid at once; in a
network of strangers they would come in by a door (`wwwserve init --join`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from wwwserve.adapters.host import NodeKey
from wwwserve.cli.ledger_status import open_book
from wwwserve.node import (
    Config,
    LedgerBook,
    LedgerKind,
    StateFolder,
    keep_genesis,
    make_genesis,
    read_genesis,
)
from wwwserve.values.ids import NodeId

SETTLE_WAIT_S = 15.0
"""How long the first requests' payments are waited for: claims are sent every two seconds, and a
block comes within a second of them."""
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Balance:
    """What one node has, in micro-credits."""

    node: NodeId
    total: int
    """Free, staked and unbonding."""
    change: int
    """Since genesis."""


@dataclass(frozen=True, slots=True)
class Balances:
    """What everybody has, at one block."""

    height: int
    nodes: tuple[Balance, ...]
    pool: int
    held: int
    """Set aside in open holds."""
    supply: int

    @property
    def adds_up(self) -> bool:
        """Whether all parts are the supply."""
        return sum(one.total for one in self.nodes) + self.pool + self.held == self.supply


def begin_ledger(folders: Sequence[StateFolder]) -> None:
    """Give all nodes one ledger, in which each has credits and the first orders the log."""
    founder, *members = [NodeKey.load(folder.node_key_file).node_id for folder in folders]
    genesis = make_genesis(LedgerKind.DEV, founder, Config(), members=members)
    for folder in folders:
        keep_genesis(folder, genesis)


async def wait_settled(folder: StateFolder) -> Balances:
    """What everybody has, once no payment is open any more, or after a while in any case."""
    try:
        async with asyncio.timeout(SETTLE_WAIT_S):
            while True:
                balances = await asyncio.to_thread(read_balances, folder)
                if not balances.held:
                    return balances
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        return await asyncio.to_thread(read_balances, folder)


def read_balances(folder: StateFolder) -> Balances:
    """What everybody has, by the log on a node's disk."""
    book = open_book(folder)
    genesis = read_genesis(folder)
    assert genesis is not None, "the demo has made it"
    price = genesis.parameters.seat_price
    first = {each.key: each.amount + each.seats * price for each in genesis.accounts}
    return Balances(
        height=book.ledger.log.height,
        nodes=tuple(
            Balance(key, total, total - first.get(key, 0)) for key, total in _list_totals(book)
        ),
        pool=book.ledger.log.pool,
        held=sum(hold.locked for hold in book.ledger.holds.values()),
        supply=genesis.supply,
    )


def _list_totals(book: LedgerBook) -> list[tuple[NodeId, int]]:
    return [
        (
            key,
            account.avail
            + account.bond
            + account.lent
            + sum(amount for _, amount in account.unbonding),
        )
        for key, account in book.ledger.accounts.items()
    ]
