"""What a payer pays, and what it does not: quotes weighed, holds sized, limits kept.

Real payments on both sides, real feed blocks and the real ledger.
"""

from msgspec.structs import replace

from tests.property.ledger_world import Anyone, name
from tests.property.payments_stream import (
    DIGEST,
    EXECUTOR,
    MODEL,
    OTHER,
    RICH,
    SEATED,
)
from tests.property.payments_world import Town
from tests.unit.core.payments.offers import (
    SUMMARY,
    WORK,
    offer,
    start,
)
from wwwserve.core.events import (
    HoldRunsOut,
    PaymentProgressed,
    SetPrices,
    StreamEnded,
)
from wwwserve.core.paying import Payable, PayOrder, Unpayable
from wwwserve.core.payments import (
    CountsDiffer,
    Prices,
    PriceTable,
)
from wwwserve.core.payments.counts import REQUESTS_COMPARED_MIN
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX
from wwwserve.values.moments import Moment
from wwwserve.wire import Quote, Usage
from wwwserve.wire.paying import (
    compute_request_commitment,
    open_quote,
    read_quote,
)


def test_a_hold_commits_to_the_request_and_its_quote() -> None:
    town = Town()
    hold = offer(town, SEATED)
    assert hold.hold.req_commit == compute_request_commitment(MODEL, hold.salt, DIGEST)
    another = offer(town, SEATED, number=2)
    assert another.hold.req_commit != hold.hold.req_commit
    quote = town.ask(EXECUTOR, SEATED)
    firm = open_quote(
        quote.payment, executor=name(EXECUTOR), verifier=Anyone(), network_id=town.network_id
    )
    assert firm == read_quote(quote.payment)


def weigh(town: Town, payer: int, quote: Quote, cost_max: int = MICROCREDITS_MAX) -> object:
    return town.nodes[payer].payments.weigh(name(EXECUTOR), quote, SUMMARY, cost_max)


def test_a_quote_is_weighed_by_what_the_request_will_cost() -> None:
    town = Town()
    quote = town.ask(EXECUTOR, SEATED)
    weighed = weigh(town, SEATED, quote)
    assert isinstance(weighed, Payable)
    assert CREDIT < weighed.expected < 2 * CREDIT
    short = weigh(town, SEATED, quote, cost_max=CREDIT // 10)
    assert isinstance(short, Unpayable)
    assert short.is_out_of_credits
    assert "0.1 cr can be spent" in short.detail
    town.nodes[SEATED].wallet.is_ready = False
    assert isinstance(weigh(town, SEATED, quote), Unpayable)


def test_quotes_nobody_should_pay_are_not_paid() -> None:
    town = Town()
    others = town.ask(EXECUTOR, RICH)
    assert isinstance(weigh(town, SEATED, others), Unpayable)
    renamed = replace(town.ask(EXECUTOR, SEATED), model="org/big")
    assert isinstance(weigh(town, SEATED, renamed), Unpayable)
    town.tell(EXECUTOR, SetPrices(PriceTable(Prices(10**13, 0))))
    dear = weigh(town, SEATED, town.ask(EXECUTOR, SEATED))
    assert isinstance(dear, Unpayable)
    assert not dear.is_out_of_credits
    assert isinstance(weigh(town, SEATED, Quote(1, decline=None, model=MODEL)), Unpayable)
    stale = town.ask(EXECUTOR, RICH)
    for _ in range(8):
        town.block(1_000)
    assert isinstance(weigh(town, RICH, stale), Unpayable)


def test_a_free_model_costs_a_microcredit() -> None:
    town = Town()
    town.tell(EXECUTOR, SetPrices(PriceTable(Prices(0, 0))))
    stream = start(town, SEATED)
    for _ in range(200):
        town.deliver(stream)
        town.arrive(stream)
        town.pay(stream)
    town.finish(stream)
    town.settle()
    assert stream.delivered == 199
    assert town.paid(stream) == 1


def test_credits_that_went_elsewhere_since_a_quote_was_weighed_open_no_hold() -> None:
    town = Town()
    quote = town.ask(EXECUTOR, SEATED)
    assert isinstance(weigh(town, SEATED, quote), Payable)
    town.nodes[SEATED].wallet.is_ready = False
    order = PayOrder(
        SessionId(Role.ORIGIN, 1), name(EXECUTOR), quote, SUMMARY, DIGEST, MICROCREDITS_MAX
    )
    assert town.nodes[SEATED].payments.pay(order, town.now) is None


def test_a_users_limit_is_the_most_all_holds_of_a_request_lock() -> None:
    town = Town()
    stream = start(town, SEATED)
    run = town.nodes[SEATED].payments._payer._runs[stream.run]  # noqa: SLF001
    run.order = replace(run.order, cost_max=2 * run.plan.locked)
    town.tell(SEATED, HoldRunsOut(stream.run, 500))
    assert not any(frame for frame in stream.frames if not hasattr(frame, "preimage"))


def test_news_of_sessions_that_are_not_paid_is_ignored() -> None:
    town = Town()
    for session in (WORK, SessionId(Role.ORIGIN, 1)):
        event = PaymentProgressed(session, b"h" * 32, 3, b"p" * 32, is_last=True)
        assert town.nodes[SEATED].payments.handle(event, town.now) == []


def test_an_executor_that_counts_more_tokens_than_another_is_told_of() -> None:
    town = Town()
    told: list[CountsDiffer] = []
    for executor, text_bytes in ((OTHER, 400), (EXECUTOR, 200)):
        stream = start(town, SEATED, executor)
        ended = StreamEnded(stream.run, Usage(100, 100), DIGEST, text_bytes)
        for _ in range(REQUESTS_COMPARED_MIN):
            effects = town.nodes[SEATED].payments.handle(ended, Moment(0))
            told += [effect for effect in effects if isinstance(effect, CountsDiffer)]
    assert [(one.executor, one.permille) for one in told] == [(name(EXECUTOR), 500)]
