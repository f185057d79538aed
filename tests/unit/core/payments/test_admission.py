"""Which holds an executor works for, when output may leave, and what ends a work.

The town of `tests.property.payments_world`: real payments on both sides, and the real ledger. Each
attack of a payer or executor is made by hand, with real feed blocks.
"""

from dataclasses import replace as replace_fields

import pytest
from msgspec.structs import replace

from tests.property.ledger_world import Anyone, Pen, name
from tests.property.payments_world import (
    DIGEST,
    EXECUTOR,
    MODEL,
    NEWCOMER,
    OTHER,
    RICH,
    SEATED,
    STRANGER,
    Stream,
    Town,
    make_summary,
)
from wwwserve.core.effects import ReleaseOutput, TakeExtension
from wwwserve.core.events import (
    DeadlineReached,
    ExtensionReceived,
    HoldRunsOut,
    PaymentProgressed,
    SetPrices,
    StreamFailed,
)
from wwwserve.core.paying import AHEAD, Payable, PayeeTerms, PayOrder, Unpayable, WorkUnpaid
from wwwserve.core.payments import (
    ClaimHold,
    HoldOver,
    KeepPreimage,
    OfferDeclined,
    Prices,
    PriceTable,
    SubmitHold,
)
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import MILLISECOND, NEVER, Moment
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Quote
from wwwserve.wire.ledger import FeedOpener, Hold, Transfer, seal_feed
from wwwserve.wire.paying import (
    OpenedHold,
    compute_request_commitment,
    open_accept,
    open_quote,
    read_quote,
)

SUMMARY = make_summary()
WORK = SessionId(Role.EXECUTOR, 1)
WAIT_MS = TINY_LEDGER.hold_wait_ms


def offer(town: Town, payer: int, executor: int = EXECUTOR, number: int = 1) -> OpenedHold:
    """A good hold, as it reaches its executor."""
    offered = town.offer(payer, executor, SUMMARY, number)
    assert not isinstance(offered, Unpayable)
    return offered[0]


def rewrite(town: Town, payer: int, hold: OpenedHold, **changes: object) -> OpenedHold:
    """The same offer with another hold in it, signed by the same payer at the same number."""
    op = replace(hold.hold, **changes)
    header = hold.opened.header
    feed = seal_feed(
        (op,),
        seq=header.seq,
        previous=header.previous,
        valid_until_ms=header.valid_until_ms,
        signer=Pen(name(payer)),
        network_id=town.network_id,
    )
    return replace_fields(hold, opened=town.opener.open(feed), hold=op)


def admit(town: Town, payer: int, hold: OpenedHold, number: int = 1) -> object:
    return town.admit(EXECUTOR, payer, SUMMARY, hold, number)


def start(town: Town, payer: int, executor: int = EXECUTOR) -> Stream:
    stream = town.start(payer, executor)
    assert stream is not None
    return stream


def why(town: Town, executor: int = EXECUTOR) -> list[str]:
    return town.nodes[executor].refused


# -- what is worked for --------------------------------------------------------------------------


def test_a_good_hold_is_worked_for_and_the_accept_is_signed() -> None:
    town = Town()
    hold = offer(town, SEATED)
    terms = admit(town, SEATED, hold)
    assert isinstance(terms, PayeeTerms)
    assert terms.terms.hold_id == hold.hold_id
    accept = open_accept(
        terms.accept, executor=name(EXECUTOR), verifier=Anyone(), network_id=town.network_id
    )
    assert accept.hold_id == hold.hold_id
    assert hold.opened.feed_id in town.pool


def test_an_offer_without_a_hold_is_not_worked_for() -> None:
    assert (
        Town().nodes[EXECUTOR].payments.admit(WORK, name(SEATED), SUMMARY, MODEL, None, Moment(0))
        is DeclineReason.UNPAID
    )


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"payee": name(OTHER)}, "hold-payee"),
        ({"quote_hash": b"q" * 32}, "hold-quote"),
        ({"first": 10}, "hold-first"),
        ({"unit": 10}, "hold-unit"),
        ({"units_max": 12}, "hold-units"),
        ({"units_max": 1}, "hold-units"),
        ({"unit_tokens": 48}, "hold-units"),
        ({"deadline_ms": 0}, "hold-deadline"),
        ({"deadline_ms": TINY_LEDGER.deadline_ms_max + 1}, "hold-deadline"),
        ({"seed_epoch": 9}, "hold-seed"),
        ({"flags": 2}, "hold-tab"),
        ({"flags": 4}, "hold-extends"),
        ({"first": 100 * CREDIT}, "hold-balance"),
    ],
)
def test_a_hold_that_pays_less_or_never_could_is_refused(
    changes: dict[str, object], rule: str
) -> None:
    town = Town()
    hold = rewrite(town, SEATED, offer(town, SEATED), **changes)
    assert admit(town, SEATED, hold) is DeclineReason.UNPAID
    assert why(town) == [rule]


def test_a_hold_for_another_nodes_quote_is_refused() -> None:
    town = Town()
    hold = offer(town, SEATED, OTHER)
    stolen = rewrite(town, SEATED, hold, payee=name(EXECUTOR))
    assert admit(town, SEATED, stolen) is DeclineReason.UNPAID
    assert why(town) == ["hold-quote"]


def test_a_quote_given_to_somebody_else_pays_nothing() -> None:
    town = Town()
    quoted = offer(town, RICH)
    hold = rewrite(town, SEATED, quoted)
    assert admit(town, SEATED, hold) is DeclineReason.UNPAID
    assert why(town) == ["hold-quote"]


def test_a_quote_for_another_model_pays_nothing() -> None:
    town = Town()
    hold = offer(town, SEATED)
    answer = town.nodes[EXECUTOR].payments.admit(
        WORK, name(SEATED), SUMMARY, ModelId("org/big"), hold, town.now
    )
    assert answer is DeclineReason.UNPAID


def test_a_quote_holds_for_its_time_whatever_is_asked_meanwhile() -> None:
    town = Town()
    hold = offer(town, SEATED)
    town.tell(EXECUTOR, SetPrices(PriceTable(Prices(10**12, 10**12))))
    assert isinstance(admit(town, SEATED, hold), PayeeTerms)
    late = Town()
    hold = offer(late, SEATED)
    for _ in range(8):
        late.block(1_000)
    assert admit(late, SEATED, hold) is DeclineReason.UNPAID
    assert why(late) == ["hold-quote"]


def test_a_hold_pays_once() -> None:
    town = Town()
    hold = offer(town, SEATED)
    assert isinstance(admit(town, SEATED, hold), PayeeTerms)
    assert admit(town, SEATED, hold, 2) is DeclineReason.UNPAID
    town.block()
    assert admit(town, SEATED, hold, 3) is DeclineReason.UNPAID
    assert why(town) == ["hold-again", "hold-seq"]


def test_a_hold_of_another_network_does_not_open() -> None:
    town = Town()
    hold = offer(town, SEATED)
    verifier = Anyone()
    opener = FeedOpener(verifier, verifier, b"n" * 32, puzzle_memory_log2=1)
    with pytest.raises(Exception, match="feed-signature"):
        opener.open(hold.opened.signed.sealed)


def test_two_holds_of_one_number_in_one_feed_block_are_refused() -> None:
    town = Town()
    hold = offer(town, SEATED)
    header = hold.opened.header
    elsewhere = replace(hold.hold, payee=name(OTHER))
    feed = seal_feed(
        (elsewhere, hold.hold),
        seq=header.seq,
        previous=header.previous,
        valid_until_ms=header.valid_until_ms,
        signer=Pen(name(SEATED)),
        network_id=town.network_id,
    )
    twin = replace_fields(hold, opened=town.opener.open(feed))
    assert admit(town, SEATED, twin) is DeclineReason.UNPAID
    assert why(town) == ["hold-number"]


def test_all_holds_of_a_payer_that_are_not_final_count_against_its_credits() -> None:
    town = Town()
    hold = offer(town, STRANGER)
    much = rewrite(town, STRANGER, hold, first=30 * CREDIT)
    assert isinstance(admit(town, STRANGER, much), PayeeTerms)
    header = hold.opened.header
    second = seal_feed(
        (replace(hold.hold, n=99, first=15 * CREDIT),),
        seq=header.seq + 1,
        previous=much.opened.feed_id,
        valid_until_ms=header.valid_until_ms,
        signer=Pen(name(STRANGER)),
        network_id=town.network_id,
    )
    opened = town.opener.open(second)
    op = opened.ops[0]
    assert isinstance(op, Hold)
    more = replace_fields(hold, opened=opened, hold=op, hold_id=b"m" * 32)
    assert admit(town, STRANGER, more, 2) is DeclineReason.UNPAID
    assert why(town) == ["hold-balance"]


def test_an_own_count_of_the_prompt_is_believed_before_the_payers() -> None:
    town = Town()
    stream = town.start(SEATED, EXECUTOR, prompt_tokens=4_000)
    assert stream is not None
    # Its engine counts twice what the payer's estimate says: 32 000 bytes are 16 000 tokens.
    town.deliver(stream)
    town.nodes[EXECUTOR].payments._prompts.learn(MODEL, 32_000, 16_000, is_own=True)  # noqa: SLF001
    assert town.start(SEATED, EXECUTOR, prompt_tokens=4_000) is None
    assert why(town) == ["hold-first"]
    # The payer counts a step more the next time, and that is near enough.
    assert town.start(SEATED, EXECUTOR, prompt_tokens=4_000) is not None


# -- who is served at all ------------------------------------------------------------------------


def test_nothing_is_quoted_to_who_has_no_account_or_to_a_node_without_one() -> None:
    town = Town()
    assert town.nodes[EXECUTOR].payments.refuse(NodeId(b"x" * 32)) is DeclineReason.UNPAID
    assert town.nodes[EXECUTOR].payments.refuse(name(STRANGER)) is None


def test_strangers_pay_ahead_those_with_a_seat_after_and_a_newcomer_is_paid_after() -> None:
    town = Town()

    def lead(executor: int, payer: int) -> int:
        return read_quote(town.ask(executor, payer).payment).lead_units

    assert lead(EXECUTOR, STRANGER) == AHEAD
    assert lead(EXECUTOR, SEATED) == TINY_LEDGER.lead_units
    assert lead(NEWCOMER, STRANGER) == TINY_LEDGER.lead_units


def test_who_has_left_a_unit_unpaid_pays_ahead_from_then_on() -> None:
    town = Town()
    stream = start(town, SEATED)
    stream.is_paying = False
    for _ in range(3):
        town.deliver(stream)
    town.settle()
    assert read_quote(town.ask(EXECUTOR, SEATED).payment).lead_units == AHEAD
    assert read_quote(town.ask(OTHER, SEATED).payment).lead_units == TINY_LEDGER.lead_units


def test_an_answer_that_is_whole_and_not_paid_is_remembered_too() -> None:
    town = Town()
    stream = start(town, SEATED)
    stream.is_paying = False
    for _ in range(5):
        town.deliver(stream)
        town.arrive(stream)
    town.finish(stream)
    town.settle()
    assert read_quote(town.ask(EXECUTOR, SEATED).payment).lead_units == AHEAD


def test_an_overdue_unit_is_remembered() -> None:
    town = Town()
    stream = start(town, SEATED)
    for _ in range(3):
        town.deliver(stream)
        town.arrive(stream)
        town.pay(stream)
    failed = StreamFailed(stream.work, FailureKind.UNPAID, 0, "", is_delivered=True)
    town.tell(EXECUTOR, failed)
    town.settle()
    assert read_quote(town.ask(EXECUTOR, SEATED).payment).lead_units == AHEAD


def test_a_user_who_goes_away_early_costs_its_node_no_trust_if_the_prompt_is_paid() -> None:
    town = Town()
    stream = start(town, SEATED)
    town.deliver(stream)
    town.arrive(stream)
    town.pay(stream)
    town.settle()
    assert read_quote(town.ask(EXECUTOR, SEATED).payment).lead_units == TINY_LEDGER.lead_units


# -- until a hold is final -----------------------------------------------------------------------


def test_output_leaves_at_once_for_a_stake_that_covers_and_else_when_the_hold_is_final() -> None:
    town = Town()
    assert start(town, SEATED).is_released
    stream = start(town, STRANGER)
    assert not stream.is_released
    town.block()
    assert ReleaseOutput(stream.work) in town.nodes[EXECUTOR].effects


def test_a_stake_covers_no_more_than_it_is() -> None:
    town = Town()
    # 5 credits of bond and about 1 a hold.
    covered = [start(town, RICH).is_released for _ in range(5)]
    assert covered[0]
    assert not covered[-1]
    assert covered == sorted(covered, reverse=True)


def test_a_work_whose_hold_does_not_become_final_is_ended_in_time() -> None:
    town = Town()
    hold = offer(town, STRANGER)
    terms = admit(town, STRANGER, hold)
    assert isinstance(terms, PayeeTerms)
    node = town.nodes[EXECUTOR]
    until = Moment(town.now + WAIT_MS * MILLISECOND)
    assert node.payments.next_deadline() == until
    assert node.payments.handle(DeadlineReached(), Moment(until - 1)) == []
    assert node.payments.handle(DeadlineReached(), until) == [WorkUnpaid(WORK)]
    assert node.payments.next_deadline() == NEVER


def test_a_payer_that_spends_the_same_credits_elsewhere_gets_nothing_and_is_remembered() -> None:
    town = Town()
    stream = start(town, STRANGER)
    town.pool.clear()
    fork = seal_feed(
        (Transfer(name(OTHER), CREDIT),),
        seq=1,
        previous=bytes(32),
        valid_until_ms=TINY_LEDGER.feed_life_ms,
        signer=Pen(name(STRANGER)),
        network_id=town.network_id,
    )
    town.submit(fork)
    town.deliver(stream)
    town.block()
    assert stream.delivered == -1
    assert WorkUnpaid(stream.work) in town.nodes[EXECUTOR].effects


def test_a_hold_the_ledger_refuses_ends_the_work_even_of_a_covered_payer() -> None:
    town = Town()
    hold = offer(town, SEATED)
    header = hold.opened.header
    # The same block gives everything away first.
    feed = seal_feed(
        (Transfer(name(OTHER), 39 * CREDIT + CREDIT // 2), hold.hold),
        seq=header.seq,
        previous=header.previous,
        valid_until_ms=header.valid_until_ms,
        signer=Pen(name(SEATED)),
        network_id=town.network_id,
    )
    poor = replace_fields(hold, opened=town.opener.open(feed))
    terms = admit(town, SEATED, poor)
    assert isinstance(terms, PayeeTerms)
    assert terms.is_covered
    town.streams.append(start(town, RICH))
    town.streams[-1].number = 1
    town.block()
    assert WorkUnpaid(WORK) in town.nodes[EXECUTOR].effects


def test_while_the_ledger_stands_still_strangers_share_a_small_budget() -> None:
    town = Town()
    town.block()
    town.is_stalled = True
    town.block(13_000)
    # Two credits at most to one payer, a tenth of that to all strangers: less than one hold.
    assert town.start(STRANGER, EXECUTOR) is None
    assert why(town) == ["hold-stall"]
    town.is_stalled = False
    town.block()
    assert town.start(STRANGER, EXECUTOR) is not None


def test_while_the_ledger_stands_still_a_good_customer_has_a_line() -> None:
    town = Town()
    payments = town.nodes[EXECUTOR].payments
    payments._payee._risk.note_paid(name(SEATED), 15 * CREDIT)  # noqa: SLF001 - 15 credits of work
    town.is_stalled = True
    town.block(13_000)
    works = [town.start(SEATED, EXECUTOR, completion_max=40) for _ in range(8)]
    taken = [stream for stream in works if stream is not None]
    assert all(stream.is_released for stream in taken)
    # A tenth of what it has paid lately, as far as that goes; not all that is staked.
    locked = sum(stream.sender.terms.compute_pay(16) for stream in taken)
    assert CREDIT < locked <= CREDIT * 3 // 2
    assert len(taken) < 8


# -- what becomes of holds -----------------------------------------------------------------------


def test_a_declined_hold_is_ordered_all_the_same_and_given_back() -> None:
    town = Town()
    hold = offer(town, SEATED)
    bad = replace_fields(hold)
    town.tell(EXECUTOR, OfferDeclined(bad))
    run = SessionId(Role.ORIGIN, 1)
    declined = StreamFailed(run, FailureKind.DECLINED, 0, "", is_delivered=False)
    town.tell(SEATED, declined)
    assert SubmitHold(hold.hold_id) in town.nodes[SEATED].effects
    town.block()
    assert KeepPreimage(hold.hold_id, 0, hold.hold.anchor, 0) in town.nodes[EXECUTOR].effects
    town.block()
    assert not town.ledger.holds
    assert town.settled[hold.hold_id].paid == 0


def test_a_hold_for_a_quote_never_given_is_nobodys_to_give_back() -> None:
    town = Town()
    hold = rewrite(town, SEATED, offer(town, SEATED), quote_hash=b"q" * 32)
    town.tell(EXECUTOR, OfferDeclined(hold))
    town.submit(hold.opened.signed.sealed)
    town.block()
    assert not any(isinstance(effect, ClaimHold) for effect in town.nodes[EXECUTOR].effects)


def test_a_run_that_is_over_is_closed_at_its_depth_and_a_work_claimed() -> None:
    town = Town()
    stream = start(town, SEATED)
    for _ in range(10):
        town.deliver(stream)
        town.arrive(stream)
        town.pay(stream)
    town.close_payer(stream)
    town.close_executor(stream)
    depth = stream.sender.released
    hold_id = stream.holds[0]
    assert HoldOver(hold_id, depth) in town.nodes[SEATED].effects
    kept = KeepPreimage(
        hold_id, depth, stream.sender.preimage, stream.sender.terms.compute_pay(depth)
    )
    assert [kept, ClaimHold(hold_id)] == town.nodes[EXECUTOR].effects[-2:]


def test_a_hold_that_is_settled_while_its_work_goes_on_ends_the_work() -> None:
    town = Town()
    stream = start(town, SEATED)
    town.deliver(stream)
    town.block()
    assert stream.is_working
    for _ in range(4):
        town.block(5_000)
    assert stream.holds[0] in town.settled
    assert WorkUnpaid(stream.work) in town.nodes[EXECUTOR].effects


# -- further holds -------------------------------------------------------------------------------


def extend(town: Town, stream: Stream, **changes: object) -> list[object]:
    """What an executor answers to an extension with something changed."""
    for _ in range(stream.unit_tokens * 3):
        town.deliver(stream)
        town.arrive(stream)
        town.pay(stream)
    town.block()
    stream.is_low_told = True
    town.tell(stream.payer, HoldRunsOut(stream.run, stream.arrived))
    frame = next(frame for frame in stream.frames if not hasattr(frame, "preimage"))
    hold = town.open(frame.frame, stream.payer)
    event = ExtensionReceived(stream.work, rewrite(town, stream.payer, hold, **changes))
    answers = town.nodes[stream.executor].payments.handle(event, town.now)
    return [type(answer) for answer in answers if isinstance(answer, TakeExtension | WorkUnpaid)]


def test_a_work_goes_on_with_a_further_hold_of_the_same_terms() -> None:
    town = Town()
    assert extend(town, start(town, SEATED)) == [TakeExtension]


@pytest.mark.parametrize(
    "changes",
    [
        {"flags": 0},
        {"unit": 1},
        {"unit_tokens": 256},
        {"first": 0},
        {"req_commit": b"r" * 32},
        {"quote_hash": b"q" * 32},
        {"payee": name(OTHER)},
    ],
)
def test_a_further_hold_that_pays_less_or_for_something_else_ends_the_work(
    changes: dict[str, object],
) -> None:
    town = Town()
    assert extend(town, start(town, SEATED), **changes) == [WorkUnpaid]


# -- what a payer pays ---------------------------------------------------------------------------


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
    run.order = replace_fields(run.order, cost_max=2 * run.plan.locked)
    town.tell(SEATED, HoldRunsOut(stream.run, 500))
    assert not any(frame for frame in stream.frames if not hasattr(frame, "preimage"))


def test_news_of_sessions_that_are_not_paid_is_ignored() -> None:
    town = Town()
    for session in (WORK, SessionId(Role.ORIGIN, 1)):
        event = PaymentProgressed(session, b"h" * 32, 3, b"p" * 32, is_last=True)
        assert town.nodes[SEATED].payments.handle(event, town.now) == []
