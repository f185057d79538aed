"""Which holds an executor works for, and on what terms: each attack of a payer, made by hand.

Real payments on both sides, real feed blocks and the real ledger.
"""

from dataclasses import replace as replace_fields

import pytest
from msgspec.structs import replace

from tests.property.ledger_world import Anyone, Pen, name
from tests.property.payments_stream import (
    EXECUTOR,
    MODEL,
    NEWCOMER,
    OTHER,
    RICH,
    SEATED,
    STRANGER,
)
from tests.property.payments_world import Town
from tests.unit.core.payments.offers import (
    SUMMARY,
    WORK,
    admit,
    offer,
    rewrite,
    start,
    why,
)
from wwwserve.core.events import (
    SetPrices,
    StreamFailed,
)
from wwwserve.core.paying import AHEAD, PayeeTerms
from wwwserve.core.payments import (
    Prices,
    PriceTable,
)
from wwwserve.core.placing import RunMeasured
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire.ledger import FeedOpener, Hold, seal_feed
from wwwserve.wire.paying import (
    open_accept,
    read_quote,
)


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


def measured(prompt_tokens: int, body_bytes: int) -> RunMeasured:
    """What requests tell of a run here."""
    return RunMeasured(
        node=name(EXECUTOR), engine="e", model=MODEL, prompt_tokens=prompt_tokens,
        completion_tokens=1, completion_tokens_max=0, first_output_us=1, total_us=2,
        quoted_us=0, body_bytes=body_bytes,
    )  # fmt: skip


def test_an_own_count_of_the_prompt_is_believed_before_the_payers() -> None:
    town = Town()
    stream = town.start(SEATED, EXECUTOR, prompt_tokens=4_000)
    assert stream is not None
    # Its engine counts twice what the payer's estimate says: 32 000 bytes are 16 000 tokens.
    town.deliver(stream)
    town.tell(EXECUTOR, measured(prompt_tokens=16_000, body_bytes=32_000))
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
