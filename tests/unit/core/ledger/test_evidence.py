"""Broken promises are fined or halt everything, and cannot be made up, bought off or told twice.

As in `test_payment`: a small network, two records that contradict each other, and what follows.
"""

from msgspec.structs import replace

from tests.property.ledger_world import World, name
from tests.unit.core.ledger.people import (
    ALICE,
    BOB,
    CAROL,
    FEE,
    NEW,
    SEAT,
    SEQUENCER,
    STRANGER,
    accuse,
    fork,
    get,
    refusals,
    tell,
)
from wwwserve.core.ledger import AccountRemoved, Fined, LedgerHalted
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.refusals import Refusal
from wwwserve.wire import encode
from wwwserve.wire.ledger import (
    Evidence,
    EvidenceKind,
    Transfer,
    seal_block,
)

# -- evidence ----------------------------------------------------------------------------------


def test_a_fork_is_fined_once_and_the_cheated_payee_comes_first() -> None:
    # [LEDGER-FORK.2], [LEDGER-FORK.3]
    world = World()
    pair = fork(world, ALICE)
    world.put(pair[0].signed.sealed)
    world.close()
    pool, fine = world.ledger.log.pool, TINY_LEDGER.fork_fine
    assert accuse(world, pair) == []
    lost = min(CREDIT + 3 * CREDIT // 10, fine // 2)
    assert Fined(name(ALICE), 1, fine, lost) in world.facts
    assert get(world, ALICE).bond == 2 * SEAT - fine
    assert get(world, BOB).avail == 12 * CREDIT + lost
    assert world.ledger.log.pool == pool + fine - lost + FEE - FEE // 2
    assert accuse(world, pair) == ["evidence-seq"]


def test_who_has_less_than_the_fine_loses_all_it_has() -> None:
    # [LEDGER-FORK.3], [LEDGER-CONSERVED.1]
    world = World()
    tell(world, ALICE, Transfer(name(NEW), CREDIT))
    assert accuse(world, fork(world, NEW)) == []
    assert Fined(name(NEW), get_first(world) + 1, CREDIT, CREDIT // 2) in world.facts
    assert AccountRemoved(name(NEW), 0) in world.facts
    assert name(NEW) not in world.ledger.accounts


def get_first(world: World) -> int:
    """Which number an account opened in the block before the last began after."""
    return (world.ledger.log.height - 1) * 2**20


def test_what_is_in_the_log_cannot_be_named_as_void() -> None:
    # [LEDGER-FORK.3]
    world = World()
    first, second = fork(world, ALICE)
    world.put(second.signed.sealed)
    world.close()
    assert accuse(world, (first, second)) == ["evidence-order"]
    assert accuse(world, (second, first)) == []


def test_a_feed_block_may_be_replaced_after_it_has_expired() -> None:
    # [LEDGER-FORK.2]
    life = TINY_LEDGER.feed_life_ms
    for apart_ms, rules in ((life, []), (life + 1, ["evidence-expired"])):
        world = World()
        assert accuse(world, fork(world, ALICE, apart_ms=apart_ms)) == rules


def test_nobody_buys_freedom_to_fork_with_a_fork_to_come() -> None:
    # [LEDGER-FORK.2]
    world = World()
    assert accuse(world, fork(world, ALICE, seq=2**40), by=ALICE) == ["evidence-seq"]
    assert accuse(world, fork(world, ALICE, seq=3), by=BOB) == ["evidence-seq"]
    assert accuse(world, fork(world, ALICE), by=BOB) == []
    assert accuse(world, fork(world, STRANGER, seq=1), by=BOB) == ["evidence-account"]


def test_two_histories_of_the_sequencer_halt_the_ledger() -> None:
    # [LEDGER-HALT.1]
    world = World()
    heads = [
        seal_block(world.ledger.make_header(dt_ms, ()), (), world.pen(SEQUENCER), world.network_id)
        for dt_ms in (1, 2)
    ]
    op = Evidence(EvidenceKind.SEQUENCER, *(encode(head.sealed) for head in heads))
    world.say(BOB, op, Transfer(name(CAROL), 1))
    world.say(ALICE, Transfer(name(CAROL), 1))
    world.close()
    assert refusals(world) == ["halted", "halted"]
    assert LedgerHalted(1, heads[0].block_id, heads[1].block_id) in world.facts
    try:
        world.ledger.begin_block(world.make_block(1), ())
    except Refusal as refusal:
        assert refusal.rule == "halted"  # noqa: PT017 - runs without pytest too
        return
    raise AssertionError("a halted ledger took a block")


def test_blocks_of_another_than_the_sequencer_prove_nothing_about_it() -> None:
    # [LEDGER-HALT.1]
    world = World()
    header = replace(world.ledger.make_header(1, ()), leader=name(BOB))
    heads = [
        encode(seal_block(replace(header, dt_ms=dt), (), world.pen(BOB), world.network_id).sealed)
        for dt in (1, 2)
    ]
    assert tell(world, ALICE, Evidence(EvidenceKind.SEQUENCER, *heads)) == ["evidence-account"]
