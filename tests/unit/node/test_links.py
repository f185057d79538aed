"""The table of links answers each dial, by the address that was dialled, and ends at once.

Two real tables over TCP in this process; what they tell the peer is written down.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.joined_links import NETWORK, get_id, get_key
from wwwserve.adapters.host import LibsodiumVerifier, MonotonicClock
from wwwserve.adapters.transports import TcpTransport
from wwwserve.core.events import DialFailed, Event, LinkClosed, LinkOpened
from wwwserve.node.links import LinkTable
from wwwserve.node.verifying import RememberingVerifier

WAIT_S = 8
"""Less than a handshake may take: who waits for one fails."""


@dataclass(slots=True)
class Teller:
    """Writes down what a table tells its peer."""

    events: "asyncio.Queue[Event]" = field(default_factory=asyncio.Queue)

    async def get(self) -> Event:
        """The next event."""
        async with asyncio.timeout(WAIT_S):
            return await self.events.get()


def make_table(
    number: int, tasks: asyncio.TaskGroup, deliver: Callable[[Event], None]
) -> tuple[LinkTable, TcpTransport]:
    transport = TcpTransport(get_key(number), NETWORK)
    table = LinkTable(
        own=get_id(number),
        network_id=NETWORK,
        transport=transport,
        verifier=RememberingVerifier(LibsodiumVerifier()),
        clock=MonotonicClock(),
        tasks=tasks,
        deliver=deliver,
        tell=lambda _: None,
        on_stream=lambda _, stream: None,
        is_open=True,
    )
    return table, transport


async def test_each_dial_is_answered_by_the_address_it_was_made_with() -> None:
    here, there = Teller(), Teller()
    async with asyncio.TaskGroup() as tasks:
        table, transport = make_table(1, tasks, here.events.put_nowait)
        other, other_transport = make_table(2, tasks, there.events.put_nowait)
        bound = await other_transport.listen("127.0.0.1:0", other.adopt)
        name = bound.replace("127.0.0.1", "localhost")

        table.dial(name, None)
        assert await here.get() == LinkOpened(get_id(2), name, is_dialled=True)
        assert isinstance(await there.get(), LinkOpened)

        # Under another address it is found again: no new link for the peer, but an answer.
        table.dial(bound, None)
        again = await here.get()
        assert isinstance(again, DialFailed)
        assert (again.address, again.peer) == (bound, get_id(2))
        assert table.get(get_id(2)) is not None

        table.end()
        assert isinstance(await here.get(), LinkClosed)
        assert isinstance(await there.get(), LinkClosed)
        await transport.close()
        await other_transport.close()


async def test_the_end_waits_for_no_dial() -> None:
    arrived = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    told = Teller()
    async with silent, asyncio.timeout(WAIT_S):
        async with asyncio.TaskGroup() as tasks:
            table, transport = make_table(1, tasks, told.events.put_nowait)
            table.dial(f"{host}:{port}", None)
            await arrived.wait()
            table.end()
        await transport.close()
    assert told.events.empty()
