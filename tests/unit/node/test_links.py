"""The table of links answers each dial, ends at once, and says why two nodes do not get on.

Two real tables over TCP in this process; what they tell the peer is written down.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.joined_links import NETWORK, get_id, get_key
from tests.unit.core.desk import summary
from wwwserve.adapters.host import LibsodiumVerifier, MonotonicClock
from wwwserve.adapters.transports import TcpTransport
from wwwserve.core.events import DialFailed, EnvelopeReceived, Event, LinkClosed, LinkOpened
from wwwserve.core.facts import Fact, PeerRefused
from wwwserve.node.links import LinkTable
from wwwserve.node.strangers import STRANGERS_MAX, TOLD_AGAIN_US, Strangers
from wwwserve.node.verifying import RememberingVerifier
from wwwserve.ports.transport import CloseReason, LinkEnded, ResetCode
from wwwserve.values.moments import Moment
from wwwserve.wire import Probe, Quote

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
    number: int,
    tasks: asyncio.TaskGroup,
    deliver: Callable[[Event], None],
    *,
    tell: Callable[[Fact], None] = lambda _: None,
    versions: tuple[int, int] = (1, 1),
) -> tuple[LinkTable, TcpTransport]:
    transport = TcpTransport(get_key(number), NETWORK, versions=versions)
    table = LinkTable(
        own=get_id(number),
        network_id=NETWORK,
        transport=transport,
        verifier=RememberingVerifier(LibsodiumVerifier()),
        clock=MonotonicClock(),
        tasks=tasks,
        deliver=deliver,
        tell=tell,
        on_stream=lambda _, stream: None,
        is_open=True,
    )
    return table, transport


def is_message(event: Event, kind: type[Probe | Quote]) -> bool:
    return isinstance(event, EnvelopeReceived) and isinstance(event.envelope.message, kind)


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


async def test_of_two_that_speak_no_common_version_both_operators_are_told_once() -> None:
    here, there = Teller(), Teller()
    facts: tuple[list[Fact], list[Fact]] = ([], [])
    async with asyncio.TaskGroup() as tasks:
        table, transport = make_table(1, tasks, here.events.put_nowait, tell=facts[0].append)
        other, other_transport = make_table(
            2, tasks, there.events.put_nowait, tell=facts[1].append, versions=(2, 3)
        )
        bound = await other_transport.listen("127.0.0.1:0", other.adopt, other.on_refused)
        for _ in range(3):
            table.dial(bound, get_id(2))
            failed = await here.get()
            assert isinstance(failed, DialFailed)
            assert "protocol versions" in failed.detail
        await transport.close()
        await other_transport.close()
    for told, peer in zip(facts, (get_id(2), get_id(1)), strict=True):
        (fact,) = told
        assert isinstance(fact, PeerRefused)
        assert (fact.peer, fact.rule) == (peer, "link-version")
    assert there.events.empty()


async def test_a_link_is_shed_only_when_nothing_runs_on_it_and_the_peer_knows_why() -> None:
    here, there = Teller(), Teller()
    async with asyncio.TaskGroup() as tasks:
        table, transport = make_table(1, tasks, here.events.put_nowait)
        other, other_transport = make_table(2, tasks, there.events.put_nowait)
        bound = await other_transport.listen("127.0.0.1:0", other.adopt)
        table.dial(bound, None)
        assert isinstance(await here.get(), LinkOpened)
        assert isinstance(await there.get(), LinkOpened)
        link = table.get(get_id(2))
        assert link is not None
        stream = link.open_stream()
        table.shed(get_id(2))
        assert table.get(get_id(2)) is link
        stream.reset(ResetCode.CANCELLED)
        table.shed(get_id(2))
        assert await here.get() == LinkClosed(get_id(2), "full", is_shed=True)
        assert await there.get() == LinkClosed(get_id(1), "full", is_shed=True)
        table.shed(get_id(2))
        await transport.close()
        await other_transport.close()


async def test_a_quote_that_nobody_asked_for_is_not_looked_at() -> None:
    here, there = Teller(), Teller()
    checked: list[int] = []
    async with asyncio.TaskGroup() as tasks:
        table, transport = make_table(1, tasks, here.events.put_nowait)
        table.check_quote = lambda _, quote: checked.append(quote.probe)
        other, other_transport = make_table(2, tasks, there.events.put_nowait)
        bound = await other_transport.listen("127.0.0.1:0", other.adopt)
        table.dial(bound, None)
        assert isinstance(await here.get(), LinkOpened)
        assert isinstance(await there.get(), LinkOpened)
        for number in range(100):
            assert other.send(get_id(1), Quote(number, decline=None))
        # What comes first behind them is not one of them.
        assert other.send(get_id(1), Probe(100, summary()))
        assert is_message(await here.get(), Probe)
        assert table.send(get_id(2), Probe(200, summary()))
        assert is_message(await there.get(), Probe)
        for number in (200, 201):
            assert other.send(get_id(1), Quote(number, decline=None))
        assert other.send(get_id(1), Probe(300, summary()))
        assert is_message(await here.get(), Quote)
        assert is_message(await here.get(), Probe)
        assert checked == [200]
        table.end()
        await transport.close()
        await other_transport.close()


def test_a_crowd_that_cannot_be_talked_to_is_told_of_in_part() -> None:
    strangers = Strangers()
    ended = [LinkEnded(CloseReason.VERSION, "other", get_id(number)) for number in range(1, 101)]
    now = Moment(0)
    assert sum(strangers.note(one, now) is not None for one in ended) == STRANGERS_MAX
    later = Moment(TOLD_AGAIN_US)
    assert strangers.note(ended[0], later) is not None
    assert strangers.note(LinkEnded(CloseReason.LOST, "gone", get_id(200)), later) is None
    assert strangers.note(LinkEnded(CloseReason.VERSION, "nobody"), later) is None
