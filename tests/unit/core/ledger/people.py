"""A small network and its people, for tests that tell a ledger things and look at balances.

No fixtures and no pytest, so that the seeded bugs of `tests/property/test_ledger_mutants.py` can
be run through the tests that use it.
"""

from dataclasses import dataclass

from tests.property.ledger_world import World, encode_feed, name, strip_ops
from wwwserve.core.ledger import Account, Ending, FeedVoid, HoldSettled, OpRefused
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire.ledger import (
    Door,
    Evidence,
    EvidenceKind,
    Hold,
    Join,
    Op,
    OpenedFeed,
    Puzzle,
    Transfer,
    compute_anchor,
    compute_hold_id,
    compute_puzzle,
    count_zero_bits,
)

SEQUENCER, TREASURY, ALICE, BOB, CAROL, STRANGER, NEW, NEWER = range(8)
SECRET = b"s" * 32
UNITS = 8
FIRST, UNIT = CREDIT, CREDIT // 10
FEE = TINY_LEDGER.op_fee
SEAT = TINY_LEDGER.seat_price
EPOCH = TINY_LEDGER.epoch_ms
WINDOW = TINY_LEDGER.claim_window_ms


@dataclass
class Shop:
    """Alice has opened a hold for Bob."""

    world: World
    hold_id: bytes

    def show(self, depth: int) -> tuple[bytes, int, bytes]:
        return self.hold_id, depth, compute_anchor(SECRET, UNITS - depth)

    def balances(self) -> tuple[int, int]:
        accounts = self.world.ledger.accounts
        return accounts[name(ALICE)].avail, accounts[name(BOB)].avail


def make_hold(world: World, **changes: object) -> Hold:
    terms: dict[str, object] = {
        "n": 1,
        "payee": name(BOB),
        "first": FIRST,
        "unit": UNIT,
        "units_max": UNITS,
        "unit_tokens": 32,
        "anchor": compute_anchor(SECRET, UNITS),
        "req_commit": b"r" * 32,
        "quote_hash": b"q" * 32,
        "deadline_ms": 1_000,
        "seed_epoch": world.ledger.log.epoch,
    }
    return Hold(**(terms | changes))  # type: ignore[arg-type]


def open_shop() -> Shop:
    world = World()
    seq, _ = world.next_word(ALICE)
    world.say(ALICE, make_hold(world))
    world.close()
    return Shop(world, compute_hold_id(name(ALICE), seq, 1))


def refusals(world: World) -> list[str]:
    return [fact.rule for fact in world.facts if isinstance(fact, OpRefused | FeedVoid)]


def tell(world: World, author: int, *ops: Op) -> list[str]:
    """Say something in a block of its own; which rules it broke."""
    world.say(author, *ops)
    world.close()
    return refusals(world)


def endings(world: World) -> list[tuple[Ending, int]]:
    return [(fact.ending, fact.paid) for fact in world.facts if isinstance(fact, HoldSettled)]


def get(world: World, who: int) -> Account:
    return world.ledger.accounts[name(who)]


def solve(world: World, who: int, beacon: bytes | None = None, *, well: bool = True) -> Puzzle:
    """A solved puzzle, or an unsolved one."""
    for nonce in range(1_000):
        puzzle = Puzzle(beacon or world.ledger.log.epoch_beacon, nonce.to_bytes(8, "big"))
        digest = compute_puzzle(name(who), world.network_id, puzzle, memory_log2=1)
        if (count_zero_bits(digest) >= TINY_LEDGER.puzzle_bits) is well:
            return puzzle
    raise AssertionError("a thousand tries for one bit")


def enter(world: World, who: int) -> None:
    """Have somebody in by the newcomers' door."""
    assert tell(world, who, Join(Door.EARN, solve(world, who))) == []


def buy(world: World, payer: int, payee: int, *, first: int = SEAT) -> bytes:
    """A hold that can pay a little more than a seat."""
    seq, _ = world.next_word(payer)
    op = make_hold(world, payee=name(payee), first=first)
    assert tell(world, payer, op) == []
    return compute_hold_id(name(payer), seq, 1)


def fork(
    world: World, who: int, *, seq: int | None = None, apart_ms: int = 0
) -> tuple[OpenedFeed, OpenedFeed]:
    """Two feed blocks of one number: one pays Carol, the other would have paid Bob or Carol."""
    number, previous = world.next_word(who)
    number = number if seq is None else seq
    until = world.time_ms + 1_000
    cheated = CAROL if who == BOB else BOB
    pays = Transfer(name(CAROL), 1)
    hold = make_hold(world, payee=name(cheated))
    one = world.write(who, pays, seq=number, previous=previous, until_ms=until)
    other = world.write(who, hold, seq=number, previous=previous, until_ms=until + apart_ms)
    return world.opener.open(one), world.opener.open(other)


def accuse(world: World, pair: tuple[OpenedFeed, OpenedFeed], by: int = SEQUENCER) -> list[str]:
    first, second = pair
    op = Evidence(EvidenceKind.FEED, strip_ops(first), encode_feed(second))
    return tell(world, by, op)
