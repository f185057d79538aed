"""What a member can do to the log of real nodes: buy room in it, and nothing else.

A stranger with an account floods the log, with words that count and with words that do not, while
another node's requests are paid in it; and one that signed two words of one number is fined for it.
"""

import asyncio
from pathlib import Path

import pytest

from tests.integration.paid_market import FEE, Market, Stake, open_market
from tests.integration.paid_stranger import PaidStranger, make_body
from tests.integration.world import read_all, submit, wait_until
from wwwserve.core.chain.admission import ACCOUNT_WAITING_MAX
from wwwserve.core.sessions import Route
from wwwserve.values.credits import CREDIT
from wwwserve.wire import encode
from wwwserve.wire.ledger import Evidence, EvidenceKind, SealedFeed, Transfer, seal_feed

pytestmark = pytest.mark.slow

SPAMMER = 99
BEGUN = 50 * CREDIT
ROUNDS = 6


async def spam(stranger: PaidStranger, market: Market) -> int:
    """As many of the smallest feed blocks as wait at once, for some blocks; how many counted."""
    gift = Transfer(market.nodes[0].handle.node_id, 1)
    for _ in range(ROUNDS):
        account, ledger = market.find(stranger.node_id), market.ledger
        previous, until_ms = account.head, ledger.time_ms + ledger.parameters.feed_life_ms
        for seq in range(account.seq + 1, account.seq + 1 + 2 * ACCOUNT_WAITING_MAX):
            feed = seal_feed(
                (gift,),
                seq=seq,
                previous=previous,
                valid_until_ms=until_ms,
                signer=stranger.key,
                network_id=stranger.network_id,
            )
            previous = feed.compute_id()
            stranger.tell(feed)
        await market.wait_block()
        await market.wait_block()
    return market.find(stranger.node_id).seq


async def test_tiny_feed_blocks_are_bought_one_by_one_and_nobody_waits(tmp_path: Path) -> None:
    # T10.
    async with open_market(tmp_path, {SPAMMER: Stake(BEGUN)}, nodes=2) as market:
        stranger = PaidStranger(market, SPAMMER)
        await stranger.meet(market.nodes[0])
        spamming = asyncio.create_task(spam(stranger, market))
        replies = [submit(market.nodes[1], route=Route.NETWORK, tokens=100) for _ in range(4)]
        for reply in replies:
            assert (await read_all(reply)).count(b'"content":"') >= 100
        counted = await spamming
        await market.settle(stranger.node_id)
        assert ROUNDS * ACCOUNT_WAITING_MAX <= counted <= 2 * ROUNDS * ACCOUNT_WAITING_MAX
        assert market.get_gain(stranger.node_id) == -counted * (FEE + 1)
        costs = sum(reply.info.cost or 0 for reply in replies)
        assert sum(market.get_earned()) == costs + counted, "with a micro-credit of each gift"
        await stranger.leave()


async def test_words_that_would_be_void_are_kept_by_nobody(tmp_path: Path) -> None:
    # T10 and T2: late, early, of another number, of no account, or after another word.
    async with open_market(tmp_path, {SPAMMER: Stake(BEGUN)}) as market:
        stranger = PaidStranger(market, SPAMMER)
        await stranger.meet(market.nodes[0])
        gift = Transfer(market.nodes[0].handle.node_id, 1)
        nobody = PaidStranger(market, 77)
        account, ledger = market.find(stranger.node_id), market.ledger
        life_ms = ledger.parameters.feed_life_ms

        def seal(by: PaidStranger, seq: int, previous: bytes, until_ms: int) -> SealedFeed:
            return seal_feed(
                (gift,),
                seq=seq,
                previous=previous,
                valid_until_ms=until_ms,
                signer=by.key,
                network_id=market.network_id,
            )

        until_ms = ledger.time_ms + life_ms
        await market.wait_block()
        for _ in range(20):
            stranger.tell(seal(stranger, 1, b"another word".ljust(32), until_ms))
            stranger.tell(seal(stranger, 1, account.head, 0))
            stranger.tell(seal(stranger, 1, account.head, until_ms + 10 * life_ms))
            stranger.tell(seal(stranger, 2, account.head, until_ms))
            stranger.tell(seal(stranger, 2**40, account.head, until_ms))
            stranger.tell(seal(nobody, 1, bytes(32), until_ms))
        await market.settle()
        (totals,) = market.audit(tmp_path)
        assert (totals.feeds, totals.feeds_void) == (0, 0)
        assert market.get_gain(stranger.node_id) == 0
        await stranger.leave()


async def test_two_words_of_one_number_cost_more_than_a_victim_lost(tmp_path: Path) -> None:
    # T1: what its victim has of a double spend is proof, and its owner can act on it.
    body = make_body(tokens=100)
    async with open_market(tmp_path, {SPAMMER: Stake(BEGUN, 2)}) as market:
        stranger = PaidStranger(market, SPAMMER)
        await stranger.meet(market.nodes[0])
        pledge = stranger.pledge(await stranger.ask(body), body)
        spent = stranger.sign(Transfer(market.nodes[0].handle.node_id, 1))
        stranger.tell(spent)
        await wait_until(lambda: market.find(stranger.node_id).seq == 1)
        victim, parameters = market.nodes[0], market.ledger.parameters
        bond = market.find(stranger.node_id).bond
        before = market.find(victim.handle.node_id).avail
        proof = Evidence(
            EvidenceKind.FEED,
            encode(SealedFeed(spent.header, b"", spent.signature)),
            encode(pledge.feed),
        )
        await victim.handle.sign((proof,))
        await wait_until(lambda: market.find(stranger.node_id).bond < bond)
        await market.settle()
        assert bond - market.find(stranger.node_id).bond == parameters.fork_fine
        lost = min(pledge.hold.first + 3 * pledge.hold.unit, parameters.fork_fine // 2)
        # The victim orders the log here, so half of its own fee comes back to it.
        gained = market.find(victim.handle.node_id).avail - before
        assert gained == lost - FEE + FEE // 2
        await stranger.leave()
