"""Executors that cheat real nodes: what each can bill, and what it costs whom, to the micro-credit.

A stranger quotes what nobody can resist, takes what it is offered, and then works as little as it
likes. The user has an answer in the end, by another node or the own engine; `docs/threats.md` has
the table.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.paid_market import FEE, Market, Stake, open_market
from tests.integration.paid_stranger import PaidStranger
from tests.integration.stranger import MODEL, send
from tests.integration.world import read_all, submit, wait_until
from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.core.paying import AHEAD
from wwwserve.core.pricing import Prices
from wwwserve.core.sessions import Route
from wwwserve.ports.peer_handle import RequestFailed
from wwwserve.ports.transport import Stream, StreamEnded
from wwwserve.values.credits import CREDIT
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    Ended,
    Failed,
    Output,
    Unit,
    Usage,
    decode_frame,
)
from wwwserve.wire.ledger import Claim, Close, FeedOpener, Final, Hold, HoldAccept
from wwwserve.wire.paying import (
    OpenedHold,
    compute_response_commitment,
    open_paid_offer,
    seal_payment,
)

pytestmark = pytest.mark.slow

CHEAT, THIEF = 99, 98
CHUNK = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Hi "}}]}\n\n'
DONE = b"data: [DONE]\n\n"
PRICE = 100 * CREDIT
"""Of a million tokens, prompt or completion: less than the node itself asks."""
DEADLINE_MS = 60_000


class Cheat(PaidStranger):
    """An executor that says what a test tells it to, and keeps what it is shown."""

    def __init__(self, market: Market, number: int = CHEAT) -> None:
        super().__init__(market, number)
        self.holds: list[OpenedHold] = []
        self.shown: list[Unit] = []
        verifier = LibsodiumVerifier()
        self._opener = FeedOpener(verifier, verifier, self.network_id, puzzle_memory_log2=1)

    async def begin(self, stream: Stream, hold_id: bytes = b"") -> OpenedHold:
        """Accept the newest offer, or say that it is another's."""
        assert self.link is not None
        payment = self.taken[-1].payment
        hold = open_paid_offer(payment, payer=self.link.peer, opener=self._opener)
        self.holds.append(hold)
        accept = HoldAccept(hold_id or hold.hold_id, DEADLINE_MS)
        sealed = seal_payment(accept, self.key, self.network_id)
        await send(stream, Accept(OFFER_VERSION, MODEL, sealed))
        return hold

    async def keep(self, stream: Stream, count: int) -> None:
        """Take units until so many came, or no more will."""
        with suppress(StreamEnded, TimeoutError):
            async with asyncio.timeout(1):
                while len(self.shown) < count and (data := await stream.receive()) is not None:
                    frame = decode_frame(data)
                    assert isinstance(frame, Unit)
                    self.shown.append(frame)

    async def wait_shown(self, depth: int) -> None:
        """Wait for a unit."""
        await wait_until(lambda: any(unit.depth == depth for unit in self.shown))

    async def end(self, stream: Stream, hold: OpenedHold, output: bytes, tokens: int) -> None:
        """Say all of an answer at once, with so many tokens stated, and wait for what is paid."""
        digest = hashlib.sha256(output).digest()
        final = Final(
            hold_id=hold.hold_id,
            depth=0,
            response_commit=compute_response_commitment(hold.salt, digest),
            prompt_tokens=1,
            completion_tokens=tokens,
        )
        word = seal_payment(final, self.key, self.network_id)
        await send(stream, Output(output), Ended(Usage(1, tokens), digest, word))
        stream.finish()
        await self.keep(stream, 64)

    async def claim(self, *, depth: int | None = None) -> None:
        """Claim the newest hold: as deep as it was shown, if nothing else is said."""
        hold, shown = self.holds[-1], self.shown[-1] if self.shown else None
        preimage = shown.preimage if shown else hold.hold.anchor
        depth = (shown.depth if shown else 0) if depth is None else depth
        await wait_until(lambda: self.market.ledger.find_hold(hold.hold_id) is not None)
        seq = self.market.find(self.node_id).seq
        self.tell(self.sign(Claim(hold.hold_id, depth, preimage)))
        await wait_until(lambda: self.market.find(self.node_id).seq > seq)


def make_output(tokens: int = 100) -> bytes:
    """An answer of so many tokens, three bytes each."""
    return tokens * CHUNK + DONE


def compute_pay(hold: Hold, depth: int) -> int:
    return hold.first + (depth - 1) * hold.unit if depth else 0


@asynccontextmanager
async def open_trap(folder: Path, *, seats: int = 2) -> AsyncIterator[tuple[Market, Cheat]]:
    """One real node, and a cheat whose quotes it cannot resist."""
    stakes = {CHEAT: Stake(50 * CREDIT, seats), THIEF: Stake(50 * CREDIT, 2)}
    async with open_market(folder, stakes) as market:
        cheat = Cheat(market)
        cheat.prices = Prices(PRICE, PRICE)
        await cheat.meet(market.nodes[0])
        yield market, cheat
        await cheat.leave()


async def fail(market: Market) -> int:
    """A user's request that nobody answers; what it cost."""
    reply = submit(market.nodes[0], route=Route.NETWORK)
    with pytest.raises(RequestFailed):
        await read_all(reply)
    return reply.info.cost or 0


async def test_who_does_nothing_claims_nothing(tmp_path: Path) -> None:
    async with open_trap(tmp_path) as (market, cheat):

        async def execute(stream: Stream) -> None:
            await cheat.begin(stream)
            await send(stream, Failed(FailureKind.BROKEN))
            stream.finish()

        cheat.execute = execute
        assert await fail(market) == 0
        for depth in (1, 2, cheat.holds[-1].hold.units_max):
            await cheat.claim(depth=depth)
        await cheat.claim()
        await market.settle()
        assert market.get_gain(cheat.node_id) == -4 * FEE
        assert market.get_gain(market.nodes[0].handle.node_id) >= -FEE


async def test_who_is_paid_ahead_and_does_nothing_has_the_first_and_a_unit(tmp_path: Path) -> None:
    # T5: the bound of a payer's loss.
    async with open_trap(tmp_path) as (market, cheat):
        cheat.lead_units = AHEAD

        async def execute(stream: Stream) -> None:
            await cheat.begin(stream)
            await cheat.keep(stream, 64)
            await send(stream, Failed(FailureKind.BROKEN))
            stream.finish()

        cheat.execute = execute
        cost = await fail(market)
        hold = cheat.holds[-1].hold
        assert [unit.depth for unit in cheat.shown] == [2]
        assert cost == hold.first + hold.unit
        await cheat.claim(depth=3)
        await cheat.claim()
        await market.settle()
        assert market.get_gain(cheat.node_id) == cost - 2 * FEE


async def test_who_has_no_seat_is_not_paid_ahead(tmp_path: Path) -> None:
    # T5: or a new key would take the first and a unit of each payer, for nothing.
    async with open_trap(tmp_path, seats=0) as (market, cheat):
        cheat.lead_units = AHEAD
        assert await fail(market) == 0
        assert not cheat.taken


@pytest.mark.parametrize(("stated", "depth"), [(10**6, 6), (100, 3)])
async def test_who_states_more_tokens_is_paid_for_no_more_than_its_text_has_bytes(
    tmp_path: Path, stated: int, depth: int
) -> None:
    # T5. A hundred tokens: of 64 a unit, a half counts as one; three bytes each.
    output = make_output()
    async with open_trap(tmp_path) as (market, cheat):

        async def execute(stream: Stream) -> None:
            await cheat.end(stream, await cheat.begin(stream), output, stated)

        cheat.execute = execute
        reply = submit(market.nodes[0], route=Route.NETWORK)
        assert (await read_all(reply)).count(b"Hi ") == 100
        hold = cheat.holds[-1].hold
        assert hold.unit_tokens == 64
        assert reply.info.cost == compute_pay(hold, depth)
        await cheat.wait_shown(depth)
        await cheat.claim()
        await market.settle()
        assert market.get_gain(cheat.node_id) == compute_pay(hold, depth) - FEE


@pytest.mark.parametrize("kind", ["unsigned", "another's answer", "another hold"])
async def test_who_forges_its_result_loses_the_last_unit(tmp_path: Path, kind: str) -> None:
    # The answer is whole, and what signs for it is not.
    output = make_output()
    async with open_trap(tmp_path) as (market, cheat):

        async def execute(stream: Stream) -> None:
            hold = await cheat.begin(stream)
            digest = hashlib.sha256(output).digest()
            told = hashlib.sha256(b"another answer").digest() if kind.endswith("answer") else digest
            hold_id = bytes(32) if kind == "another hold" else hold.hold_id
            commitment = compute_response_commitment(hold.salt, told)
            word = seal_payment(Final(hold_id, 0, commitment, 1, 100), cheat.key, cheat.network_id)
            word = b"" if kind == "unsigned" else word
            await send(stream, Output(output), Ended(Usage(1, 100), digest, word))
            stream.finish()
            await cheat.keep(stream, 64)

        cheat.execute = execute
        reply = submit(market.nodes[0], route=Route.NETWORK)
        assert (await read_all(reply)).count(b"Hi ") == 100
        assert reply.info.cost == compute_pay(cheat.holds[-1].hold, 2), "and not 3"
        await cheat.wait_shown(2)
        await cheat.claim()
        await market.settle()
        assert market.get_gain(cheat.node_id) == reply.info.cost - FEE


async def test_an_answer_that_is_not_what_was_sent_is_not_paid_to_the_end(tmp_path: Path) -> None:
    async with open_trap(tmp_path) as (market, cheat):

        async def execute(stream: Stream) -> None:
            await cheat.begin(stream)
            await send(stream, Output(make_output()), Ended(Usage(1, 100), bytes(32)))
            stream.finish()
            await cheat.keep(stream, 64)

        cheat.execute = execute
        cost = await fail(market)
        assert cost == compute_pay(cheat.holds[-1].hold, 2), "and not 3"
        await cheat.wait_shown(2)
        await cheat.claim()
        await market.settle()
        assert market.get_gain(cheat.node_id) == cost - FEE


async def test_an_accept_for_another_hold_is_paid_nothing(tmp_path: Path) -> None:
    async with open_trap(tmp_path) as (market, cheat):

        async def execute(stream: Stream) -> None:
            await cheat.begin(stream, hold_id=bytes(32))
            await cheat.keep(stream, 64)

        cheat.execute = execute
        assert await fail(market) == 0
        assert not cheat.shown
        await cheat.claim()
        await market.settle()
        assert market.get_gain(cheat.node_id) == -FEE


async def test_what_one_was_shown_is_worth_nothing_to_another(tmp_path: Path) -> None:
    # A thief has the preimages of somebody else's hold, as anybody has who reads its claim.
    output = make_output()
    async with open_trap(tmp_path) as (market, cheat):
        thief = PaidStranger(market, THIEF)
        await thief.meet(market.nodes[0])

        async def execute(stream: Stream) -> None:
            await cheat.end(stream, await cheat.begin(stream), output, 100)

        cheat.execute = execute
        reply = submit(market.nodes[0], route=Route.NETWORK)
        await read_all(reply)
        await cheat.wait_shown(3)
        hold, unit = cheat.holds[-1], cheat.shown[-1]
        await wait_until(lambda: market.ledger.find_hold(hold.hold_id) is not None)
        stolen = (hold.hold_id, unit.depth, unit.preimage)
        thief.tell(thief.sign(Claim(*stolen), Close(hold.hold_id, 0, hold.hold.anchor)))
        await wait_until(lambda: market.find(thief.node_id).seq == 1)
        await cheat.claim()
        await market.settle()
        assert market.get_gain(thief.node_id) == -2 * FEE
        assert market.get_gain(cheat.node_id) == compute_pay(hold.hold, 3) - FEE
        await thief.leave()
