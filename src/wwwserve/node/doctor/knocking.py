"""Dialling an address to learn who is there, without becoming anybody's peer.

A knock is a whole handshake under a key made for it and thrown away, so it shows what another node
would see: whether somebody answers, who, of which network, in which versions.
"""

import asyncio
import secrets
from dataclasses import dataclass

from wwwserve.adapters.host import NodeKey
from wwwserve.adapters.transports import TcpTransport
from wwwserve.ports.transport import CloseReason, Link, LinkEnded, LinkOwner, Stream
from wwwserve.values.ids import NodeId

KNOCK_WAIT_S = 5.0
"""How long an address may take to answer."""
KNOCKS_MAX = 16
"""Addresses tried at once; the next ones wait for their turn."""
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a knock."""

    address: str
    is_good: bool
    detail: str = ""
    """Why not, for a person."""
    reason: CloseReason = CloseReason.LOST


class Knocker:
    """Knocks at nodes' doors for one network. Use it as an asynchronous context."""

    def __init__(self, network_id: bytes) -> None:
        self._transport = TcpTransport(NodeKey(secrets.token_bytes(_SEED_BYTES)), network_id)
        self._turns = asyncio.Semaphore(KNOCKS_MAX)

    async def __aenter__(self) -> "Knocker":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    async def knock(self, address: str, expected: NodeId | None) -> Answer:
        """See who answers at `host:port`; with `expected`, only that node is a good answer."""
        try:
            async with self._turns, asyncio.timeout(KNOCK_WAIT_S):
                link = await self._transport.dial(address, expected, lambda _: SilentOwner())
        except LinkEnded as error:
            return Answer(address, is_good=False, detail=str(error), reason=error.reason)
        except TimeoutError:
            detail = f"no answer within {KNOCK_WAIT_S:.0f} s"
            return Answer(address, is_good=False, detail=detail)
        link.close(CloseReason.LEAVING)
        return Answer(address, is_good=True)


class SilentOwner(LinkOwner):
    """The owner of a link that was only made to be seen."""

    def on_link_message(self, link: Link, payload: bytes) -> None:
        """Nobody listens."""

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        """Nobody works."""

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        """As it should be."""
