"""An order to the wallet ends in the log, in a refusal, or with word that it is on its way.

The wallet is the test: it answers each order as wallets do.
"""

import asyncio

import pytest

from wwwserve.node import wallet_orders
from wwwserve.node.wallet_orders import WalletOrders
from wwwserve.ports.peer_handle import SignedOrder
from wwwserve.values.refusals import BadInput
from wwwserve.wire.ledger import Bond, Op

FEED = b"\x01" * 32
OPS: tuple[Op, ...] = (Bond(1),)


@pytest.fixture
def orders() -> WalletOrders:
    return WalletOrders()


async def test_an_order_ends_in_the_log(orders: WalletOrders) -> None:
    def send(number: int, ops: tuple[Op, ...]) -> None:
        assert ops == OPS
        orders.on_signed(number, b"\x02" * 32, 4)
        # It could not enter in its time, and was signed anew.
        orders.on_settled(number, FEED, 5)

    orders.send = send
    assert await orders.sign(OPS) == SignedOrder(FEED, 5, is_final=True)


async def test_a_refusal_names_its_reason(orders: WalletOrders) -> None:
    orders.send = lambda number, _: orders.on_refused(number, "60 needed, 3 can be spent")
    with pytest.raises(BadInput, match="60 needed"):
        await orders.sign(OPS)


async def test_what_the_ledger_refuses_is_refused_too(orders: WalletOrders) -> None:
    def send(number: int, _: tuple[Op, ...]) -> None:
        orders.on_signed(number, FEED, 5)
        orders.on_refused(number, "the treasury alone pays allowances")

    orders.send = send
    with pytest.raises(BadInput, match="treasury"):
        await orders.sign(OPS)


async def test_a_signed_order_that_is_not_final_is_said_to_be_on_its_way(
    orders: WalletOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wallet_orders, "FINAL_WAIT_S", 0)
    orders.send = lambda number, _: orders.on_signed(number, FEED, 5)
    assert await orders.sign(OPS) == SignedOrder(FEED, 5, is_final=False)
    # What comes later finds nobody, and does no harm.
    orders.on_settled(1, FEED, 5)
    orders.on_refused(1, "late")


async def test_a_wallet_that_does_not_answer_is_not_waited_for(
    orders: WalletOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wallet_orders, "SIGN_WAIT_S", 0)
    orders.send = lambda _number, _ops: None
    with pytest.raises(BadInput, match="no answer"):
        await orders.sign(OPS)


async def test_only_so_many_orders_are_waited_for(orders: WalletOrders) -> None:
    sent: list[int] = []
    orders.send = lambda number, _: sent.append(number)
    async with asyncio.TaskGroup() as tasks:
        waiting = [
            tasks.create_task(orders.sign(OPS)) for _ in range(wallet_orders.ORDERS_OPEN_MAX)
        ]
        await asyncio.sleep(0)
        with pytest.raises(BadInput, match="at once"):
            await orders.sign(OPS)
        for number in sent:
            orders.on_signed(number, FEED, number)
            orders.on_settled(number, FEED, number)
    assert [task.result().seq for task in waiting] == sent


async def test_without_a_ledger_there_is_nothing_to_sign(orders: WalletOrders) -> None:
    with pytest.raises(BadInput, match="without a ledger"):
        await orders.sign(OPS)
