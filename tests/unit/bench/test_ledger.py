"""The traffic of `bench ledger` is what it says: every feed block counts, and no op is refused.

A few hundred feed blocks with real keys go through the bench's own host onto a real disk; what lies
there afterwards is a ledger that comes to the same state.
"""

from functools import partial
from pathlib import Path

import pytest

from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.adapters.storage import SqliteStore
from wwwserve.bench.ledger_host import LedgerHost
from wwwserve.bench.ledger_traffic import PAID, Traffic, make_crowd
from wwwserve.core.chain import begin_chain, load_chain
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger import FeedApplied, HoldSettled, Ledger, Transferred
from wwwserve.values.moments import SECOND
from wwwserve.wire.chain import read_feed_shape

FEEDS = 200


async def carry(traffic: Traffic, said: list[bytes], folder: Path) -> LedgerHost:
    store = SqliteStore(folder)
    host = LedgerHost(begin_chain(traffic.genesis), traffic.sequencer, store)
    await host.start()
    host.submit([traffic.opener.open(read_feed_shape(data)) for data in said])
    await host.close_block(SECOND)
    await store.close()
    return host


async def test_each_request_is_a_hold_and_a_claim_that_pays(tmp_path: Path) -> None:
    traffic = Traffic()
    host = await carry(traffic, traffic.make_requests(FEEDS), tmp_path)
    facts = host.told[0].facts
    assert sum(isinstance(fact, FeedApplied) for fact in facts) == FEEDS
    paid = [fact.paid for fact in facts if isinstance(fact, HoldSettled)]
    assert paid == [300_000 + (PAID - 1) * 80_000] * (FEEDS // 2)
    verifier = LibsodiumVerifier()
    read = partial(SqliteStore(tmp_path).read_range, Lane.CHAIN)
    found = load_chain(read, verifier, verifier)
    assert found is not None
    assert found.ledger.root == host.chain.ledger.root


@pytest.mark.parametrize("payments", [1, 16])
async def test_each_payment_is_made(tmp_path: Path, payments: int) -> None:
    traffic = Traffic()
    host = await carry(traffic, traffic.make_payments(FEEDS, payments), tmp_path)
    made = sum(isinstance(fact, Transferred) for fact in host.told[0].facts)
    assert made == FEEDS * payments


def test_a_crowd_is_a_state_that_goes_on() -> None:
    traffic = Traffic()
    ledger = Ledger.restore(make_crowd(traffic.genesis, 1_000))
    assert len(ledger.accounts) == 1_000
