"""When the wallet signs at all, what it refuses its operator, and what it says about its account.

Two wallets in virtual time beside a real ledger with tiny numbers; a follower hears heads from its
neighbours as links would tell them. Every number is the ledger's own.
"""

import hashlib

import pytest

from tests.fakes.asked_ledger import AskedLedger
from tests.fakes.wallet_node import FeedDisk, WalletNode
from tests.property.ledger_world import Pen, name
from tests.property.wallet_world import ALICE, BOB, LIFE_MS
from tests.unit.core.wallet.wallet_stage import HOLD_MAX, Stage, make_draft, order
from wwwserve.core.chain import ACCOUNT_WAITING_MAX
from wwwserve.core.chain.admission import compute_spending as compute_admitted
from wwwserve.core.ledger import Ledger
from wwwserve.core.ledger.rules import HOLDS_OPEN_MAX as LEDGER_HOLDS_OPEN_MAX
from wwwserve.core.wallet import ClaimHold, ShowFork, SubmitHold, Wallet, WalletSetup
from wwwserve.core.wallet.budget import compute_spending
from wwwserve.core.wallet.line import LINE_LENGTH_MAX
from wwwserve.core.wallet.standing import HEIGHTS_BEHIND_MAX, HOLDS_OPEN_MAX
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import MAIN_LEDGER, TINY_LEDGER
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import Refusal
from wwwserve.wire import encode
from wwwserve.wire.ledger import (
    Bond,
    Door,
    Evidence,
    Join,
    Leave,
    Purse,
    Puzzle,
    SealedFeed,
    Sponsor,
    Transfer,
    Unbond,
    compute_puzzle,
    count_zero_bits,
    seal_feed,
)

FEE = TINY_LEDGER.op_fee
LEAST = TINY_LEDGER.balance_min
OTHER = 1
"""An account without a wallet here."""
FORKED = 1
"""Its first number."""


@pytest.fixture
def stage() -> Stage:
    return Stage()


def start_newcomer(stage: Stage, number: int) -> WalletNode:
    ledger = Ledger.from_genesis(stage.world.genesis)
    stage.world.is_linked[number] = True
    stage.world.start(number, FeedDisk(), ledger)
    return stage.world.nodes[number]


def solve(number: int, network_id: bytes) -> Puzzle:
    """An entry puzzle of this network's first beacon."""
    for count in range(1_000):
        puzzle = Puzzle(network_id, count.to_bytes(8, "big"))
        digest = compute_puzzle(name(number), network_id, puzzle, memory_log2=1)
        if count_zero_bits(digest) >= TINY_LEDGER.puzzle_bits:
            return puzzle
    raise AssertionError


# -- what others require --------------------------------------------------------------------------


def test_the_wallet_and_the_sequencer_count_alike() -> None:
    assert LINE_LENGTH_MAX == ACCOUNT_WAITING_MAX
    assert HOLDS_OPEN_MAX == LEDGER_HOLDS_OPEN_MAX
    for op in (Transfer(name(4), 7), Bond(3), Unbond(3), Leave(), Sponsor(name(4), 2)):
        assert compute_spending(op, MAIN_LEDGER) == compute_admitted(op, MAIN_LEDGER)


# -- readiness ------------------------------------------------------------------------------------


def test_a_follower_signs_nothing_before_it_has_heard_of_the_log(stage: Stage) -> None:
    # [WALLET-READY.1]
    for _ in range(3):
        stage.block()
    ledger = Ledger.from_genesis(stage.world.genesis)
    stage.world.is_linked[ALICE] = False
    stage.world.start(ALICE, FeedDisk(), ledger)
    assert "neighbours told nothing" in stage.alice.wallet.get_view().waits_for
    stage.alice.hear(3)
    assert "ends at height 0 here, neighbours told of 3" in stage.alice.wallet.get_view().waits_for
    assert stage.alice.wallet.spendable == 0
    stage.world.heal(0)
    assert stage.alice.wallet.is_ready


def test_a_follower_a_few_blocks_behind_goes_on(stage: Stage) -> None:
    stage.world.is_linked[ALICE] = False
    stage.alice.hear(HEIGHTS_BEHIND_MAX)
    assert stage.alice.wallet.is_ready
    stage.alice.hear(HEIGHTS_BEHIND_MAX + 1)
    assert not stage.alice.wallet.is_ready


def test_the_sequencer_waits_for_nobody(stage: Stage) -> None:
    ledger = AskedLedger(lambda: stage.world.ledger)
    wallet = Wallet(WalletSetup(Pen(name(0)), is_sequencer=True), ledger)
    wallet.start(Moment(0))
    assert wallet.is_ready


def test_a_word_that_is_not_known_here_silences_the_wallet(stage: Stage) -> None:
    # [WALLET-SILENT.1]
    old = dict(stage.alice.disk.values)
    order(stage.alice, 1, Transfer(name(4), 5_000))
    stage.block()
    alice = stage.replace_disk(ALICE, old)
    assert not alice.wallet.is_ready
    assert f"{LIFE_MS + 1} ms" in alice.wallet.get_view().waits_for
    order(alice, 2, Transfer(name(4), 5_000))
    assert alice.refused[2].rule == "wallet-waits"
    stage.pass_time(LIFE_MS)
    assert "another 1 ms" in stage.alice.wallet.get_view().waits_for
    stage.pass_time(1)
    signed = stage.alice.sign_hold(make_draft())
    assert stage.world.opener.open(signed.feed).header.seq == 2


def test_the_silence_outlives_a_kill(stage: Stage) -> None:
    old = dict(stage.alice.disk.values)
    order(stage.alice, 1, Transfer(name(4), 5_000))
    stage.block()
    stage.replace_disk(ALICE, old)
    stage.pass_time(500)
    alice = stage.restart(ALICE)
    assert f"{LIFE_MS - 500 + 1} ms" in alice.wallet.get_view().waits_for


def test_two_machines_with_one_key_do_not_fork_for_long(stage: Stage) -> None:
    """The other one's word takes a number that is signed here: all behind it is given up."""
    # [WALLET-SILENT.2]
    stage.world.cut(0)
    order(stage.alice, 1, Transfer(name(4), 5_000))
    stage.world.put_copy(ALICE, Transfer(name(4), 7))
    stage.block()
    stage.world.heal(0)
    assert stage.alice.refused[1].rule == "feed-replaced"
    assert not stage.alice.wallet.is_ready


def test_after_an_unclean_boot_all_that_was_lost_expires_first(stage: Stage) -> None:
    # [WALLET-SILENT.3]
    stage.alice.sign_hold(make_draft())
    stage.alice.disk.lose(1)
    alice = stage.restart(ALICE, is_clean_boot=False)
    assert not alice.wallet.is_ready
    stage.pass_time(LIFE_MS + 1)
    assert stage.alice.wallet.is_ready
    stage.alice.sign_hold(make_draft())


def test_a_kill_needs_no_silence(stage: Stage) -> None:
    # [WALLET-WRITE.3]
    stage.alice.sign_hold(make_draft())
    assert stage.restart(ALICE).wallet.is_ready
    assert len(stage.world.pool) == 1
    stage.block()
    stage.wait(SECOND)
    assert stage.restart(ALICE).wallet.is_ready
    assert stage.world.pool == []


def test_a_full_line_waits_for_the_sequencer(stage: Stage) -> None:
    # [WALLET-LINE.1]
    stage.world.cut(0)
    for _ in range(LINE_LENGTH_MAX):
        stage.alice.sign_hold(make_draft())
    view = stage.alice.wallet.get_view()
    assert f"{LINE_LENGTH_MAX} feed blocks" in view.waits_for
    assert stage.alice.wallet.is_busy, "the next block is all that it waits for"
    assert (view.waiting, view.held) == (LINE_LENGTH_MAX, LINE_LENGTH_MAX * HOLD_MAX)
    stage.alice.tell(ClaimHold(bytes(32)))
    stage.world.heal(0)
    stage.wait(2 * SECOND)
    stage.block()
    assert stage.alice.wallet.is_ready
    assert not stage.alice.wallet.is_busy


def test_no_more_is_said_than_an_epoch_allows(stage: Stage) -> None:
    # [WALLET-BUDGET.2]
    allowed = 2 * TINY_LEDGER.rate_ops_per_seat * TINY_LEDGER.rate_fee_factor_max
    said = 0
    while not stage.alice.wallet.get_view().waits_for:
        order(stage.alice, said, *[Transfer(name(4), 1)] * 8)
        said += 8
        stage.block(1)
    assert said == allowed
    assert "epoch" in stage.alice.wallet.get_view().waits_for
    stage.pass_time(TINY_LEDGER.epoch_ms)
    assert stage.alice.wallet.is_ready
    stage.world.check_refusals()


# -- other accounts ------------------------------------------------------------------------------


def fork(stage: Stage, number: int) -> tuple[SealedFeed, SealedFeed]:
    """Two words of an account at one number, the first of which is in the log now."""
    account = stage.world.ledger.accounts[name(number)]
    words = [
        seal_feed(
            (Transfer(name(ALICE), amount),),
            seq=account.seq + 1,
            previous=account.head,
            valid_until_ms=LIFE_MS,
            signer=Pen(name(number)),
            network_id=stage.world.network_id,
        )
        for amount in (1, 2)
    ]
    stage.world.submit(stage.world.opener.open(words[0]))
    stage.block()
    return words[0], words[1]


def test_a_fork_is_shown_in_a_word_of_its_own_and_once(stage: Stage) -> None:
    # [WALLET-PROOF.1]
    entered, void = fork(stage, OTHER)
    for _ in range(2):
        stage.alice.tell(ShowFork(name(OTHER), FORKED, entered, void))
    stage.wait(2 * SECOND)
    (word,) = stage.alice.wallet._line.blocks  # noqa: SLF001 - what is signed and waits
    assert [type(op) for op in word.ops] == [Evidence]
    stage.block()
    assert stage.world.ledger.accounts[name(OTHER)].fined_seq == FORKED
    stage.wait(10 * SECOND)
    assert stage.alice.wallet.get_view().waiting == 0


def test_what_somebody_else_has_shown_is_not_paid_for(stage: Stage) -> None:
    # [WALLET-PROOF.2]
    entered, void = fork(stage, OTHER)
    stage.bob.tell(ShowFork(name(OTHER), FORKED, entered, void))
    stage.wait(2 * SECOND)
    seq = stage.alice.wallet.get_view().seq
    stage.alice.tell(ShowFork(name(OTHER), FORKED, entered, void))
    stage.block()
    stage.wait(10 * SECOND)
    assert stage.alice.wallet.get_view().seq == seq, "nothing was signed"


# -- money ----------------------------------------------------------------------------------------


def test_what_waits_is_taken_off(stage: Stage) -> None:
    # [WALLET-BUDGET.1]
    wallet, avail = stage.alice.wallet, stage.avail(ALICE)
    assert wallet.spendable == avail - LEAST - FEE
    stage.alice.sign_hold(make_draft())
    assert wallet.spendable == avail - LEAST - HOLD_MAX - 2 * FEE
    order(stage.alice, 1, Bond(2))
    assert wallet.spendable == avail - LEAST - HOLD_MAX - 10 * CREDIT - 3 * FEE
    for _ in range(2):
        stage.wait(2 * SECOND)
        stage.block()
    assert wallet.spendable == stage.avail(ALICE) - LEAST - FEE


def test_words_that_make_the_next_one_dearer_are_counted_in(stage: Stage) -> None:
    wallet, avail = stage.alice.wallet, stage.avail(ALICE)
    allowance = 2 * TINY_LEDGER.rate_ops_per_seat
    for number in range(allowance // 8):
        order(stage.alice, number, *[Transfer(name(4), 1)] * 8)
    assert wallet.spendable == avail - LEAST - allowance * (FEE + 1) - 2 * FEE


def test_all_that_is_spendable_can_be_spent(stage: Stage) -> None:
    wallet = stage.alice.wallet
    order(stage.alice, 1, Transfer(name(4), wallet.spendable))
    assert wallet.spendable == 0
    stage.block()
    assert stage.alice.settled[1].denied == ()
    assert stage.avail(ALICE) == LEAST


@pytest.mark.parametrize(
    ("ops", "rule"),
    [
        ((), "order-ops"),
        ((Leave(),) * 65, "order-ops"),
        ((Transfer(name(4), 40 * CREDIT),), "balance"),
        ((Transfer(name(4), 20 * CREDIT), Transfer(name(3), 20 * CREDIT)), "balance"),
        ((Bond(8),), "balance"),
        ((Unbond(3),), "bond"),
        ((Sponsor(name(5), 1), Unbond(2)), "bond"),
        ((Purse(5, is_out=False),), "stage"),
    ],
)
def test_an_order_that_is_not_covered_is_refused(
    stage: Stage, ops: tuple[Transfer, ...], rule: str
) -> None:
    # [WALLET-ORDER.1]
    order(stage.alice, 7, *ops)
    assert stage.alice.refused[7].rule == rule
    assert stage.alice.refused[7].detail
    assert stage.alice.wallet.get_view().waiting == 0


def test_an_order_is_answered_and_settled(stage: Stage) -> None:
    # [WALLET-ORDER.2]
    stage.alice.is_quick = False
    order(stage.alice, 3, Transfer(name(4), 5_000), Transfer(name(ALICE), 1))
    assert stage.alice.signed == {}
    stage.alice.finish_writes()
    feed_id = stage.alice.signed[3]
    stage.alice.is_quick = True
    stage.block()
    settled = stage.alice.settled[3]
    assert (settled.feed_id, settled.seq) == (feed_id, 1)
    assert [(op.position, op.rule) for op in settled.denied] == [(1, "transfer-self")]


def test_a_key_without_an_account_can_only_join(stage: Stage) -> None:
    # [WALLET-ORDER.3]
    node = start_newcomer(stage, 6)
    assert "an account" in node.wallet.get_view().waits_for
    order(node, 1, Transfer(name(4), 1))
    assert node.refused[1].rule == "account-unknown"
    order(node, 2, Join(Door.DEV))
    order(node, 3, Join(Door.DEV))
    assert node.refused[3].rule == "wallet-waits"
    stage.block()
    assert node.settled[2].seq == 0
    assert node.wallet.is_ready
    order(node, 4, Transfer(name(4), 1_000))
    stage.block()
    assert node.settled[4].denied == ()


def test_a_newcomer_without_credits_claims_its_first_pay(stage: Stage) -> None:
    node = start_newcomer(stage, 6)
    order(node, 1, Join(Door.EARN, solve(6, stage.world.network_id)))
    stage.block()
    assert (node.wallet.get_view().debt, node.wallet.spendable) == (FEE, 0)
    signed = stage.alice.sign_hold(make_draft(unit=20_000, payee=6))
    stage.alice.tell(SubmitHold(signed.hold_id))
    stage.block()
    stage.world.keep(6, signed, 3)
    node.tell(ClaimHold(signed.hold_id))
    stage.wait(2 * SECOND)
    stage.block()
    end = stage.find_end(signed)
    assert end is not None
    assert end.paid == 60_000


def test_the_forecast_is_that_of_the_last_hour(stage: Stage) -> None:
    # [WALLET-VIEW.1]
    assert stage.alice.wallet.get_view().forecast_ms is None
    for number in range(6):
        order(stage.alice, number, Transfer(name(4), CREDIT))
        stage.pass_time(10_000)
    view = stage.alice.wallet.get_view()
    assert view.spent == 6 * (CREDIT + FEE)
    # A minute's outgo, at the pace of that minute.
    assert view.forecast_ms == view.spendable * 60_000 // view.spent
    income = stage.bob
    order(income, 1, Transfer(name(ALICE), 7 * CREDIT))
    stage.block()
    assert stage.alice.wallet.get_view().forecast_ms is None
    assert stage.alice.wallet.get_view().earned == 7 * CREDIT


def test_a_lane_of_another_key_is_refused(stage: Stage) -> None:
    stage.alice.sign_hold(make_draft())
    setup = WalletSetup(Pen(name(BOB)), stored=dict(stage.alice.disk.values))
    with pytest.raises(Refusal, match="feed-signature"):
        Wallet(setup, AskedLedger(lambda: stage.world.ledger))


def test_a_halted_ledger_is_signed_for_no_more(stage: Stage) -> None:
    stage.world.halt()
    stage.alice.tell(ClaimHold(hashlib.sha256(encode(0)).digest()))
    assert "two histories" in stage.alice.wallet.get_view().waits_for
