"""A hold from its signature to its end, on both sides: what leaves when, and what comes back.

Two wallets in virtual time beside a real ledger with tiny numbers; blocks come when the test says
so. Every number is the ledger's own.
"""

from dataclasses import replace

import pytest

from tests.property.ledger_world import Pen, name
from tests.property.wallet_world import ALICE, BOB, UNITS
from tests.unit.core.wallet.wallet_stage import HOLD_MAX, Stage, make_draft, order
from wwwserve.core.effects import Persist
from wwwserve.core.ledger import Ending
from wwwserve.core.wallet import ClaimHold, HoldOver, KeepPreimage, SubmitHold
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.wire.ledger import Claim, Hold, HoldFlag, Transfer, compute_anchor

FEE = TINY_LEDGER.op_fee


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_hold_is_written_before_it_leaves(stage: Stage) -> None:
    # [WALLET-WRITE.1]
    stage.alice.is_quick = False
    signed = stage.alice.sign_hold(make_draft())
    assert isinstance(signed.writes[0], Persist)
    assert stage.alice.offered == []
    stage.alice.tell(SubmitHold(signed.hold_id))
    assert stage.world.seen == {}
    stage.alice.finish_writes()
    assert stage.alice.offered == [signed]
    assert len(stage.world.pool) == 1


def test_a_hold_goes_to_the_sequencer_when_it_is_answered(stage: Stage) -> None:
    # [WALLET-SUBMIT.1]
    first, second = (stage.alice.sign_hold(make_draft()) for _ in range(2))
    assert stage.world.pool == []
    stage.alice.tell(SubmitHold(second.hold_id))
    assert [opened.header.seq for opened in stage.world.pool] == [1, 2]
    stage.alice.tell(SubmitHold(first.hold_id))
    stage.block()
    stage.block()
    assert stage.alice.wallet.get_view().waiting == 0


def test_an_unanswered_hold_goes_there_after_a_while(stage: Stage) -> None:
    """Its number is used, so all that follows waits for it."""
    stage.alice.sign_hold(make_draft())
    stage.wait(1_900 * MILLISECOND)
    assert stage.world.pool == []
    stage.wait(200 * MILLISECOND)
    assert len(stage.world.pool) == 1


def test_what_the_sequencer_forgot_is_brought_again(stage: Stage) -> None:
    # [WALLET-SUBMIT.2]
    signed = stage.alice.sign_hold(make_draft())
    stage.alice.tell(SubmitHold(signed.hold_id))
    stage.world.forget_pool()
    stage.wait(2 * SECOND)
    assert len(stage.world.pool) == 1


def test_a_chain_is_made_of_the_number_and_the_terms(stage: Stage) -> None:
    # [WALLET-CHAIN.1]
    first, second = (stage.alice.sign_hold(make_draft()) for _ in range(2))
    assert len(first.links) == 32 * (UNITS + 1)
    assert not {first.links[at : at + 32] for at in range(0, 32 * 9, 32)} & {
        second.links[at : at + 32] for at in range(0, 32 * 9, 32)
    }
    for depth in range(UNITS + 1):
        assert compute_anchor(first.links[32 * depth :][:32], depth) == first.links[:32]


def test_claims_share_a_feed_block_two_seconds_after_the_first(stage: Stage) -> None:
    # [WALLET-CLAIM.1]
    holds = [stage.alice.sign_hold(make_draft()) for _ in range(3)]
    stage.wait(2 * SECOND)
    stage.block()
    for depth, signed in enumerate(holds, start=1):
        stage.pay(signed, depth)
        stage.bob.tell(ClaimHold(signed.hold_id))
        stage.wait(500 * MILLISECOND)
    assert stage.world.pool == []
    stage.wait(500 * MILLISECOND)
    assert [type(op) for op in stage.world.pool[0].ops] == [Claim] * 3
    before = stage.avail(BOB)
    stage.block()
    assert stage.avail(BOB) == before + 100 + 200 + 300 - 3 * FEE
    assert stage.bob.wallet.get_view().claimable == 0
    assert stage.bob.wallet.get_view().earned == 600
    stage.wait(SECOND)
    assert not [place for place in stage.bob.disk.values if place[:1] == b"k"]


def test_nothing_is_claimed_while_more_may_come(stage: Stage) -> None:
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    stage.pay(signed, 3)
    # What comes late, out of order, is worth less than what is here.
    stage.pay(signed, 2)
    stage.pass_time(3_000)
    assert stage.find_end(signed) is None
    assert stage.bob.wallet.get_view().claimable == 300
    stage.bob.tell(ClaimHold(signed.hold_id))
    stage.pass_time(2_500)
    end = stage.find_end(signed)
    assert end is not None
    assert end.paid == 300


def test_a_claim_on_its_way_is_not_signed_again(stage: Stage) -> None:
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    stage.pay(signed, 1)
    stage.bob.tell(ClaimHold(signed.hold_id))
    for _ in range(3):
        stage.wait(2 * SECOND)
        stage.world.forget_pool()
        stage.block(1)
    assert stage.bob.wallet.get_view().waiting == 1
    assert stage.bob.wallet.get_view().seq == 1


def test_a_hold_takes_claims_along(stage: Stage) -> None:
    # [WALLET-SUBMIT.3]
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    stage.pay(signed, 2)
    stage.bob.tell(ClaimHold(signed.hold_id))
    back = stage.bob.sign_hold(make_draft(payee=ALICE))
    opened = stage.world.opener.open(back.feed)
    assert [type(op) for op in opened.ops] == [Hold, Claim]
    hold = opened.ops[back.position]
    assert isinstance(hold, Hold)
    assert hold.anchor == back.links[:32]
    stage.bob.tell(SubmitHold(back.hold_id))
    stage.block()
    end = stage.find_end(signed)
    assert end is not None
    assert end.paid == 200


def test_a_hold_that_extends_another_comes_alone(stage: Stage) -> None:
    # [WALLET-SUBMIT.3]
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    stage.pay(signed, 2)
    stage.bob.tell(ClaimHold(signed.hold_id))
    further = stage.bob.sign_hold(replace(make_draft(payee=ALICE), flags=HoldFlag.EXTENDS))
    assert [type(op) for op in stage.world.opener.open(further.feed).ops] == [Hold]


def test_a_claim_waits_until_its_hold_is_final(stage: Stage) -> None:
    # [WALLET-CLAIM.2]
    signed = stage.alice.sign_hold(make_draft())
    stage.pay(signed, 1)
    stage.bob.tell(ClaimHold(signed.hold_id))
    stage.wait(1_500 * MILLISECOND)
    stage.block()
    assert stage.bob.wallet.get_view().waiting == 0
    stage.alice.tell(SubmitHold(signed.hold_id))
    stage.block()
    stage.wait(2 * SECOND)
    stage.block()
    assert stage.find_end(signed) is not None


def test_a_declined_hold_is_given_back(stage: Stage) -> None:
    # [WALLET-CLAIM.3]
    before = stage.avail(ALICE)
    signed = stage.alice.sign_hold(make_draft())
    stage.alice.tell(SubmitHold(signed.hold_id))
    stage.bob.tell(KeepPreimage(signed.hold_id, 0, signed.links[:32], 0))
    stage.bob.tell(ClaimHold(signed.hold_id))
    stage.block()
    assert stage.avail(ALICE) == before - HOLD_MAX - FEE
    stage.wait(2 * SECOND)
    stage.block()
    assert stage.avail(ALICE) == before - FEE


def test_preimages_are_written_together_within_a_tenth_of_a_second(stage: Stage) -> None:
    # [WALLET-WRITE.2]
    signed = stage.alice.sign_hold(make_draft())
    writes = len(stage.bob.disk.before)
    for depth in range(1, 6):
        stage.pay(signed, depth)
    stage.wait(99 * MILLISECOND)
    assert len(stage.bob.disk.before) == writes
    stage.wait(MILLISECOND)
    assert len(stage.bob.disk.before) == writes + 1


def test_a_killed_payee_claims_what_it_had_written(stage: Stage) -> None:
    # [WALLET-CLAIM.4]
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    stage.pay(signed, 3)
    stage.wait(100 * MILLISECOND)
    stage.pay(signed, 4)
    stage.restart(BOB)
    stage.wait(2 * SECOND)
    stage.block()
    end = stage.find_end(signed)
    assert end is not None
    assert (end.ending, end.paid) == (Ending.CLAIMED, 300)


def test_a_payee_goes_deeper_than_a_close_while_its_stream_still_runs(stage: Stage) -> None:
    # [WALLET-CLAIM.5]
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    stage.pay(signed, 5)
    stage.alice.tell(HoldOver(signed.hold_id, 1))
    stage.pass_time(TINY_LEDGER.claim_window_ms // 2 + 500)
    stage.pass_time(3_000)
    stage.pass_time(1_000)
    end = stage.find_end(signed)
    assert end is not None
    assert (end.ending, end.paid) == (Ending.CLAIMED, 500)


def test_a_refused_claim_is_tried_a_few_times_and_no_more(stage: Stage) -> None:
    # [WALLET-CLAIM.6]
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    before = stage.avail(BOB)
    stage.bob.tell(KeepPreimage(signed.hold_id, 2, b"no preimage".ljust(32), 200))
    stage.bob.tell(ClaimHold(signed.hold_id))
    for _ in range(6):
        stage.wait(2 * SECOND)
        stage.block()
    assert stage.avail(BOB) == before - 3 * FEE


def test_an_unclaimed_hold_is_closed_where_it_ended(stage: Stage) -> None:
    # [WALLET-CLOSE.1]
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    stage.alice.tell(HoldOver(signed.hold_id, 2))
    stage.pass_time(TINY_LEDGER.claim_window_ms // 2 - 100)
    assert stage.alice.wallet.get_view().waiting == 0
    stage.pass_time(2_500 + TINY_LEDGER.claim_window_ms)
    end = stage.find_end(signed)
    assert end is not None
    assert (end.ending, end.paid) == (Ending.CLOSED, 200)
    assert stage.alice.wallet.get_view().held == 0


def test_a_payer_that_forgot_the_depth_closes_nothing(stage: Stage) -> None:
    # [WALLET-CLOSE.2]
    signed = stage.alice.sign_hold(make_draft())
    stage.wait(2 * SECOND)
    stage.block()
    stage.alice.tell(HoldOver(signed.hold_id, 2))
    alice = stage.restart(ALICE)
    assert alice.wallet.get_view().held == HOLD_MAX
    stage.pass_time(9_500)
    end = stage.find_end(signed)
    assert end is not None
    assert (end.ending, end.paid) == (Ending.EXPIRED, 0)
    assert stage.alice.wallet.get_view().held == 0


def test_an_expired_hold_is_signed_again_under_its_name(stage: Stage) -> None:
    # [WALLET-RENEW.1]
    stage.world.cut(0)
    signed = stage.alice.sign_hold(make_draft())
    stage.pay(signed, 2)
    stage.bob.tell(ClaimHold(signed.hold_id))
    # A hold names its epoch, and two have passed.
    stage.pass_time(2 * TINY_LEDGER.epoch_ms + 100)
    stage.world.heal(0)
    stage.block()
    assert len(stage.world.seen[ALICE, 1]) == 2
    stage.pass_time(3_000)
    end = stage.find_end(signed)
    assert end is not None
    assert end.paid == 200


def test_an_expired_hold_nobody_worked_for_is_dropped(stage: Stage) -> None:
    # [WALLET-RENEW.2]
    before = stage.avail(ALICE)
    stage.world.cut(0)
    signed = stage.alice.sign_hold(make_draft())
    stage.alice.tell(HoldOver(signed.hold_id, 0))
    stage.pass_time(TINY_LEDGER.feed_life_ms + 100)
    stage.world.heal(0)
    stage.pass_time(1_000)
    assert stage.avail(ALICE) == before
    assert stage.alice.wallet.get_view().held == 0
    other = stage.alice.sign_hold(make_draft())
    assert other.hold_id != signed.hold_id


def test_a_dropped_hold_leaves_its_number_to_the_holds_behind_it(stage: Stage) -> None:
    # [WALLET-RENEW.3]
    stage.world.cut(0)
    first, second = (stage.alice.sign_hold(make_draft()) for _ in range(2))
    stage.alice.tell(HoldOver(first.hold_id, 0))
    stage.pay(second, 4)
    stage.bob.tell(ClaimHold(second.hold_id))
    stage.pass_time(TINY_LEDGER.feed_life_ms + 100)
    stage.world.heal(0)
    stage.pass_time(3_000)
    end = stage.find_end(second)
    assert end is not None
    assert end.paid == 400


def test_an_order_that_expired_is_done_after_all(stage: Stage) -> None:
    stage.world.cut(0)
    order(stage.alice, 1, Transfer(name(4), 9_000))
    first_id = stage.alice.signed[1]
    stage.pass_time(TINY_LEDGER.feed_life_ms + 100)
    stage.world.heal(0)
    assert stage.alice.signed[1] != first_id
    stage.block()
    assert stage.alice.settled[1].feed_id == stage.alice.signed[1]


def test_keys_of_others_make_other_chains() -> None:
    first, second = Stage(), Stage()
    second.world.start(BOB, second.bob.disk, second.bob.ledger)
    assert isinstance(second.bob.node_id, Pen)
    draft = make_draft(payee=4)
    assert first.alice.sign_hold(draft).links != second.bob.sign_hold(draft).links
