"""The meters of a paid stream: what is sent when, what is refused, and where an executor stops.

Both ends are driven token by token; the hash chains are real.
"""

import pytest

from tests.unit.core.payments.stream_terms import make_terms
from wwwserve.core.paying import AHEAD
from wwwserve.core.payments.meters import PayeeMeter, PayerMeter
from wwwserve.values.refusals import Refusal
from wwwserve.wire.requests import Unit


def release_depths(meter: PayerMeter, tokens: int) -> list[tuple[int, int]]:
    """After how many tokens each depth is released."""
    units = [(count, meter.release(count, has_output=True)) for count in range(tokens + 1)]
    return [(count, unit.depth) for count, unit in units if unit is not None]


def test_a_payer_pays_the_prompt_at_the_first_output_and_each_unit_when_it_has_arrived() -> None:
    payer, _ = make_terms()
    meter = PayerMeter(payer)
    assert meter.release(0, has_output=False) is None
    assert release_depths(meter, 12) == [(0, 1), (4, 2), (8, 3), (12, 4)]
    assert meter.cost == 130


def test_a_stranger_pays_the_prompt_and_a_unit_before_anything_arrives() -> None:
    payer, _ = make_terms(lead=AHEAD)
    meter = PayerMeter(payer)
    opening = meter.release(0, has_output=False)
    assert opening is not None
    assert opening.depth == 2
    assert release_depths(meter, 8) == [(4, 3), (8, 4)]


def test_many_tokens_at_once_are_paid_with_one_unit() -> None:
    payer, payee = make_terms()
    sender, receiver = PayerMeter(payer), PayeeMeter(payee)
    unit = sender.release(21, has_output=True)
    assert unit is not None
    assert unit.depth == 6
    receiver.take(unit)
    assert (receiver.paid, receiver.preimage) == (6, sender.preimage)


@pytest.mark.parametrize(("tokens", "depth"), [(0, 1), (1, 1), (2, 2), (5, 2), (6, 3), (8, 3)])
def test_at_the_end_half_a_unit_counts_as_one(tokens: int, depth: int) -> None:
    payer, payee = make_terms()
    sender, receiver = PayerMeter(payer), PayeeMeter(payee)
    assert receiver.is_due(tokens)
    unit = sender.settle(tokens)
    assert unit is not None
    assert unit.depth == depth
    receiver.take(unit)
    assert not receiver.is_due(tokens)
    assert sender.settle(tokens) is None


def test_an_executor_that_is_paid_after_stops_where_more_units_are_due_than_its_lead() -> None:
    payer, payee = make_terms(lead=2)
    sender, meter = PayerMeter(payer), PayeeMeter(payee)
    assert [count for count in range(20) if meter.may_deliver(count)] == list(range(8))
    unit = sender.release(0, has_output=True)
    assert unit is not None
    meter.take(unit)
    assert [count for count in range(20) if meter.may_deliver(count)] == list(range(12))


def test_an_executor_that_is_paid_ahead_delivers_nothing_that_is_not_paid() -> None:
    payer, payee = make_terms(lead=AHEAD)
    sender, meter = PayerMeter(payer), PayeeMeter(payee)
    assert not meter.may_deliver(0)
    unit = sender.release(0, has_output=False)
    assert unit is not None
    meter.take(unit)
    assert [count for count in range(20) if meter.may_deliver(count)] == list(range(4))


def test_a_reply_that_its_first_unit_covers_is_delivered_whole() -> None:
    payer, payee = make_terms(lead=AHEAD, units_max=1)
    sender, meter = PayerMeter(payer), PayeeMeter(payee)
    assert not meter.may_deliver(0)
    unit = sender.release(0, has_output=False)
    assert unit is not None
    meter.take(unit)
    assert meter.may_deliver(10_000)
    assert not sender.is_low
    assert not meter.is_due(10_000)


@pytest.mark.parametrize("lead", [2, AHEAD])
def test_an_executor_goes_no_further_than_its_lead_beyond_a_hold_that_is_used_up(lead: int) -> None:
    payer, payee = make_terms(lead=lead, units_max=4)
    meter = PayeeMeter(payee)
    meter.take(Unit(4, payer.links[128:]))
    stop = 12 if lead == AHEAD else 24
    assert [count for count in range(40) if meter.may_deliver(count)] == list(range(stop))


@pytest.mark.parametrize("depth", [1, 2])
def test_a_unit_that_pays_nothing_new_is_refused(depth: int) -> None:
    payer, payee = make_terms()
    meter = PayeeMeter(payee)
    meter.take(Unit(2, payer.links[64:96]))
    with pytest.raises(Refusal, match="unit-depth"):
        meter.take(Unit(depth, payer.links[32 * depth : 32 * depth + 32]))
    assert meter.paid == 2


def test_a_unit_deeper_than_its_hold_is_refused() -> None:
    _, payee = make_terms(units_max=4)
    with pytest.raises(Refusal, match="unit-depth"):
        PayeeMeter(payee).take(Unit(5, b"x" * 32))


@pytest.mark.parametrize("claimed", [1, 3, 16])
def test_a_unit_with_another_depths_preimage_is_refused_and_changes_nothing(claimed: int) -> None:
    payer, payee = make_terms()
    meter = PayeeMeter(payee)
    with pytest.raises(Refusal, match="unit-preimage"):
        meter.take(Unit(claimed, payer.links[64:96]))
    assert (meter.paid, meter.preimage) == (0, payee.terms.anchor)


def test_a_hold_runs_low_while_a_fourth_is_left_and_pays_no_more_than_it_has() -> None:
    payer, _ = make_terms(units_max=8)
    meter = PayerMeter(payer)
    lows = {}
    for count in (19, 20):
        meter.release(count, has_output=True)
        lows[count] = meter.is_low
    assert lows == {19: False, 20: True}
    unit = meter.release(1_000, has_output=True)
    assert unit is not None
    assert unit.depth == 8
    assert meter.release(10_000, has_output=True) is None
    assert meter.settle(10_000) is None


@pytest.mark.parametrize("lead", [2, AHEAD])
def test_another_hold_pays_from_where_the_one_before_is_paid_to(lead: int) -> None:
    payer, payee = make_terms(lead=lead, units_max=4)
    next_payer, next_payee = make_terms(lead=lead, units_max=8, first=10, name=b"n")
    sender, receiver = PayerMeter(payer), PayeeMeter(payee)
    ahead = 1 if lead == AHEAD else 0
    unit = sender.release(9, has_output=True)
    assert unit is not None
    assert unit.depth == 3 + ahead
    receiver.take(unit)
    sender.extend(next_payer)
    receiver.extend(next_payee)
    # Every later unit is worth 10 for 4 tokens: nothing is paid twice, nothing is left out.
    assert release_depths(sender, 20) == [(12, 1 + 0), (16, 2), (20, 3)]
    assert sender.cost == 100 + 10 * (2 + ahead) + 30
    receiver.take(Unit(sender.released, sender.preimage))
    assert receiver.may_deliver(20)
    assert not receiver.is_due(20)


def test_a_hold_cannot_be_replaced_before_it_has_paid_the_prompt() -> None:
    _, payee = make_terms()
    _, another = make_terms(name=b"n")
    with pytest.raises(Refusal, match="extension-early"):
        PayeeMeter(payee).extend(another)
