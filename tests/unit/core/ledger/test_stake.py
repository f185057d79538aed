"""Who stakes, sponsors and leaves: what weighs, from when, what comes free, and what is fined.

As in `test_payment`: a small network, what people say, and what it does to stake.
"""

from hashlib import sha256

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
    SEQUENCER,
    STRANGER,
    TREASURY,
    accuse,
    enter,
    fork,
    get,
    tell,
)
from wwwserve.core.entropy import Entropy
from wwwserve.core.ledger import (
    Circulated,
    StakeChanged,
    Transferred,
    Unbonded,
)
from wwwserve.core.routing import StakeTable
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Allow,
    Bond,
    Circulation,
    Door,
    GenesisAccount,
    Join,
    Leave,
    Register,
    Sponsor,
    Transfer,
    Unbond,
    Unsponsor,
)

# -- stake -------------------------------------------------------------------------------------


def test_stake_weighs_from_the_next_epoch_in_the_draw_of_executors() -> None:
    # [LEDGER-STAKE.1]
    world = World()
    table = StakeTable(world.ledger.seats)
    tell(world, ALICE, Bond(3))
    tell(world, BOB, Unbond(1))
    assert (table.get_seats(name(ALICE)), table.get_seats(name(BOB))) == (2, 1)
    world.wait(EPOCH)
    assert (table.get_seats(name(ALICE)), table.get_seats(name(BOB))) == (5, 0)
    assert dict(world.ledger.seats) == {name(ALICE): 5}
    assert len(world.ledger.seats) == 1
    drawn = table.draw(1, Entropy(b"draw"), [name(BOB), name(ALICE), name(CAROL)])
    assert drawn == (name(ALICE),)


def test_unbonding_takes_its_time_and_is_fined_until_then() -> None:
    # [LEDGER-STAKE.2]
    world = World()
    tell(world, BOB, Unbond(1))
    world.wait(TINY_LEDGER.unbonding_ms - 101)
    assert get(world, BOB).unbonding == ((100 + TINY_LEDGER.unbonding_ms, SEAT),)
    accuse(world, fork(world, BOB))
    assert get(world, BOB).unbonding[0][1] == SEAT - TINY_LEDGER.fork_fine
    avail = get(world, BOB).avail
    world.wait(1)
    assert world.facts == (Unbonded(name(BOB), SEAT - TINY_LEDGER.fork_fine),)
    assert get(world, BOB).unbonding == ()
    assert get(world, BOB).avail == avail + SEAT - TINY_LEDGER.fork_fine


def test_stake_needs_credits_and_leaves_the_minimum() -> None:
    # [LEDGER-STAKE.3]
    world = World()
    assert tell(world, ALICE, Bond(8)) == ["balance"]
    assert tell(world, ALICE, Unbond(3)) == ["bond"]
    least = TINY_LEDGER.balance_min
    for more, rules in ((0, ["balance"]), (1, [])):
        world = World()
        rest = get(world, ALICE).avail - 2 * FEE - SEAT - least + 1
        tell(world, ALICE, Transfer(name(BOB), rest - more))
        assert Transferred(name(ALICE), name(BOB), rest - more) in world.facts
        assert tell(world, ALICE, Bond(1)) == rules


def test_who_leaves_takes_everything_out() -> None:
    # [LEDGER-STAKE.4]
    world = World()
    assert tell(world, ALICE, Leave()) == []
    assert (get(world, ALICE).bond, get(world, ALICE).unbonding[0][1]) == (0, 2 * SEAT)
    world.wait(EPOCH)
    assert name(ALICE) not in world.ledger.seats


# -- sponsoring --------------------------------------------------------------------------------


def test_a_sponsors_seats_weigh_for_whom_it_sponsors_and_not_for_itself() -> None:
    # [LEDGER-SPONSOR.1]
    world = World()
    assert tell(world, ALICE, Sponsor(name(NEW), 1)) == []
    world.wait(EPOCH)
    assert (world.ledger.seats[name(ALICE)], world.ledger.seats[name(NEW)]) == (1, 1)
    assert tell(world, ALICE, Unbond(2)) == ["bond"]
    assert tell(world, ALICE, Leave()) == ["leave-sponsor"]


def test_a_sponsor_opens_the_account_and_pays_its_minimum() -> None:
    # [LEDGER-SPONSOR.2]
    world = World()
    tell(world, ALICE, Sponsor(name(NEW), 1))
    assert get(world, NEW).avail == TINY_LEDGER.balance_min
    assert get(world, NEW).seq == world.ledger.log.height * 2**20
    assert tell(world, NEW, Join(Door.SPONSOR)) == []
    assert tell(world, NEW, Join(Door.SPONSOR)) == ["join-twice"]
    assert tell(world, BOB, Join(Door.SPONSOR)) == ["join-sponsor"]
    assert tell(world, BOB, Sponsor(name(NEW), 1)) == ["sponsor-other"]


def test_whom_a_member_cannot_sponsor() -> None:
    # [LEDGER-SPONSOR.2]
    world = World()
    enter(world, NEW)
    assert tell(world, ALICE, Sponsor(name(NEW), 1)) == ["sponsor-newcomer"]
    assert tell(world, ALICE, Sponsor(name(ALICE), 1)) == ["sponsor-self"]
    assert tell(world, ALICE, Sponsor(name(BOB), 3)) == ["bond"]
    # All but the minimum goes elsewhere: nothing is left to open an account with.
    least = TINY_LEDGER.balance_min
    rest = get(world, ALICE).avail - 2 * FEE - 2 * least
    tell(world, ALICE, Transfer(name(BOB), rest + 1))
    assert tell(world, ALICE, Sponsor(name(NEWER), 1)) == ["balance"]
    tell(world, CAROL, Transfer(name(ALICE), FEE + 1))
    assert tell(world, ALICE, Sponsor(name(NEWER), 1)) == []
    assert get(world, ALICE).avail == least


def test_who_leaves_gives_its_sponsor_the_stake_back() -> None:
    # [LEDGER-STAKE.4]
    world = World()
    tell(world, ALICE, Sponsor(name(NEW), 1))
    tell(world, ALICE, Transfer(name(NEW), CREDIT))
    tell(world, NEW, Register(0, b"", b"", b"", (b"m" * 32,), b"", b""))
    assert get(world, NEW).registration
    assert tell(world, NEW, Leave()) == []
    assert StakeChanged(name(NEW), 0) in world.facts
    account = get(world, NEW)
    assert (account.sponsorship, account.registration) == (None, None)
    assert get(world, ALICE).lent == 0
    assert [amount for _, amount in get(world, ALICE).unbonding] == [SEAT]


def test_the_fine_of_the_sponsored_reaches_the_sponsor() -> None:
    # [LEDGER-SPONSOR.3]
    world = World()
    tell(world, ALICE, Sponsor(name(NEW), 1))
    accuse(world, fork(world, NEW))
    taken = TINY_LEDGER.fork_fine - TINY_LEDGER.balance_min
    assert get(world, ALICE).lent == SEAT - taken
    assert tell(world, ALICE, Unsponsor(name(NEW), 9)) == []
    assert get(world, ALICE).lent == 0
    assert get(world, ALICE).unbonding[0][1] == SEAT - taken


# -- circulation -------------------------------------------------------------------------------


def test_what_lies_above_the_mean_moves_on_allowances_first() -> None:
    # [LEDGER-CIRCULATE.1]
    world = World()
    tell(world, ALICE, Sponsor(name(NEW), 1))
    tell(world, NEW, Join(Door.SPONSOR))
    assert tell(world, TREASURY, Allow(name(CAROL), CREDIT)) == []
    assert tell(world, ALICE, Allow(name(CAROL), CREDIT)) == ["allow-treasury"]
    assert tell(world, TREASURY, Allow(name(TREASURY), CREDIT)) == ["allow-self"]
    assert tell(world, TREASURY, Allow(name(STRANGER), CREDIT // 2)) == []
    before = {who: get(world, who).avail for who in range(5)}
    new = get(world, NEW).avail
    world.wait(TINY_LEDGER.circulation_period_ms)
    others = [before[who] for who in (SEQUENCER, ALICE, BOB, CAROL)] + [new]
    mean = sum(others) // 5
    levies = [max(amount - mean, 0) // 10 for amount in others]
    levied = sum(levies)
    assert get(world, ALICE).avail == before[ALICE] - levies[1]
    assert get(world, CAROL).avail == before[CAROL] + CREDIT
    assert get(world, NEW).avail == new + levied - CREDIT
    assert get(world, TREASURY).avail == before[TREASURY]


def test_what_does_not_divide_among_the_members_goes_to_the_pool() -> None:
    # [LEDGER-CIRCULATE.1], [LEDGER-CONSERVED.1]
    world = World()
    tell(world, ALICE, Unbond(1), Sponsor(name(NEW), 1))
    tell(world, BOB, Sponsor(name(NEWER), 1))
    tell(world, NEW, Join(Door.SPONSOR))
    tell(world, NEWER, Join(Door.SPONSOR))
    rests = []
    for _ in range(3):
        world.wait(TINY_LEDGER.circulation_period_ms - world.time_ms % 20_000 - 1)
        pool = world.ledger.log.pool
        world.wait(1)
        (moved,) = [fact for fact in world.facts if isinstance(fact, Circulated)]
        rest = moved.levied - 2 * moved.share
        assert (moved.members, world.ledger.log.pool) == (2, pool + rest)
        rests.append(rest)
    assert 1 in rests


def test_a_treasury_with_too_little_pays_all_the_same_part() -> None:
    # [LEDGER-CIRCULATE.1]
    world = World()
    tell(world, TREASURY, Allow(name(CAROL), 30 * CREDIT), Allow(name(BOB), 60 * CREDIT))
    world.wait(TINY_LEDGER.circulation_period_ms - 1_000)
    before = get(world, CAROL).avail, get(world, TREASURY).avail
    world.wait(1_000)
    (moved,) = [fact for fact in world.facts if isinstance(fact, Circulated)]
    budget = before[1] + moved.levied
    assert get(world, CAROL).avail == before[0] + 30 * CREDIT * budget // (90 * CREDIT)
    assert (moved.share, moved.members) == (0, 0)


def test_whom_the_levy_leaves_less_than_the_minimum_is_removed() -> None:
    # [LEDGER-CIRCULATE.1], [LEDGER-ACCOUNT.2]
    least = TINY_LEDGER.balance_min
    genesis = make_genesis()
    poor = (genesis.accounts[0], genesis.accounts[1], GenesisAccount(name(ALICE), least + 1))
    poor = (replace(poor[0], amount=least), *poor[1:])
    world = World(replace(genesis, accounts=poor))
    world.wait(TINY_LEDGER.circulation_period_ms // 2)
    enter(world, NEW)
    enter(world, NEWER)
    assert get(world, ALICE).avail == least + 1
    world.wait(TINY_LEDGER.circulation_period_ms // 2)
    assert name(ALICE) not in world.ledger.accounts


def test_nothing_moves_in_an_open_network() -> None:
    # [LEDGER-CIRCULATE.2]
    world = World(make_genesis(Circulation.OPEN))
    before = {key: account.avail for key, account in world.ledger.accounts.items()}
    world.wait(3 * TINY_LEDGER.circulation_period_ms)
    assert {key: account.avail for key, account in world.ledger.accounts.items()} == before


def test_the_beacon_is_bound_to_every_block() -> None:
    # [LEDGER-CLOCK.2]
    world = World()
    beacon, first = world.ledger.log.beacon, world.ledger.log
    assert first.head == beacon == world.network_id
    world.close()
    log = world.ledger.log
    assert log.beacon == sha256(beacon + log.head).digest()
    assert log.epoch_beacon == world.network_id
    assert NO_DIGEST not in {log.head, log.beacon}
