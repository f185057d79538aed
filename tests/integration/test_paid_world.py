"""Real nodes of one process whose network has a ledger: answers move credits, to the micro-credit.

The first node orders the log. All have the same account at genesis, so that what one has more in
the end is what others paid it.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.integration.world import (
    World,
    get_node_key,
    get_text,
    open_world,
    read_all,
    submit,
    wait_until,
)
from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.sessions import Route
from wwwserve.core.snapshot import Snapshot, WalletView
from wwwserve.ports.peer_handle import RequestFailed
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import DEV_LEDGER
from wwwserve.values.parameters import MAIN, compute_network_id
from wwwserve.wire.ledger import (
    GENESIS_FORMAT,
    NO_DIGEST,
    Circulation,
    Door,
    Genesis,
    GenesisAccount,
    compute_genesis_held,
)

pytestmark = pytest.mark.slow

CREDITS_EACH = 1_000


def make_genesis(nodes: int = 3, *, seats: int = 2, credits_each: int = CREDITS_EACH) -> Genesis:
    """A ledger in which the first nodes of a world have accounts."""
    keys = [get_node_key(number + 1).node_id for number in range(nodes)]
    bare = Genesis(
        format=GENESIS_FORMAT,
        name="world",
        salt=NO_DIGEST,
        peer_parameters=compute_network_id(MAIN),
        parameters=DEV_LEDGER,
        sequencer=keys[0],
        circulation=Circulation.OPEN,
        doors=(Door.DEV,),
        supply=0,
        accounts=tuple(GenesisAccount(key, credits_each * CREDIT, seats) for key in keys),
    )
    return msgspec.structs.replace(bare, supply=compute_genesis_held(bare))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world(make_genesis()) as opened:
        yield opened


def look(world: World, index: int) -> Snapshot:
    return world.nodes[index].handle.get_snapshot()


def get_wallet(world: World, index: int) -> WalletView:
    wallet = look(world, index).wallet
    assert wallet is not None
    return wallet


async def settle(world: World) -> None:
    """Wait until nobody holds or claims anything, and all have the same log."""

    def is_quiet() -> bool:
        wallets = [get_wallet(world, index) for index in range(len(world.nodes))]
        heads = {
            ledger.head for node in range(len(world.nodes)) if (ledger := look(world, node).ledger)
        }
        return len(heads) == 1 and not any(
            wallet.held or wallet.claimable or wallet.waiting for wallet in wallets
        )

    async with asyncio.timeout(30):
        await wait_until(is_quiet)


async def start(world: World, count: int = 2) -> None:
    for _ in range(count):
        await world.add()
    await wait_until(lambda: all(get_wallet(world, one).is_ready for one in range(count)))


def get_fees(world: World) -> int:
    """What left all accounts for nobody: fees, and nothing else."""
    nodes = range(len(world.nodes))
    return sum(CREDITS_EACH * CREDIT - get_wallet(world, index).avail for index in nodes)


async def test_an_answer_moves_what_it_cost(world: World) -> None:
    # [REQUESTS-PAID.9] [REQUESTS-PAID.16]
    await start(world)
    payer = world.nodes[1]
    reply = submit(payer, route=Route.NETWORK, tokens=100)
    events = await read_all(reply)
    assert get_text(events.replace(b"\n\n: x-www", b"\n\nx-www"))
    cost = reply.info.cost
    assert cost is not None
    assert cost > 0
    await settle(world)
    fees = get_fees(world)
    assert 0 < fees < CREDIT // 100
    assert get_wallet(world, 0).earned == cost
    assert cost < CREDITS_EACH * CREDIT - get_wallet(world, 1).avail <= cost + fees + CREDIT // 100


async def test_a_local_answer_costs_nothing(world: World) -> None:
    await start(world)
    reply = submit(world.nodes[1], route=Route.LOCAL, tokens=100)
    await read_all(reply)
    assert reply.info.cost == 0
    assert get_wallet(world, 1).avail == CREDITS_EACH * CREDIT


async def test_a_user_who_leaves_pays_for_what_came(world: World) -> None:
    # [REQUESTS-PAID.9]
    await start(world)
    reply = submit(world.nodes[1], route=Route.NETWORK, tokens=10_000, pace_us=1_000)
    received = b""
    while received.count(b'"content"') < 150:
        received += await reply.read() or b""
    reply.cancel()
    await settle(world)
    assert reply.info.cost is not None
    assert 0 < get_wallet(world, 0).earned <= reply.info.cost


async def test_an_executor_that_breaks_off_is_paid_no_more_and_the_next_has_its_own_hold() -> None:
    # [REQUESTS-PAID.2]
    async with open_world(make_genesis()) as world:
        await world.add(fail="before")
        await world.add(tokens=40)
        await world.add()
        await wait_until(lambda: all(get_wallet(world, one).is_ready for one in range(3)))
        replies = [submit(world.nodes[2], route=Route.NETWORK) for _ in range(6)]
        await asyncio.gather(*(read_all(reply) for reply in replies))
        await settle(world)
        costs = sum(reply.info.cost or 0 for reply in replies)
        assert get_wallet(world, 0).earned == 0, "it answered nothing"
        assert get_wallet(world, 1).earned == costs


async def test_without_seats_an_answer_still_comes() -> None:
    # [REQUESTS-PAID.11]
    async with open_world(make_genesis(seats=0)) as world:
        await start(world)
        reply = submit(world.nodes[1], route=Route.NETWORK, tokens=100)
        await read_all(reply)
        await settle(world)
        assert get_wallet(world, 0).earned == reply.info.cost


async def test_out_of_credits_is_a_clear_error() -> None:
    # [REQUESTS-PAID.4]
    async with open_world(make_genesis(credits_each=1, seats=0)) as world:
        await world.add()
        await world.add()
        with pytest.raises(RequestFailed) as caught:
            await read_all(submit(world.nodes[1], route=Route.NETWORK))
        assert caught.value.code is RequestErrorCode.OUT_OF_CREDITS
        assert "other nodes would run it" in caught.value.detail
        assert await read_all(submit(world.nodes[1], route=Route.AUTO))


async def test_many_streams_at_once_are_each_paid(world: World) -> None:
    await start(world, 3)
    replies = [submit(world.nodes[2], route=Route.NETWORK, tokens=1_000) for _ in range(8)]
    answers = await asyncio.gather(*(read_all(reply) for reply in replies))
    assert all(answer.count(b'"content":"') >= 1_000 for answer in answers)
    await settle(world)
    costs = sum(reply.info.cost or 0 for reply in replies)
    assert sum(get_wallet(world, index).earned for index in (0, 1)) == costs
