"""A hold that is in the log before its executor hears of it is good once, and for a moment only.

Real payments on both sides, real feed blocks and the real ledger.
"""

from tests.property.payments_stream import EXECUTOR, SEATED, STRANGER
from tests.property.payments_world import Town
from tests.unit.core.payments.offers import WAIT_MS, admit, offer, rewrite, why
from wwwserve.core.paying import PayeeTerms
from wwwserve.core.payments import OfferDeclined
from wwwserve.values.refusals import DeclineReason
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
