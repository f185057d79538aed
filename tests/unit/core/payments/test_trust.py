"""Whom an executor trusts: a seat, or who has paid enough, until something was not paid."""

from wwwserve.core.ledger_view import AccountView
from wwwserve.core.payments.trust import PAYERS_KNOWN_MAX, TRUSTED_VOLUME, Trust
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import DAY, MAIN_LEDGER

PAYER = NodeId(b"p" * 32)


def make_account(*, seats: int = 0, bond: int = 0) -> AccountView:
    return AccountView(
        seq=0,
        head=bytes(32),
        avail=0,
        spendable=0,
        bond=bond,
        stake=bond,
        unbonding=0,
        seats=seats,
        holds_out=0,
        debt=0,
        ops_used=0,
        fees_max=0,
    )


def test_a_seat_is_trusted_and_a_stranger_is_not() -> None:
    assert Trust().is_trusted(PAYER, make_account(seats=1), 0)
    assert not Trust().is_trusted(PAYER, make_account(), 0)


def test_a_stranger_that_has_paid_enough_in_a_week_is_none() -> None:
    trust = Trust()
    trust.add_volume(PAYER, TRUSTED_VOLUME - 1, 0)
    assert not trust.is_trusted(PAYER, make_account(), DAY)
    trust.add_volume(PAYER, 1, DAY)
    assert trust.is_trusted(PAYER, make_account(), 6 * DAY)
    assert not trust.is_trusted(PAYER, make_account(), 7 * DAY)


def test_what_was_left_unpaid_is_remembered_for_a_week_whatever_the_stake() -> None:
    trust = Trust()
    trust.add_volume(PAYER, 100 * CREDIT, 0)
    trust.add_unpaid(PAYER, 0)
    assert not trust.is_trusted(PAYER, make_account(seats=5), 6 * DAY)
    assert trust.is_trusted(PAYER, make_account(seats=5), 7 * DAY)


def test_the_line_is_the_least_of_bound_tenth_and_bond() -> None:
    trust = Trust()
    trust.add_volume(PAYER, 50 * CREDIT, 0)

    def line(bond: int, time_ms: int = 0) -> int:
        return trust.compute_line(PAYER, make_account(bond=bond), MAIN_LEDGER, time_ms)

    assert line(bond=100 * CREDIT) == 5 * CREDIT
    assert line(bond=3 * CREDIT) == 3 * CREDIT
    assert line(bond=0) == 0
    trust.add_volume(PAYER, 500 * CREDIT, DAY)
    assert line(bond=100 * CREDIT, time_ms=DAY) == MAIN_LEDGER.stall_line_max
    assert line(bond=100 * CREDIT, time_ms=9 * DAY) == 0


def test_a_long_customer_takes_no_more_memory_than_a_week() -> None:
    trust = Trust()
    for day in range(1_000):
        trust.add_volume(PAYER, 1, day * DAY)
        trust.add_volume(PAYER, 1, day * DAY)
    assert trust.get_volume(PAYER, 999 * DAY) == 14


def test_payers_remembered_are_bounded_and_the_one_longest_unheard_of_goes_first() -> None:
    trust = Trust()
    trust.add_volume(PAYER, CREDIT, 0)
    for number in range(PAYERS_KNOWN_MAX - 1):
        trust.add_volume(NodeId(number.to_bytes(32, "big")), CREDIT, 0)
    trust.add_volume(PAYER, CREDIT, 0)
    trust.add_volume(NodeId(b"n" * 32), CREDIT, 0)
    assert trust.get_volume(PAYER, 0) == 2 * CREDIT
    assert trust.get_volume(NodeId(bytes(32)), 0) == 0
