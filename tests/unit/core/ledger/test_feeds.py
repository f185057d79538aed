"""A feed block counts once, in its turn and time, for its fee; an account needs its minimum.

As in `test_payment`: a small network, what people say, and what it does to balances.
"""

from msgspec.structs import replace

from tests.property.ledger_world import World, make_genesis, name
from tests.unit.core.ledger.people import (
    ALICE,
    BOB,
    CAROL,
    FEE,
    NEW,
    SEQUENCER,
    get,
    refusals,
    tell,
)
from wwwserve.core.ledger import (
    AccountOpened,
    FeedApplied,
)
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Leave,
    Register,
    Transfer,
)

# -- feed blocks -------------------------------------------------------------------------------


def test_number_and_fee_are_used_up_by_failed_ops_too() -> None:
    # [LEDGER-FEED.3], [LEDGER-FEE.1]
    world = World()
    pool = world.ledger.log.pool
    assert tell(world, ALICE, Transfer(name(BOB), 99 * CREDIT)) == ["balance"]
    account = world.ledger.accounts[name(ALICE)]
    assert (account.seq, account.avail) == (1, 40 * CREDIT - FEE)
    assert world.ledger.accounts[name(SEQUENCER)].avail == 2 * CREDIT + FEE // 2
    assert world.ledger.log.pool == pool + FEE - FEE // 2


def test_a_fee_may_take_the_last_of_an_account_and_must_be_there() -> None:
    # [LEDGER-FEE.1], [LEDGER-ACCOUNT.1]
    for more, rules in ((0, []), (1, ["feed-fee"])):
        genesis = make_genesis()
        dear = replace(genesis.parameters, op_fee=CREDIT // 5 // 8 + more)
        world = World(replace(genesis, parameters=dear))
        assert tell(world, CAROL, *(Leave(),) * 8) == rules


def test_only_the_next_word_counts_and_each_once() -> None:
    # [LEDGER-FEED.2]
    world = World()
    said = world.say(ALICE, Leave()).signed.sealed
    world.close()
    for seq, previous, rule in (
        (1, said.compute_id(), "feed-seq"),
        (3, said.compute_id(), "feed-seq"),
        (2, NO_DIGEST, "feed-previous"),
    ):
        world.put(world.write(ALICE, Leave(), seq=seq, previous=previous))
        world.put(said)
        world.close()
        assert refusals(world) == [rule, "feed-seq"]


def test_of_two_feed_blocks_with_one_number_the_first_in_the_log_counts() -> None:
    # [LEDGER-FEED.2] A double spend: all of it to Bob, and all of it to Carol.
    world = World()
    for target in (BOB, CAROL):
        op = Transfer(name(target), 39 * CREDIT)
        world.put(world.write(ALICE, op, seq=1, previous=NO_DIGEST))
    world.close()
    assert refusals(world) == ["feed-seq"]
    assert world.ledger.accounts[name(CAROL)].avail == CREDIT // 5


def test_a_feed_block_counts_until_its_last_instant_and_frees_its_number_then() -> None:
    # [LEDGER-FEED.4]
    for dt_ms, rules in ((500, []), (501, ["feed-expired"])):
        world = World()
        world.say(ALICE, Leave(), until_ms=500)
        world.close(dt_ms)
        assert refusals(world) == rules
        assert tell(world, ALICE, Leave()) == []


def test_a_feed_block_cannot_be_kept_for_later() -> None:
    # [LEDGER-FEED.4]
    for until_ms, rules in ((100 + 10_000, []), (100 + 10_001, ["feed-early"])):
        world = World()
        world.say(ALICE, Leave(), until_ms=until_ms)
        world.close(100)
        assert refusals(world) == rules


def test_who_says_much_pays_more_and_then_is_not_heard() -> None:
    # [LEDGER-FEE.2] Carol has no seats: 8 ops, then twice, three times the fee, then none.
    world = World()
    ops = (Transfer(name(CAROL), 1),) * 8
    fees = []
    for _ in range(4):
        world.say(CAROL, *ops)
        world.close(0)
        fees += [fact.fee for fact in world.facts if isinstance(fact, FeedApplied)]
    assert fees == [8 * FEE, 16 * FEE, 24 * FEE]
    assert refusals(world) == ["feed-rate"]
    world.wait(TINY_LEDGER.epoch_ms)
    assert set(tell(world, CAROL, *ops)) == {"transfer-self"}


def test_seats_allow_more() -> None:
    # [LEDGER-FEE.2] Alice has two seats: 48 ops at the plain fee.
    world = World()
    fees = []
    for _ in range(3):
        world.say(ALICE, *(Transfer(name(ALICE), 1),) * 24)
        world.close(0)
        fees += [fact.fee for fact in world.facts if isinstance(fact, FeedApplied)]
    assert fees == [24 * FEE, 24 * FEE, 48 * FEE]


# -- accounts ----------------------------------------------------------------------------------


def test_an_account_begins_with_the_minimum_and_keeps_it() -> None:
    # [LEDGER-ACCOUNT.1]
    least = TINY_LEDGER.balance_min
    world = World()
    assert tell(world, ALICE, Transfer(name(NEW), least - 1)) == ["transfer-small"]
    assert tell(world, ALICE, Transfer(name(NEW), least)) == []
    rest = get(world, ALICE).avail - FEE - least
    assert tell(world, ALICE, Transfer(name(BOB), rest + 1)) == ["balance"]
    assert tell(world, ALICE, Transfer(name(BOB), rest - FEE)) == []


def test_an_account_that_comes_back_repeats_nothing() -> None:
    # [LEDGER-FEED.5], [LEDGER-ACCOUNT.2]
    world = World()
    everything = get(world, CAROL).avail - FEE
    said = world.say(CAROL, Transfer(name(BOB), everything)).signed.sealed
    world.close()
    assert name(CAROL) not in world.ledger.accounts
    tell(world, ALICE, Transfer(name(CAROL), CREDIT))
    first = world.ledger.log.height * 2**20
    assert get(world, CAROL).seq == first
    assert AccountOpened(name(CAROL), first) in world.facts
    world.put(said)
    world.close()
    assert refusals(world) == ["feed-seq"]


def test_dust_goes_to_the_pool() -> None:
    # [LEDGER-ACCOUNT.2]
    world = World()
    tell(world, ALICE, Transfer(name(NEW), TINY_LEDGER.balance_min))
    pool = world.ledger.log.pool
    assert tell(world, NEW, Leave()) == []
    assert name(NEW) not in world.ledger.accounts
    assert world.ledger.log.pool == pool + TINY_LEDGER.balance_min - FEE // 2


def test_a_key_is_registered_once_and_changed_by_rotation_only() -> None:
    # [LEDGER-REGISTER.1]
    world = World()
    key = b"h" * 32
    first = Register(0, b"", b"", key, (b"m" * 32,), b"", b"")
    assert tell(world, ALICE, first) == []
    assert tell(world, ALICE, Register(0, b"", b"", b"i" * 32, (), b"", b"")) == ["register-key"]
    assert tell(world, ALICE, Register(0, b"", b"", bytes(32), (), b"", b"")) == ["register-key"]
    assert tell(world, ALICE, Register(0, b"", b"", key, (), b"", b"")) == []
    assert tell(world, ALICE, Register(8, b"", b"", key, (), b"", b"")) == ["register-flags"]
    # [LEDGER-STAGE.1]
    assert tell(world, ALICE, Register(1, b"", b"", key, (), b"", b"")) == ["stage"]
    registration = get(world, ALICE).registration
    assert registration
    assert (registration.hot_key, registration.models) == (key, ())
