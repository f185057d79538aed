"""An operator's orders to the wallet, from being told to being in the log."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from wwwserve.core.effects import AnswerOrder
from wwwserve.ports.peer_handle import SignedOrder
from wwwserve.values.refusals import BadInput
from wwwserve.wire.ledger import Op

ORDERS_OPEN_MAX = 64
"""Orders waited for at once; one more is refused. People and scripts give them one by one."""
WAITS_RULE = "wallet-waits"
"""With what a refusal begins if the wallet cannot sign anything yet (`core.wallet`)."""
SIGN_WAIT_S = 5.0
"""How long the wallet may take to sign: it answers at once, or when its disk does."""
FINAL_WAIT_S = 15.0
"""How long a signed order is waited for in the log; at rest a block comes within a second."""


@dataclass(slots=True)
class _Order:
    """One order on its way."""

    signed: "asyncio.Future[tuple[bytes, int]]"
    settled: "asyncio.Future[tuple[bytes, int]]"


@dataclass(slots=True)
class WalletOrders:
    """The orders of one node that somebody waits for."""

    send: Callable[[int, tuple[Op, ...]], None] | None = None
    """Tells the peer; None in a network without a ledger."""
    _orders: dict[int, _Order] = field(default_factory=dict)
    _number: int = 0

    async def sign(self, ops: tuple[Op, ...]) -> SignedOrder:
        """See `PeerHandle`."""
        if self.send is None:
            raise BadInput(
                field="wallet",
                found="a network without a ledger",
                expected="one whose requests are paid",
                fix="begin one with wwwserve init --ledger, or join one with its ticket",
            )
        if len(self._orders) >= ORDERS_OPEN_MAX:
            found = f"{ORDERS_OPEN_MAX} orders at once"
            raise BadInput("wallet", found, "fewer", "wait until some are in the log")
        loop = asyncio.get_running_loop()
        self._number += 1
        number, order = self._number, _Order(loop.create_future(), loop.create_future())
        self._orders[number] = order
        try:
            self.send(number, ops)
            return await _wait(order)
        finally:
            del self._orders[number]

    def on_answer(self, answer: AnswerOrder) -> None:
        """Take what the peer says of an order."""
        if answer.refusal:
            self.on_refused(answer.order, answer.refusal)
        elif answer.is_final:
            self.on_settled(answer.order, answer.feed_id, answer.seq)
        else:
            self.on_signed(answer.order, answer.feed_id, answer.seq)

    def on_signed(self, number: int, feed_id: bytes, seq: int) -> None:
        """The order is signed and durable."""
        order = self._orders.get(number)
        if order is not None and not order.signed.done():
            order.signed.set_result((feed_id, seq))

    def on_refused(self, number: int, reason: str) -> None:
        """The wallet does not sign it, or the ledger refused what it says."""
        order = self._orders.get(number)
        if order is None:
            return
        for future in (order.signed, order.settled):
            if not future.done():
                future.set_exception(_refuse(reason))
                # Whoever waits hears of it once.
                future.exception()

    def on_settled(self, number: int, feed_id: bytes, seq: int) -> None:
        """It is in the log, and did what it says."""
        order = self._orders.get(number)
        if order is not None and not order.settled.done():
            order.settled.set_result((feed_id, seq))


async def _wait(order: _Order) -> SignedOrder:
    try:
        async with asyncio.timeout(SIGN_WAIT_S):
            feed_id, seq = await order.signed
    except TimeoutError:
        raise BadInput(
            "wallet", "no answer", "a wallet that signs", "wwwserve wallet says what it waits for"
        ) from None
    try:
        async with asyncio.timeout(FINAL_WAIT_S):
            feed_id, seq = await order.settled
    except TimeoutError:
        return SignedOrder(feed_id, seq, is_final=False)
    return SignedOrder(feed_id, seq, is_final=True)


def _refuse(reason: str) -> BadInput:
    return BadInput("wallet", reason, "an order that can be carried out", "wwwserve wallet")
