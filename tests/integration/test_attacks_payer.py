"""Payers that cheat real nodes: what each can get, and what it costs whom, to the micro-credit.

A stranger with an account and good signatures takes what no honest payer would. Each test says who
is richer or poorer in the end; `docs/threats.md` has the table.
"""

import asyncio
from dataclasses import replace as dataclass_replace
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.integration.paid_market import FEE, Market, Stake, open_market
from tests.integration.paid_stranger import (
    PaidStranger,
    Taken,
    make_body,
    pay_ahead,
    pay_nothing,
)
from tests.integration.world import wait_until
from wwwserve.core.paying import AHEAD
from wwwserve.ports.transport import ResetCode
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Unit, encode
from wwwserve.wire.ledger import FeedHeader, HoldFlag, Transfer

pytestmark = pytest.mark.slow

POOR, SEATED, OTHER = 99, 98, 97
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group in which keys are."""
ELSEWHERE = b"another ledger, the same keys".ljust(32)
NEUTRAL = b"\x01" + bytes(31)
"""The point of order one, as a key."""
LONG = make_body(tokens=800, pace_us=2_500)
"""Two seconds of an engine's time, within one hold."""
SLOW = make_body(tokens=800, pace_us=8_000)
"""Over six: longer than an executor waits for a hold."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Executors that wait a fifth of a second for units, where none will come."""
    monkeypatch.setattr("wwwserve.node.streams.paying.PAYMENT_WAIT_US", 200_000)
    monkeypatch.setattr("wwwserve.node.streams.paying.FINAL_UNIT_WAIT_US", 200_000)


async def meet(market: Market, number: int) -> list[PaidStranger]:
    """One account, linked to each node by a link of its own."""
    crowd = [PaidStranger(market, number) for _ in market.nodes]
    for stranger, node in zip(crowd, market.nodes, strict=True):
        await stranger.meet(node)
    return crowd


async def leave(crowd: list[PaidStranger]) -> None:
    for stranger in crowd:
        await stranger.leave()


async def promise_all(crowd: list[PaidStranger], body: bytes) -> list[Taken]:
    """Sign one number for each node, and offer all at once."""
    quotes = [await stranger.ask(body) for stranger in crowd]
    pledges = [
        stranger.pledge(quote, body, n=index + 1)
        for index, (stranger, quote) in enumerate(zip(crowd, quotes, strict=True))
    ]
    return list(
        await asyncio.gather(
            *(
                stranger.run(pledge.frame, body, pay_ahead(pledge))
                for stranger, pledge in zip(crowd, pledges, strict=True)
            )
        )
    )


async def test_credits_promised_to_many_at_once_are_spent_once(tmp_path: Path) -> None:
    # T1, a payer without stake: those whose holds came to nothing show both words of its number.
    body = make_body(tokens=100)
    async with open_market(tmp_path, {POOR: Stake(4 * CREDIT)}, nodes=3) as market:
        crowd = await meet(market, POOR)
        taken = await promise_all(crowd, body)
        attacker = crowd[0].node_id
        await wait_until(lambda: market.ledger.find_account(attacker) is None)
        await market.settle()
        served = [one for one in taken if one.output]
        assert len(served) == 1, "the others have computed, and delivered nothing"
        assert [one.failure for one in taken if not one.output] == [FailureKind.UNPAID] * 2
        *cheated, paid = sorted(market.get_earned())
        assert cheated == [0, 0]
        assert paid > 0, "one was paid for its work"
        assert market.get_gain(attacker) == -4 * CREDIT, "and the fine took all that was left"
        gains = [market.get_gain(node.handle.node_id) for node in market.nodes]
        assert min(gains) >= -FEE, "at worst one paid to show what another had shown"
        await leave(crowd)


async def test_stake_covers_a_double_spend_once_at_each_executor(tmp_path: Path) -> None:
    # T1, a payer with seats: the first time something is delivered, the second time nothing, and
    # each time a fine is taken from its stake.
    async with open_market(tmp_path, {SEATED: Stake(50 * CREDIT, 2)}, nodes=3) as market:
        crowd = await meet(market, SEATED)
        bond, fine = market.find(crowd[0].node_id).bond, market.ledger.parameters.fork_fine
        first = await promise_all(crowd, LONG)
        assert all(one.output for one in first), "they took its stake for it"
        assert [one.failure for one in first].count(FailureKind.UNPAID) == 2
        assert sorted(one.tokens for one in first)[1] < 400, "and stopped when the log said so"
        await market.settle(crowd[0].node_id)
        second = await promise_all(crowd, LONG)
        await market.settle(crowd[0].node_id)
        cheated = [one for one, before in zip(second, first, strict=True) if before.failure]
        assert not any(one.output for one in cheated if one.failure)
        paid = -market.get_gain(crowd[0].node_id) - 2 * FEE
        assert sum(market.get_earned()) == paid
        await wait_until(lambda: market.find(crowd[0].node_id).bond == bond - 2 * fine)
        await leave(crowd)


async def test_a_hold_kept_back_from_the_log_pays_for_one_moment_once(tmp_path: Path) -> None:
    # T1, without a fork: the number before it is never signed, so the hold can never be final.
    async with open_market(tmp_path, {SEATED: Stake(50 * CREDIT, 2)}) as market:
        (stranger,) = await meet(market, SEATED)
        quote = await stranger.ask(SLOW)
        pledge = stranger.pledge(quote, SLOW, seq=1)
        taken = await stranger.run(pledge.frame, SLOW, pay_ahead(pledge))
        assert taken.failure is FailureKind.UNPAID
        assert 0 < taken.tokens < 800
        again = stranger.pledge(await stranger.ask(SLOW), SLOW, seq=1, n=2)
        taken = await stranger.run(again.frame, SLOW, pay_ahead(again))
        assert taken.failure is FailureKind.UNPAID
        assert not taken.output
        assert market.get_gain(stranger.node_id) == 0
        await leave([stranger])


async def test_a_hold_pays_once_whoever_shows_it_again(tmp_path: Path) -> None:
    # T2, on the same network.
    body = make_body(tokens=100)
    stakes = {SEATED: Stake(50 * CREDIT, 2), OTHER: Stake(50 * CREDIT, 2)}
    async with open_market(tmp_path, stakes) as market:
        (payer,), (thief,) = await meet(market, SEATED), await meet(market, OTHER)
        pledge = payer.pledge(await payer.ask(body), body)
        both = await asyncio.gather(
            payer.run(pledge.frame, body, pay_ahead(pledge)),
            payer.run(pledge.frame, body, pay_ahead(pledge)),
        )
        assert sorted(bool(one.output) for one in both) == [False, True]
        assert DeclineReason.UNPAID in {one.decline for one in both}
        stolen = await thief.run(pledge.frame, body, pay_ahead(pledge))
        assert stolen.reset is ResetCode.MALFORMED
        await market.settle(payer.node_id)
        late = await payer.run(pledge.frame, body, pay_ahead(pledge))
        assert late.decline is DeclineReason.UNPAID
        for _ in range(3):
            payer.tell(pledge.feed)
            thief.tell(pledge.feed)
        await market.settle(payer.node_id, thief.node_id)
        (earned,) = market.get_earned()
        assert market.get_gain(payer.node_id) == -earned - FEE
        assert market.get_gain(thief.node_id) == 0
        assert market.find(payer.node_id).seq == 1
        await leave([payer, thief])


async def test_words_of_another_network_are_nobodys(tmp_path: Path) -> None:
    # T2, across networks: the same keys, numbers and ops, signed for a ledger beside this one.
    body = make_body(tokens=100)
    async with open_market(tmp_path, {SEATED: Stake(50 * CREDIT, 2)}) as market:
        (payer,) = await meet(market, SEATED)
        pledge = payer.pledge(await payer.ask(body), body, network_id=ELSEWHERE)
        taken = await payer.run(pledge.frame, body, pay_ahead(pledge))
        assert taken.reset is ResetCode.MALFORMED
        payer.tell(pledge.feed)
        gift = Transfer(market.nodes[0].handle.node_id, CREDIT)
        payer.tell(payer.sign(gift, network_id=ELSEWHERE))
        await market.settle(payer.node_id)
        assert (market.get_gain(payer.node_id), market.find(payer.node_id).seq) == (0, 0)
        assert market.get_earned() == [0]
        await leave([payer])


async def test_weak_keys_and_twins_of_signatures_move_nothing(tmp_path: Path) -> None:
    # T3. Under the neutral point R = 1, S = 0 fit any message; S + order fits where S does.
    body = make_body(tokens=100)
    async with open_market(tmp_path, {SEATED: Stake(50 * CREDIT, 2)}) as market:
        (payer,) = await meet(market, SEATED)
        feed = payer.sign(Transfer(market.nodes[0].handle.node_id, CREDIT))
        scalar = int.from_bytes(feed.signature[32:], "little") + ORDER
        payer.tell(replace(feed, signature=feed.signature[:32] + scalar.to_bytes(32, "little")))
        stolen = feed.header.replace(payer.node_id, NEUTRAL)
        assert stolen != feed.header
        payer.tell(replace(feed, header=stolen, signature=NEUTRAL + bytes(32)))
        pledge = payer.pledge(await payer.ask(body), body)
        scalar = int.from_bytes(pledge.feed.signature[32:], "little") + ORDER
        twin = pledge.feed.signature[:32] + scalar.to_bytes(32, "little")
        spoilt = dataclass_replace(pledge, feed=replace(pledge.feed, signature=twin))
        taken = await payer.run(spoilt.frame, body, pay_ahead(spoilt))
        assert taken.reset is ResetCode.MALFORMED
        await market.settle(payer.node_id)
        assert market.find(payer.node_id).seq == 0
        payer.tell(payer.sign(Transfer(NEUTRAL, CREDIT)))
        await wait_until(lambda: market.find(payer.node_id).seq == 1)
        back = payer.sign(Transfer(payer.node_id, CREDIT // 2))
        header = msgspec.msgpack.decode(back.header, type=FeedHeader)
        seq = market.find(NodeId(NEUTRAL)).seq + 1
        forged = replace(header, account=NEUTRAL, seq=seq, previous=bytes(32))
        payer.tell(replace(back, header=encode(forged), signature=NEUTRAL + bytes(32)))
        await market.settle(payer.node_id)
        assert market.find(NodeId(NEUTRAL)).avail == CREDIT, "whoever gives to it gives it up"
        assert market.get_gain(payer.node_id) == -CREDIT - FEE
        await leave([payer])


@pytest.mark.usefixtures("impatient")
async def test_who_shows_no_unit_gets_the_lead_once_and_then_nothing(tmp_path: Path) -> None:
    # T4 and T6, a payer with a seat.
    body = make_body(tokens=800)
    async with open_market(tmp_path, {SEATED: Stake(50 * CREDIT, 2)}) as market:
        (payer,) = await meet(market, SEATED)
        quote = await payer.ask(body)
        assert quote.lead_units == market.ledger.parameters.lead_units
        pledge = payer.pledge(quote, body)
        taken = await payer.run(pledge.frame, body, pay_nothing)
        assert taken.failure is FailureKind.UNPAID
        unit = pledge.hold.unit_tokens
        assert 0 < taken.tokens <= 3 * unit, "what is lost: the first and three units"
        await market.settle(payer.node_id)
        quote = await payer.ask(body)
        assert quote.lead_units == AHEAD
        pledge = payer.pledge(quote, body)
        taken = await payer.run(pledge.frame, body, pay_nothing)
        assert taken.failure is FailureKind.UNPAID
        assert not taken.output
        await market.settle(payer.node_id)
        assert market.get_gain(payer.node_id) == -2 * FEE
        assert market.get_earned() == [0]
        await leave([payer])


@pytest.mark.usefixtures("impatient")
async def test_a_short_answer_is_taken_free_once(tmp_path: Path) -> None:
    # T6: over before its first unit is due.
    body = make_body(tokens=1)
    async with open_market(tmp_path, {SEATED: Stake(50 * CREDIT, 2)}) as market:
        (payer,) = await meet(market, SEATED)
        answers = []
        for _ in range(3):
            pledge = payer.pledge(await payer.ask(body), body)
            answers.append(await payer.run(pledge.frame, body, pay_nothing))
            await market.settle(payer.node_id)
        assert [one.tokens for one in answers] == [1, 0, 0]
        assert market.get_gain(payer.node_id) == -3 * FEE
        await leave([payer])


@pytest.mark.usefixtures("impatient")
async def test_a_stranger_that_pays_nothing_gets_nothing(tmp_path: Path) -> None:
    # T4 and T6, a payer without a seat.
    body = make_body(tokens=100)
    async with open_market(tmp_path, {POOR: Stake(4 * CREDIT)}) as market:
        (payer,) = await meet(market, POOR)
        pledge = payer.pledge(await payer.ask(body), body)
        taken = await payer.run(pledge.frame, body, pay_nothing)
        assert taken.failure is FailureKind.UNPAID
        assert not taken.output
        await market.settle(payer.node_id)
        assert market.get_gain(payer.node_id) == -FEE
        await leave([payer])


async def test_made_up_units_are_worth_what_was_shown_before_them(tmp_path: Path) -> None:
    # T4: a preimage that leads nowhere, once the first three are paid.
    async with open_market(tmp_path, {SEATED: Stake(50 * CREDIT, 2)}) as market:
        (payer,) = await meet(market, SEATED)
        pledge = payer.pledge(await payer.ask(LONG), LONG)
        good = pay_ahead(pledge)

        def pay(tokens: int) -> Unit | None:
            unit = good(tokens)
            return unit and (unit if unit.depth <= 3 else Unit(unit.depth, bytes(32)))

        taken = await payer.run(pledge.frame, LONG, pay)
        assert taken.reset is ResetCode.MALFORMED
        assert taken.tokens <= 3 * pledge.hold.unit_tokens
        await market.settle(payer.node_id)
        assert market.get_earned() == [pledge.compute_pay(3)]
        assert market.get_gain(payer.node_id) == -pledge.compute_pay(3) - FEE
        await leave([payer])


async def test_a_hold_for_less_than_was_quoted_is_not_worked_for(tmp_path: Path) -> None:
    # T8: nothing is delivered for it, and its credits are free again at once.
    body = make_body(tokens=100)
    async with open_market(tmp_path, {SEATED: Stake(50 * CREDIT, 2)}) as market:
        (payer,) = await meet(market, SEATED)
        quote = await payer.ask(body)
        for spoilt in (
            {"first": 1, "n": 3},
            {"unit": payer.pledge(quote, body).hold.unit - 1},
            {"quote_hash": bytes(32)},
            {"payee": payer.node_id},
            {"flags": int(HoldFlag.EXTENDS)},
            {"flags": int(HoldFlag.TAB)},
        ):
            pledge = payer.pledge(quote, body, **spoilt)
            taken = await payer.run(pledge.frame, body, pay_ahead(pledge))
            assert not taken.output
            assert taken.decline is DeclineReason.UNPAID or taken.reset is ResetCode.MALFORMED
        cheap = payer.pledge(quote, body, first=1, n=2)
        assert not (await payer.run(cheap.frame, body, pay_ahead(cheap))).output
        payer.tell(cheap.feed)
        await wait_until(lambda: market.find(payer.node_id).seq == 1)
        await market.settle(payer.node_id)
        assert market.get_earned() == [0]
        assert market.get_gain(payer.node_id) == -FEE, "what it locked was given back"
        await leave([payer])
