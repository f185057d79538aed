"""Holds pay what was shown, to whom they name, once, and never longer than their time.

Each test makes a small network, has people say things, and looks at balances; `World` compares
everything with the reference after each block.
"""

from tests.property.ledger_world import World, name
from tests.unit.core.ledger.people import (
    ALICE,
    BOB,
    CAROL,
    FEE,
    FIRST,
    SECRET,
    STRANGER,
    UNIT,
    UNITS,
    WINDOW,
    endings,
    make_hold,
    open_shop,
    refusals,
    tell,
)
from wwwserve.core.ledger import Ending, HoldClosing, HoldOpened
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Claim,
    Close,
    HoldFlag,
    compute_anchor,
    compute_hold_id,
)

# -- claims ------------------------------------------------------------------------------------


def test_a_hold_locks_the_most_it_can_pay() -> None:
    # [LEDGER-HOLD.1]
    shop = open_shop()
    most = FIRST + (UNITS - 1) * UNIT
    assert shop.balances()[0] == 40 * CREDIT - FEE - most
    hold = shop.world.ledger.holds[shop.hold_id]
    assert (hold.locked, hold.deadline_ms, hold.ttl_ms) == (most, 1_100, 1_100 + 2 * WINDOW)
    alice, bob = name(ALICE), name(BOB)
    assert HoldOpened(shop.hold_id, alice, bob, most, hold.ttl_ms) in shop.world.facts


def test_a_hold_may_take_all_but_the_minimum_for_a_moment() -> None:
    # [LEDGER-HOLD.1], [LEDGER-ACCOUNT.1]
    rest = 40 * CREDIT - FEE - TINY_LEDGER.balance_min
    for first, rules in ((rest, []), (rest + 1, ["balance"])):
        world = World()
        hold = make_hold(world, first=first, unit=0, deadline_ms=1)
        assert tell(world, ALICE, hold) == rules


def test_a_claim_pays_its_depth_and_returns_the_rest_at_once() -> None:
    # [LEDGER-CLAIM.1], [LEDGER-HOLD.2]
    for depth, paid in ((0, 0), (1, FIRST), (2, FIRST + UNIT), (8, FIRST + 7 * UNIT)):
        shop = open_shop()
        assert tell(shop.world, BOB, Claim(*shop.show(depth))) == []
        assert endings(shop.world) == [(Ending.CLAIMED, paid)]
        assert shop.balances() == (40 * CREDIT - FEE - paid, 12 * CREDIT - FEE + paid)
        assert tell(shop.world, BOB, Claim(*shop.show(depth))) == ["hold-unknown"]


def test_nobody_but_the_payee_claims_and_nobody_but_the_payer_closes() -> None:
    # [LEDGER-CLAIM.3]
    shop = open_shop()
    assert tell(shop.world, CAROL, Claim(*shop.show(3))) == ["claim-payee"]
    assert tell(shop.world, ALICE, Claim(*shop.show(3))) == ["claim-payee"]
    assert tell(shop.world, BOB, Close(*shop.show(0))) == ["close-payer"]
    assert tell(shop.world, CAROL, Close(*shop.show(0))) == ["close-payer"]


def test_what_was_not_shown_is_not_paid() -> None:
    # [LEDGER-CLAIM.1]
    shop = open_shop()
    hold_id, _, preimage = shop.show(3)
    assert tell(shop.world, BOB, Claim(hold_id, 4, preimage)) == ["claim-preimage"]
    assert tell(shop.world, BOB, Claim(hold_id, 2, preimage)) == ["claim-preimage"]
    assert tell(shop.world, BOB, Claim(hold_id, 3, b"x" * 32)) == ["claim-preimage"]
    assert tell(shop.world, ALICE, Close(hold_id, 4, preimage)) == ["claim-preimage"]


def test_no_depth_beyond_the_holds_units_counts() -> None:
    # [LEDGER-CLAIM.1] A payer that hides a longer chain behind the anchor.
    world = World()
    seq, _ = world.next_word(ALICE)
    world.say(ALICE, make_hold(world, anchor=compute_anchor(SECRET, UNITS + 1)))
    world.close()
    hold_id = compute_hold_id(name(ALICE), seq, 1)
    assert tell(world, BOB, Claim(hold_id, UNITS + 1, SECRET)) == ["claim-depth"]


# -- closing and expiry ------------------------------------------------------------------------


def test_a_close_settles_after_its_window_and_not_before() -> None:
    # [LEDGER-CLOSE.1]
    shop = open_shop()
    tell(shop.world, ALICE, Close(*shop.show(2)))
    assert HoldClosing(shop.hold_id, 2, shop.world.time_ms + WINDOW) in shop.world.facts
    shop.world.wait(WINDOW - 1)
    assert shop.hold_id in shop.world.ledger.holds
    shop.world.wait(1)
    assert endings(shop.world) == [(Ending.CLOSED, FIRST + UNIT)]
    assert shop.balances() == (40 * CREDIT - 2 * FEE - FIRST - UNIT, 13 * CREDIT + UNIT)


def test_the_payee_may_go_deeper_than_a_close_and_never_shallower() -> None:
    # [LEDGER-CLOSE.2]
    shop = open_shop()
    tell(shop.world, ALICE, Close(*shop.show(2)))
    assert tell(shop.world, BOB, Claim(*shop.show(1))) == ["claim-depth"]
    assert tell(shop.world, BOB, Claim(*shop.show(5))) == []
    assert endings(shop.world) == [(Ending.CLAIMED, FIRST + 4 * UNIT)]


def test_a_hold_is_closed_once() -> None:
    # [LEDGER-CLOSE.1]
    shop = open_shop()
    tell(shop.world, ALICE, Close(*shop.show(2)))
    assert tell(shop.world, ALICE, Close(*shop.show(1))) == ["close-twice"]


def test_an_unclaimed_hold_returns_whole_at_its_end_and_not_before() -> None:
    # [LEDGER-HOLD.3]
    shop = open_shop()
    shop.world.wait(1_000 + 2 * WINDOW - 1)
    assert shop.hold_id in shop.world.ledger.holds
    shop.world.wait(1)
    assert endings(shop.world) == [(Ending.EXPIRED, 0)]
    assert shop.balances() == (40 * CREDIT - FEE, 12 * CREDIT)


def test_a_late_close_settles_at_the_holds_end() -> None:
    # [LEDGER-HOLD.3]
    shop = open_shop()
    shop.world.wait(2 * WINDOW)
    tell(shop.world, ALICE, Close(*shop.show(1)))
    shop.world.wait(900)
    assert endings(shop.world) == [(Ending.CLOSED, FIRST)]


def test_at_its_end_a_hold_cannot_be_claimed_any_more() -> None:
    # [LEDGER-HOLD.3]
    shop = open_shop()
    shop.world.wait(2 * WINDOW)
    shop.world.say(BOB, Claim(*shop.show(8)))
    shop.world.close(1_000)
    assert refusals(shop.world) == ["hold-unknown"]


# -- what a hold may say -----------------------------------------------------------------------


def test_a_hold_with_wrong_terms_is_refused() -> None:
    # [LEDGER-HOLD.4]
    for changes, rule in (
        ({"units_max": 6}, "hold-units"),
        ({"units_max": 32}, "hold-units"),
        ({"unit_tokens": 2}, "hold-units"),
        ({"unit_tokens": 24}, "hold-units"),
        ({"deadline_ms": 0}, "hold-deadline"),
        ({"deadline_ms": TINY_LEDGER.deadline_ms_max + 1}, "hold-deadline"),
        ({"seed_epoch": 1}, "hold-seed"),
        ({"first": 0, "unit": 0}, "hold-amount"),
        ({"req_commit": NO_DIGEST}, "hold-commit"),
        ({"payee": name(ALICE)}, "hold-payee"),
        ({"payee": name(STRANGER)}, "hold-payee"),
        ({"first": 40 * CREDIT}, "balance"),
    ):
        world = World()
        assert tell(world, ALICE, make_hold(world, **changes)) == [rule]


def test_the_seed_of_the_epoch_before_will_do() -> None:
    # [LEDGER-HOLD.4]
    world = World()
    for epoch, rules in ((1, []), (2, ["hold-seed"])):
        world.wait(TINY_LEDGER.epoch_ms)
        assert world.ledger.log.epoch == epoch
        assert tell(world, ALICE, make_hold(world, seed_epoch=0)) == rules


def test_a_tab_pays_equal_units_for_no_request_in_particular() -> None:
    # [LEDGER-TAB.1]
    tab = {"first": UNIT, "req_commit": NO_DIGEST, "flags": int(HoldFlag.TAB)}
    for changes, rules in (
        ({}, []),
        ({"first": FIRST}, ["hold-tab"]),
        ({"req_commit": b"r" * 32}, ["hold-tab"]),
        ({"flags": int(HoldFlag.TAB | HoldFlag.AUDIT_IN)}, ["hold-tab"]),
        ({"deadline_ms": TINY_LEDGER.tab_ms_max + 1}, ["hold-tab"]),
    ):
        world = World()
        assert tell(world, ALICE, make_hold(world, **(tab | changes))) == rules


def test_a_number_names_one_hold_of_a_feed_block() -> None:
    # [LEDGER-HOLD.2]
    world = World()
    assert tell(world, ALICE, make_hold(world), make_hold(world)) == ["hold-exists"]
    assert len(world.ledger.holds) == 1
