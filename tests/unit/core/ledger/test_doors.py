"""How new keys come in, what it costs them, and that no door gives more than its cap.

As in `test_payment`: a small network, what strangers say, and what they get for it.
"""

from msgspec.structs import replace

from tests.property.ledger_world import World, make_genesis, name
from tests.unit.core.ledger.people import (
    ALICE,
    BOB,
    CAROL,
    EPOCH,
    FEE,
    NEW,
    NEWER,
    SEAT,
    SECRET,
    STRANGER,
    UNITS,
    buy,
    enter,
    get,
    make_hold,
    refusals,
    solve,
    tell,
)
from wwwserve.core.ledger import Joined, NewcomerEnded
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Bond,
    Circulation,
    Claim,
    Close,
    Door,
    Join,
    Leave,
    Register,
    Sponsor,
    Transfer,
    compute_anchor,
)

# -- doors -------------------------------------------------------------------------------------


def test_a_faucet_gives_so_much_an_epoch_for_a_puzzle() -> None:
    # [LEDGER-DOOR.1], [LEDGER-DOOR.2]
    world = World()
    pool, grant = world.ledger.log.pool, TINY_LEDGER.faucet_grant
    assert tell(world, NEW, Join(Door.FAUCET)) == ["puzzle"]
    assert tell(world, NEW, Join(Door.FAUCET, solve(world, NEW, well=False))) == ["puzzle"]
    assert tell(world, NEW, Join(Door.FAUCET, solve(world, NEW, b"b" * 32))) == ["puzzle"]
    assert tell(world, NEW, Join(Door.FAUCET, solve(world, NEW))) == []
    assert get(world, NEW).avail == grant - FEE
    assert tell(world, NEWER, Join(Door.DEV)) == []
    assert tell(world, CAROL, Join(Door.DEV)) == ["door-full"]
    assert world.ledger.log.pool == pool - 2 * grant + 3 * (FEE - FEE // 2)
    old = solve(world, STRANGER)
    world.wait(EPOCH)
    assert tell(world, CAROL, Join(Door.DEV)) == []
    assert tell(world, STRANGER, Join(Door.FAUCET, old)) == []
    world.wait(2 * EPOCH)
    assert tell(world, BOB, Join(Door.FAUCET, old)) == ["puzzle"]


def test_a_pool_without_a_grant_gives_none() -> None:
    # [LEDGER-DOOR.1]
    world = World(make_genesis(pool=0))
    assert tell(world, NEW, Join(Door.DEV)) == ["door-full"]


def test_a_closed_door_lets_nobody_in() -> None:
    # [LEDGER-DOOR.2]
    world = World(replace(make_genesis(Circulation.OPEN), doors=(Door.EARN,)))
    assert tell(world, NEW, Join(Door.DEV)) == ["door-closed"]
    assert tell(world, ALICE, Sponsor(name(NEW), 1)) == ["door-closed"]


def test_the_first_word_of_a_key_is_one_join_and_is_not_said_twice() -> None:
    # [LEDGER-DOOR.3] It empties its account at once; before its Join has expired it stays.
    world = World()
    first = world.say(NEW, Join(Door.DEV), until_ms=1_000).signed.sealed
    world.close()
    assert tell(world, NEWER, Transfer(name(BOB), 1)) == ["account-unknown"]
    rest = get(world, NEW).avail - FEE - TINY_LEDGER.balance_min
    tell(world, NEW, Transfer(name(BOB), rest))
    tell(world, NEW, Leave())
    assert name(NEW) in world.ledger.accounts
    world.put(first)
    world.close()
    assert refusals(world) == ["feed-seq"]
    world.wait(1_000)
    assert name(NEW) not in world.ledger.accounts


def test_a_newcomer_pays_its_fees_then_its_seat_from_what_it_earns() -> None:
    # [LEDGER-EARN.1]
    world = World()
    enter(world, NEW)
    newcomer = get(world, NEW).newcomer
    assert newcomer
    assert (newcomer.debt, get(world, NEW).avail) == (FEE, 0)
    assert tell(world, NEW, Transfer(name(BOB), 1)) == ["newcomer-debt"]
    hold_id = buy(world, ALICE, NEW)
    assert tell(world, NEW, Claim(hold_id, 3, compute_anchor(SECRET, UNITS - 3))) == []
    paid = SEAT + 2 * CREDIT // 10
    account = get(world, NEW)
    assert (account.bond, account.avail, account.newcomer) == (SEAT, paid - SEAT - 3 * FEE, None)
    assert world.ledger.log.newcomers == 0
    assert NewcomerEnded(name(NEW), is_seated=True) in world.facts
    world.wait(EPOCH)
    assert world.ledger.seats[name(NEW)] == 1


def test_newcomers_slots_are_few_and_lost_in_time() -> None:
    # [LEDGER-EARN.2]
    world = World()
    enter(world, NEW)
    enter(world, NEWER)
    assert tell(world, STRANGER, Join(Door.EARN, solve(world, STRANGER))) == ["door-full"]
    world.wait(TINY_LEDGER.newcomer_slot_ms)
    assert world.ledger.log.newcomers == 0
    assert name(NEW) not in world.ledger.accounts
    enter(world, STRANGER)


def test_holds_of_different_seated_payers_that_come_to_nothing_cost_the_slot() -> None:
    # [LEDGER-EARN.3]
    world = World()
    enter(world, NEW)
    nothing = compute_anchor(SECRET, UNITS)
    for payer in (ALICE, ALICE, BOB):
        assert get(world, NEW).newcomer
        tell(world, payer, Close(buy(world, payer, NEW), 0, nothing))
        world.wait(TINY_LEDGER.claim_window_ms)
    assert name(NEW) not in world.ledger.accounts
    assert world.ledger.log.newcomers == 0
    # Its slot's last instant comes, and nobody is there.
    world.wait(TINY_LEDGER.newcomer_slot_ms)
    assert world.ledger.log.newcomers == 0


def test_a_seat_is_earned_in_parts_and_what_was_earned_is_kept_without_the_slot() -> None:
    # [LEDGER-EARN.1], [LEDGER-EARN.2]
    world = World()
    enter(world, NEW)
    earned = 0
    for _ in range(2):
        hold_id = buy(world, ALICE, NEW, first=2 * CREDIT)
        tell(world, NEW, Claim(hold_id, 1, compute_anchor(SECRET, UNITS - 1)))
        earned += 2 * CREDIT
    account = get(world, NEW)
    assert (account.bond, account.avail) == (earned - 3 * FEE, 0)
    tell(world, NEW, Transfer(name(BOB), 1))
    assert account.newcomer
    assert account.newcomer.debt == FEE
    pool = world.ledger.log.pool
    world.wait(account.newcomer.until_ms - world.time_ms)
    assert NewcomerEnded(name(NEW), is_seated=False) in world.facts
    account = get(world, NEW)
    assert (account.bond, account.avail, account.newcomer) == (0, earned - 4 * FEE, None)
    assert world.ledger.log.pool == pool + FEE - FEE // 2


def test_a_newcomer_may_owe_so_much_and_no_more() -> None:
    # [LEDGER-EARN.1]
    most = TINY_LEDGER.newcomer_debt_max // FEE - 1
    for ops, rules in ((most, []), (most + 1, ["feed-fee"])):
        genesis = make_genesis()
        rates = replace(genesis.parameters, rate_ops=1_000)
        world = World(replace(genesis, parameters=rates))
        enter(world, NEW)
        register = Register(0, b"", b"", b"", (), b"", b"")
        assert tell(world, NEW, *(register,) * ops) == rules
        assert get(world, NEW).avail == 0


def test_a_first_word_with_a_number_or_a_past_is_no_first_word() -> None:
    # [LEDGER-DOOR.3]
    for seq, previous in ((1, NO_DIGEST), (0, b"p" * 32)):
        world = World()
        world.put(world.write(NEW, Join(Door.DEV), seq=seq, previous=previous))
        world.close()
        assert refusals(world) == ["feed-seq"]


def test_a_first_word_has_its_time_like_any_other() -> None:
    # [LEDGER-FEED.4]
    for dt_ms, rules in ((500, []), (501, ["feed-expired"])):
        world = World()
        world.say(NEW, Join(Door.DEV), until_ms=500)
        world.close(dt_ms)
        assert refusals(world) == rules


def test_an_account_stays_to_the_last_instant_of_its_first_word() -> None:
    # [LEDGER-DOOR.3]
    for dt_ms, is_there in ((900, True), (901, False)):
        world = World()
        world.say(NEW, Join(Door.DEV), until_ms=1_200)
        world.close()
        assert Joined(name(NEW), Door.DEV, TINY_LEDGER.faucet_grant) in world.facts
        rest = get(world, NEW).avail - FEE - TINY_LEDGER.balance_min
        tell(world, NEW, Transfer(name(BOB), rest))
        tell(world, NEW, Leave())
        world.close(dt_ms)
        assert (name(NEW) in world.ledger.accounts) is is_there


def test_earning_needs_no_grant_and_a_grant_may_take_the_whole_pool() -> None:
    # [LEDGER-DOOR.1]
    world = World(make_genesis(pool=1))
    assert tell(world, NEWER, Join(Door.DEV)) == []
    assert tell(world, STRANGER, Join(Door.DEV)) == ["door-full"]
    enter(world, NEW)


def test_a_newcomer_in_debt_cannot_spend_what_it_is_given() -> None:
    # [LEDGER-EARN.1]
    world = World()
    enter(world, NEW)
    tell(world, ALICE, Transfer(name(NEW), 10 * CREDIT))
    hold = make_hold(world, payee=name(BOB))
    for op in (hold, Bond(1), Transfer(name(BOB), 1)):
        assert tell(world, NEW, op) == ["newcomer-debt"]


def test_a_newcomer_that_has_bought_its_seat_is_none_any_more() -> None:
    # [LEDGER-EARN.1]
    world = World()
    enter(world, NEW)
    hold_id = buy(world, ALICE, NEW, first=CREDIT)
    assert tell(world, NEW, Claim(hold_id, 1, compute_anchor(SECRET, UNITS - 1))) == []
    assert get(world, NEW).newcomer
    tell(world, ALICE, Transfer(name(NEW), 10 * CREDIT))
    assert tell(world, NEW, Bond(1)) == []
    assert NewcomerEnded(name(NEW), is_seated=True) in world.facts
    assert world.ledger.log.newcomers == 0
