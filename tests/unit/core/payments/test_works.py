"""When the output of a paid work may leave, what ends it, and what becomes of its holds.

Real payments on both sides, real feed blocks and the real ledger.
"""

from dataclasses import replace as replace_fields

import pytest

from tests.property.ledger_world import Pen, name
from tests.property.payments_stream import (
    EXECUTOR,
    OTHER,
    RICH,
    SEATED,
    STRANGER,
    Stream,
)
from tests.property.payments_world import Town
from tests.unit.core.payments.offers import (
    WAIT_MS,
    WORK,
    admit,
    offer,
    rewrite,
    start,
    why,
)
from wwwserve.core.effects import ReleaseOutput, TakeExtension
from wwwserve.core.events import (
    DeadlineReached,
    ExtensionReceived,
    HoldRunsOut,
    StreamFailed,
)
from wwwserve.core.ledger import Fined
from wwwserve.core.paying import PayeeTerms, WorkUnpaid
from wwwserve.core.payments import (
    BlockApplied,
    ClaimHold,
    HoldOver,
    KeepPreimage,
    OfferDeclined,
    ProveFork,
    SubmitHold,
)
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.moments import MILLISECOND, NEVER, Moment
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import encode
from wwwserve.wire.ledger import Evidence, EvidenceKind, Transfer, compute_hold_id, seal_feed
from wwwserve.wire.paying import OpenedHold


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


def offer_later(town: Town, payer: int, number: int = 1) -> PayeeTerms:
    """A good hold in a feed block before which another is missing, taken on."""
    hold = offer(town, payer)
    header = hold.opened.header
    feed = seal_feed(
        (hold.hold,),
        seq=header.seq + 1,
        previous=header.previous,
        valid_until_ms=header.valid_until_ms,
        signer=Pen(name(payer)),
        network_id=town.network_id,
    )
    opened = town.opener.open(feed)
    hold_id = compute_hold_id(name(payer), header.seq + 1, hold.hold.n)
    terms = admit(town, payer, replace_fields(hold, opened=opened, hold_id=hold_id), number)
    assert isinstance(terms, PayeeTerms)
    return terms


def test_a_covered_payer_that_keeps_its_hold_back_is_covered_no_more() -> None:
    town = Town()
    assert offer_later(town, SEATED).is_covered
    payments, until = town.nodes[EXECUTOR].payments, town.now + WAIT_MS * MILLISECOND
    assert payments.handle(BlockApplied(()), Moment(until - 1)) == []
    assert payments.handle(DeadlineReached(), Moment(until)) == [WorkUnpaid(WORK)]
    assert not offer_later(town, SEATED, number=2).is_covered


def test_a_hold_is_kept_back_by_nobody_while_the_ledger_stands_still() -> None:
    town = Town()
    offer_later(town, SEATED)
    payments, until = town.nodes[EXECUTOR].payments, town.now
    # A block that came at once says nothing yet about what was brought then.
    assert payments.handle(BlockApplied(()), Moment(until + 1)) == []
    for _ in range(3):
        until = payments.next_deadline()
        assert payments.handle(DeadlineReached(), until) == []
    assert offer_later(town, SEATED, number=2).is_covered


def test_who_promised_the_same_credits_twice_is_covered_no_more() -> None:
    town = Town()
    assert start(town, SEATED).is_released
    town.pool.clear()
    town.submit(
        seal_feed(
            (Transfer(name(OTHER), CREDIT),),
            seq=1,
            previous=bytes(32),
            valid_until_ms=TINY_LEDGER.feed_life_ms,
            signer=Pen(name(SEATED)),
            network_id=town.network_id,
        )
    )
    town.block()
    proofs = [one for one in town.nodes[EXECUTOR].effects if isinstance(one, ProveFork)]
    assert [(one.payer, one.seq) for one in proofs] == [(name(SEATED), 1)]
    op = Evidence(EvidenceKind.FEED, encode(proofs[0].entered), encode(proofs[0].void))
    town.submit(
        seal_feed(
            (op,),
            seq=1,
            previous=bytes(32),
            valid_until_ms=TINY_LEDGER.feed_life_ms,
            signer=Pen(name(EXECUTOR)),
            network_id=town.network_id,
        )
    )
    assert any(isinstance(fact, Fined) for fact in town.block()), "the ledger takes it for proof"
    assert not start(town, SEATED).is_released


def test_a_word_that_took_the_place_of_one_that_had_expired_proves_nothing() -> None:
    town = Town()
    assert start(town, SEATED).is_released
    town.pool.clear()
    town.submit(
        seal_feed(
            (Transfer(name(OTHER), CREDIT),),
            seq=1,
            previous=bytes(32),
            valid_until_ms=3 * TINY_LEDGER.feed_life_ms,
            signer=Pen(name(SEATED)),
            network_id=town.network_id,
        )
    )
    town.block()
    assert not any(isinstance(one, ProveFork) for one in town.nodes[EXECUTOR].effects)


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


def make_further(town: Town, stream: Stream) -> OpenedHold:
    """The hold by which a payer goes on when the first one runs out."""
    for _ in range(stream.unit_tokens * 3):
        town.deliver(stream)
        town.arrive(stream)
        town.pay(stream)
    town.block()
    stream.is_low_told = True
    town.tell(stream.payer, HoldRunsOut(stream.run, stream.arrived))
    frame = next(frame for frame in stream.frames if not hasattr(frame, "preimage"))
    return town.open(frame.frame, stream.payer)


def extend(town: Town, stream: Stream, hold: OpenedHold) -> list[object]:
    """What an executor answers to a further hold."""
    event = ExtensionReceived(stream.work, hold)
    answers = town.nodes[stream.executor].payments.handle(event, town.now)
    return [type(answer) for answer in answers if isinstance(answer, TakeExtension | WorkUnpaid)]


def test_a_work_goes_on_with_a_further_hold_of_the_same_terms() -> None:
    town = Town()
    stream = start(town, SEATED)
    assert extend(town, stream, make_further(town, stream)) == [TakeExtension]


@pytest.mark.parametrize("payer", [SEATED, STRANGER])
def test_a_further_hold_may_be_in_the_log_before_its_payer_tells_of_it(payer: int) -> None:
    # [REQUESTS-PAID.19] else the answer would break off for a race between two lines
    town = Town()
    stream = start(town, payer)
    town.block()
    hold = make_further(town, stream)
    town.submit(hold.opened.signed.sealed)
    town.block()
    assert extend(town, stream, hold) == [TakeExtension]


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
    stream = start(town, SEATED)
    hold = rewrite(town, stream.payer, make_further(town, stream), **changes)
    assert extend(town, stream, hold) == [WorkUnpaid]
