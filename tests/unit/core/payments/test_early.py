"""A hold that is in the log before its executor hears of it is good once, and for a moment only.

Real payments on both sides, real feed blocks and the real ledger. A payer that fills the log with
holds nobody was told of loses its own, and nobody else's.
"""

from msgspec.structs import replace

from tests.property.ledger_world import Pen, name
from tests.property.payments_stream import EXECUTOR, RICH, SEATED, STRANGER
from tests.property.payments_world import Town
from tests.unit.core.payments.offers import WAIT_MS, admit, offer, rewrite, why
from wwwserve.core.paying import PayeeTerms
from wwwserve.core.payments import OfferDeclined
from wwwserve.core.payments.early import EARLY_MAX
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire.ledger import OPS_MAX, seal_feed
from wwwserve.wire.paying import OpenedHold


def offer_early(town: Town, payer: int) -> OpenedHold:
    """A good hold that is in the log before it reaches its executor."""
    hold = offer(town, payer)
    town.submit(hold.opened.signed.sealed)
    town.block()
    return hold


def test_a_hold_that_the_log_has_already_is_worked_for_once() -> None:
    # [REQUESTS-PAID.19]
    town = Town()
    hold = offer_early(town, STRANGER)
    terms = admit(town, STRANGER, hold)
    assert isinstance(terms, PayeeTerms)
    assert terms.is_covered, "it is final, whoever pays it"
    assert admit(town, STRANGER, hold, number=2) is DeclineReason.UNPAID
    assert why(town)[-1] == "hold-seq"


def test_a_hold_that_was_kept_back_is_not_worked_for() -> None:
    # Its ttl may be over before its work could be paid.
    town = Town()
    hold = offer_early(town, STRANGER)
    town.block(WAIT_MS + 1)
    assert admit(town, STRANGER, hold) is DeclineReason.UNPAID


def test_another_hold_of_the_same_number_is_not_the_one_in_the_log() -> None:
    town = Town()
    hold = offer_early(town, STRANGER)
    other = rewrite(town, STRANGER, hold, anchor=b"a" * 32)
    assert admit(town, STRANGER, other) is DeclineReason.UNPAID


def test_a_declined_hold_that_the_log_has_already_is_given_back_at_once() -> None:
    town = Town()
    hold = offer_early(town, STRANGER)
    town.tell(EXECUTOR, OfferDeclined(hold))
    town.block()
    assert town.settled[hold.hold_id].paid == 0


def test_a_hold_that_was_worked_for_before_a_kill_is_not_worked_for_again() -> None:
    # The log has it after the kill, and the new process remembers no work.
    town = Town()
    hold = offer(town, SEATED)
    assert isinstance(admit(town, SEATED, hold), PayeeTerms)
    town.kill(EXECUTOR)
    town.submit(hold.opened.signed.sealed)
    town.block()
    assert admit(town, SEATED, hold) is DeclineReason.UNPAID
    assert why(town)[-1] == "hold-quote", "quotes are forgotten as well"


def flood(town: Town, payer: int, count: int) -> None:
    """So many further holds of a payer for the executor are in the log, and nobody was told."""
    op = replace(offer(town, payer).hold, first=1, unit=1, units_max=1)
    account = town.ledger.accounts[name(payer)]
    seq, previous = account.seq, account.head
    for start in range(0, count, OPS_MAX):
        seq += 1
        feed = seal_feed(
            tuple(replace(op, n=start + n) for n in range(min(OPS_MAX, count - start))),
            seq=seq,
            previous=previous,
            valid_until_ms=town.view.time_ms + town.view.parameters.feed_life_ms,
            signer=Pen(name(payer)),
            network_id=town.network_id,
        )
        town.submit(feed)
        previous = feed.compute_id()
    town.block()
    assert town.ledger.accounts[name(payer)].holds_out >= count


def test_a_payer_that_opens_more_than_are_remembered_pushes_out_nobody_elses() -> None:
    # [REQUESTS-PAID.19]
    town = Town()
    hold = offer_early(town, SEATED)
    flood(town, STRANGER, EARLY_MAX + 1)
    assert isinstance(admit(town, SEATED, hold), PayeeTerms)


def test_what_is_forgotten_of_too_many_is_refused_and_goes_back() -> None:
    # [REQUESTS-PAID.19] as before any was remembered: not worked for, and in the end not paid
    town = Town()
    hold = offer_early(town, STRANGER)
    flood(town, STRANGER, EARLY_MAX)
    assert admit(town, STRANGER, hold) is DeclineReason.UNPAID
    assert why(town)[-1] == "hold-seq"
    town.settle()
    assert town.settled[hold.hold_id].paid == 0


def test_holds_of_all_payers_together_are_bounded() -> None:
    # [REQUESTS-PAID.19]
    town = Town()
    hold = offer_early(town, STRANGER)
    other = offer_early(town, SEATED)
    flood(town, RICH, EARLY_MAX // 2 - 1)
    flood(town, STRANGER, EARLY_MAX // 2)
    assert admit(town, STRANGER, hold) is DeclineReason.UNPAID
    assert isinstance(admit(town, SEATED, other, number=2), PayeeTerms)
