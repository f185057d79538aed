"""Kills, cuts, silence and cancels at random moments of paid streams: losses stay within bounds.

The money checker counts for itself what each side gave and got, the ledger checker adds up every
block, and after healing all holds must settle. The first tests show each of the money checker's
rules something it must stop; the last runs whole drawn networks under them.
"""

import itertools
import os
from collections.abc import Iterator

import pytest

from wwwserve.core.effects import Persist, Report, StartRemote
from wwwserve.core.events import Persisted
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger_facts import Ending, HoldSettled
from wwwserve.core.paying import AHEAD, HoldTerms, PayerTerms
from wwwserve.core.peer import Peer
from wwwserve.core.sessions import Role, SessionId
from wwwserve.core.wallet.places import KeptPreimage, feed_place, kept_place
from wwwserve.sim import Verdict, run_fuzz
from wwwserve.sim.checkers import Violation
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.fuzz import create_fuzz_scenario
from wwwserve.sim.hosts import Host
from wwwserve.sim.keys import PretendSigner
from wwwserve.sim.money_checker import MoneyChecker, PaidStream
from wwwserve.sim.plans import Fault, LedgerPlan, NodePlan, Scenario, WorkloadPlan
from wwwserve.values.ids import RequestId
from wwwserve.values.moments import SECOND
from wwwserve.wire import OFFER_VERSION, Endpoint, Offer, RequestSummary, encode
from wwwserve.wire.ledger import NO_DIGEST, Leave, seal_feed

SEEDS = 200 if os.environ.get("WWWSERVE_NIGHT") else 12
FIRST, UNIT, UNIT_TOKENS = 100, 10, 32
HOLD_ID = b"h" * 32


def make_scenario(*faults: Fault, load_permille: int = 0) -> Scenario:
    return Scenario(
        name="paid",
        nodes={"payer": NodePlan(share=1), "payee": NodePlan()},
        ledger=LedgerPlan(),
        faults=faults,
        workload=WorkloadPlan(load_permille=load_permille, network_permille=1_000),
    )


class Stage:
    """A checker that hears of one stream between two hosts that do nothing by themselves."""

    def __init__(self, lead_units: int = 2) -> None:
        cluster = Cluster(make_scenario(), 1, strategy="wwwserve", create_core=Peer)
        self.payer, self.payee = cluster.hosts.values()
        self.checker: MoneyChecker = cluster.money_checker
        self.terms = HoldTerms(
            hold_id=HOLD_ID,
            payer=self.payer.node_id,
            payee=self.payee.node_id,
            first=FIRST,
            unit=UNIT,
            units_max=64,
            unit_tokens=UNIT_TOKENS,
            anchor=bytes(32),
            lead_units=lead_units,
        )
        for host in cluster.hosts.values():
            self.checker.on_birth(host)
        self.checker.on_effect(self.payer, self._make_start())

    @property
    def stream(self) -> PaidStream:
        return self.checker.get_stream(HOLD_ID)

    def _make_start(self) -> StartRemote:
        request = RequestId(b"r" * 16)
        summary = RequestSummary(
            request=request,
            endpoint=Endpoint.CHAT,
            models=("m",),
            prompt_tokens=1,
            completion_tokens_max=1,
            body_bytes=1,
        )
        return StartRemote(
            session=SessionId(Role.ORIGIN, 1),
            request=request,
            peer=self.payee.node_id,
            offer=Offer(OFFER_VERSION, summary, 1, "m"),
            accept_wait_us=SECOND,
            payment=PayerTerms(self.terms, b"", b""),
        )

    def write(self, host: Host, key: bytes, value: bytes) -> None:
        """A wallet writes, and its disk acknowledges it."""
        self.checker.on_effect(host, Persist(Lane.FEED, 1, ((key, value),)))
        self.checker.on_event(host, Persisted(Lane.FEED, 1))

    def settle(self, host: Host, paid: int) -> None:
        """A host's log has settled the hold."""
        terms = self.terms
        fact = HoldSettled(HOLD_ID, terms.payer, terms.payee, paid, 0, Ending.CLAIMED)
        self.checker.on_effect(host, Report(fact))


def test_a_payer_that_pays_for_more_than_arrived_is_caught() -> None:
    stage = Stage()
    stage.stream.note_arrived(2 * UNIT_TOKENS)
    stage.stream.note_released(stage.terms, 4)
    with pytest.raises(Violation, match="payer-bound"):
        stage.stream.note_released(stage.terms, 15)


@pytest.mark.parametrize(
    ("lead_units", "good_tokens", "bad_tokens"),
    [(2, 3 * UNIT_TOKENS, 4 * UNIT_TOKENS), (AHEAD, 0, UNIT_TOKENS)],
)
def test_a_payee_that_goes_on_unpaid_is_caught(
    lead_units: int, good_tokens: int, bad_tokens: int
) -> None:
    stage = Stage(lead_units)
    if lead_units == AHEAD:
        with pytest.raises(Violation, match="payee-bound"):
            stage.stream.note_sent(stage.payee, 0)
        stage.stream.note_taken(stage.terms, 1)
    stage.stream.note_sent(stage.payee, good_tokens)
    with pytest.raises(Violation, match="payee-bound"):
        stage.stream.note_sent(stage.payee, bad_tokens)


def test_a_hold_that_pays_more_than_was_released_is_caught() -> None:
    stage = Stage()
    stage.stream.note_released(stage.terms, 1)
    stage.settle(stage.payer, FIRST)
    with pytest.raises(Violation, match="paid-as-released"):
        stage.settle(stage.payer, FIRST + UNIT)


def test_a_hold_that_pays_less_than_its_payee_has_on_disk_is_caught() -> None:
    stage = Stage()
    stage.write(stage.payee, kept_place(HOLD_ID), encode(KeptPreimage(2, bytes(32), 0, 0)))
    stage.settle(stage.payee, FIRST + UNIT)
    with pytest.raises(Violation, match="paid-as-kept"):
        stage.settle(stage.payee, FIRST)


def test_a_wallet_that_signs_a_number_twice_is_caught() -> None:
    stage = Stage()

    def sign(until_ms: int) -> bytes:
        return encode(
            seal_feed(
                (Leave(),),
                seq=1,
                previous=NO_DIGEST,
                valid_until_ms=until_ms,
                signer=PretendSigner(b"s", "payer"),
                network_id=bytes(32),
            )
        )

    stage.write(stage.payer, feed_place(1), sign(5))
    stage.write(stage.payer, feed_place(1), sign(5))
    with pytest.raises(Violation, match="own-fork"):
        stage.write(stage.payer, feed_place(1), sign(6))


def test_a_payer_falls_silent_in_the_middle_and_is_served_no_further() -> None:
    # Silence is no lie: the same host pays before and after it, and all of it adds up.
    scenario = make_scenario(
        Fault(at_us=20 * SECOND, kind="withhold", node="payer", for_us=20 * SECOND),
        load_permille=500,
    )
    cluster = Cluster(scenario, 1, strategy="wwwserve", create_core=Peer)
    cluster.start()
    served: list[int] = []
    for moment_us in (20 * SECOND, 40 * SECOND, 80 * SECOND):
        cluster.run_until(moment_us)
        ended = [one for one in cluster.requests.values() if one.executor is not None]
        served.append(len(ended))
    assert served[0] < served[1] <= served[2]
    unpaid = [one for one in cluster.requests.values() if one.error is not None]
    assert unpaid, "some broke off unpaid"


def list_paid_seeds() -> Iterator[int]:
    """The seeds whose networks pay, in order."""
    return (seed for seed in itertools.count(1) if create_fuzz_scenario(seed).ledger is not None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", list(itertools.islice(list_paid_seeds(), SEEDS)))
def test_whatever_happens_to_paid_streams_money_adds_up_and_bounds_hold(seed: int) -> None:
    result = run_fuzz(seed)
    assert result.verdict is Verdict.OK, (
        f"{result.detail}\nrepeat it with: wwwserve sim replay {seed}"
    )
