"""Only the next block counts, replay comes to the same state, and no step of a block is long.

Blocks with one field wrong, copies from snapshots in another order, and blocks with more in them
than any step may do. Work is counted, not timed.
"""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.property.ledger_world import World, make_genesis, name
from tests.unit.core.ledger.people import (
    ALICE,
    BOB,
    EPOCH,
    FEE,
    NEW,
    NEWER,
    SEAT,
    enter,
    get,
    open_shop,
    tell,
)
from wwwserve.core.ledger import EpochTurned, FeedApplied, Ledger
from wwwserve.core.ledger.machine import OPS_PER_SLICE
from wwwserve.core.ledger.rules import UNBONDINGS_MAX
from wwwserve.core.ledger.tree import StateTree
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.refusals import Refusal
from wwwserve.wire import encode
from wwwserve.wire.ledger import (
    FEEDS_PER_BLOCK_MAX,
    BlockHeader,
    Circulation,
    Door,
    Join,
    Leave,
    OpenedBlock,
    Role,
    Rotate,
    SetParams,
    Transfer,
    Unbond,
)

WRONG: dict[str, object] = {
    "format": 2,
    "height": 2,
    "parent": b"p" * 32,
    "epoch": 1,
    "feeds_hash": sha256(b"x").digest(),
    "vrf_proof": b"proof",
    "state_root": b"r" * 32,
    "leader": name(BOB),
}


def refuse(world: World, block: OpenedBlock) -> str:
    root = world.ledger.root
    try:
        world.ledger.begin_block(block, ())
    except Refusal as refusal:
        assert world.ledger.root == root
        return refusal.rule
    raise AssertionError("the block was taken")


def test_a_block_that_is_not_the_next_is_refused_and_changes_nothing() -> None:
    # [LEDGER-BLOCK.1]
    world = World()
    good = world.make_block(100)
    assert set(WRONG) | {"dt_ms"} == set(BlockHeader.__struct_fields__)
    for field, value in WRONG.items():
        header = replace(good.header, **{field: value})
        bad = OpenedBlock(header, good.block_id, good.sealed)
        assert refuse(world, bad) == f"block-{field.replace('_', '-')}"
    world.say(ALICE, Leave())
    other = world.make_block(100)
    assert refuse(world, other) == "block-feeds"
    world.pending = []
    assert world.ledger.apply_block(good, ()) == ()
    assert refuse(world, good) == "block-height"


def test_a_block_moves_the_clock_only_so_far() -> None:
    # [LEDGER-CLOCK.1]
    world = World()
    assert refuse(world, world.make_block(TINY_LEDGER.height_ms_max + 1)) == "block-time"
    world.close(TINY_LEDGER.height_ms_max)
    assert world.facts == (EpochTurned(1),)
    assert (world.ledger.log.time_ms, world.ledger.log.epoch) == (EPOCH, 1)


def test_an_op_of_a_later_stage_is_refused_with_its_name() -> None:
    # [LEDGER-STAGE.1]
    world = World()
    rotate = Rotate(Role.HOT, name(BOB), bytes(64))
    assert tell(world, ALICE, rotate, SetParams((("op_fee", 0),))) == ["stage", "stage"]
    assert "Rotate comes with stage 2" in str(world.facts)


def test_the_root_is_of_what_is_there_and_of_nothing_else() -> None:
    # [LEDGER-REPLAY.2]
    world = World()
    tell(world, ALICE, Transfer(name(BOB), CREDIT))
    snapshot = world.ledger.take_snapshot()
    assert Ledger.restore(dict(reversed(snapshot.items()))).root == world.ledger.root
    for key in snapshot:
        if key[:1] == b"a":
            less = {other: value for other, value in snapshot.items() if other != key}
            assert Ledger.restore(less).root != world.ledger.root


def test_what_falls_due_is_found_again_after_a_restart() -> None:
    # [LEDGER-REPLAY.2]
    shop = open_shop()
    tell(shop.world, BOB, Unbond(1))
    # Somebody who came in, gave all away, and stays until its first word has expired.
    shop.world.say(NEW, Join(Door.DEV), until_ms=shop.world.time_ms + 2_000)
    shop.world.close()
    rest = get(shop.world, NEW).avail - FEE - TINY_LEDGER.balance_min
    tell(shop.world, NEW, Transfer(name(BOB), rest))
    tell(shop.world, NEW, Leave())
    enter(shop.world, NEWER)
    copy = Ledger.restore(shop.world.ledger.take_snapshot())
    height = len(shop.world.blocks)
    shop.world.wait(TINY_LEDGER.unbonding_ms)
    assert not shop.world.ledger.holds
    assert name(NEW) not in shop.world.ledger.accounts
    for block, feeds in shop.world.blocks[height:]:
        copy.apply_block(block, feeds)
    assert copy.root == shop.world.ledger.root


def test_a_genesis_that_is_none_starts_no_ledger() -> None:
    # [LEDGER-GENESIS.2]
    with pytest.raises(Refusal, match="genesis-supply"):
        Ledger.from_genesis(replace(make_genesis(), supply=1))


def test_a_snapshot_that_is_none_is_refused() -> None:
    # [LEDGER-REPLAY.3]
    snapshot = World().ledger.take_snapshot()
    for change, rule in (
        ({b"z": b"?"}, "snapshot-entry"),
        ({b"a" + name(BOB): b"\xc1"}, "encoding-shape"),
        ({b"l": encode(5)}, "encoding-shape"),
    ):
        try:
            Ledger.restore(snapshot | change)
        except Refusal as refusal:
            assert refusal.rule == rule  # noqa: PT017 - runs without pytest too
        else:
            raise AssertionError("it was restored")


@given(st.dictionaries(st.binary(min_size=1, max_size=3), st.none() | st.binary(), max_size=20))
def test_a_tree_has_one_root_for_one_set_of_entries(entries: dict[bytes, bytes | None]) -> None:
    # [LEDGER-REPLAY.2] Whatever was in it before, and in whatever order it came.
    kept = {key: value for key, value in entries.items() if value is not None}
    one, other = StateTree(3), StateTree(3)
    for key in entries:
        one.put(key, b"before")
    for _ in one.rehash():
        pass
    for key, value in entries.items():
        one.put(key, value)
    for key in sorted(kept, reverse=True):
        other.put(key, kept[key])
    for tree in (one, other):
        for _ in tree.rehash():
            pass
    assert one.root == other.root
    empty = StateTree(3)
    assert (one.root == empty.root) is (not kept)


def test_no_step_of_a_full_block_does_more_than_its_slice() -> None:
    # [LEDGER-BOUNDS.1]
    world = World(make_genesis(Circulation.OPEN))
    for _ in range(FEEDS_PER_BLOCK_MAX // 8):
        world.say(ALICE, Leave(), Leave())
    block, feeds = world.make_block(100), tuple(world.pending)
    run = world.ledger.begin_block(block, feeds)
    done, is_more = 0, True
    while is_more:
        is_more = run.step()
        count = sum(1 for fact in world.ledger.last_facts if isinstance(fact, FeedApplied))
        assert count - done <= OPS_PER_SLICE
        done = count
    assert 40 <= done <= len(feeds)
    assert run.changes


def test_nothing_is_read_or_begun_while_a_block_is_being_applied() -> None:
    # [LEDGER-BOUNDS.1]
    world = World()
    block = world.make_block(100)
    run = world.ledger.begin_block(block, ())
    with pytest.raises(AssertionError, match="being applied"):
        world.ledger.begin_block(block, ())
    with pytest.raises(AssertionError, match="being applied"):
        world.ledger.take_snapshot()
    with pytest.raises(AssertionError, match="being applied"):
        _ = world.ledger.root
    with pytest.raises(AssertionError, match="not applied"):
        _ = run.facts
    while run.step():
        pass
    # [LEDGER-REPLAY.2] The store is told what this block changed, and no more.
    assert list(run.changes) == [b"l"]


def test_unbonding_amounts_are_few_and_the_newest_wait_together() -> None:
    # [LEDGER-BOUNDS.2]
    genesis = make_genesis()
    rich = replace(genesis.accounts[2], seats=20)
    accounts = (*genesis.accounts[:2], rich, *genesis.accounts[3:])
    world = World(replace(genesis, supply=500 * CREDIT, accounts=accounts))
    for _ in range(UNBONDINGS_MAX + 2):
        tell(world, ALICE, Unbond(1))
    waiting = get(world, ALICE).unbonding
    assert [amount for _, amount in waiting] == [SEAT] * (UNBONDINGS_MAX - 1) + [3 * SEAT]
    assert waiting[-1][0] == world.time_ms + TINY_LEDGER.unbonding_ms
