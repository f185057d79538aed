"""Everything people can do to a ledger, honest or not, as commands of a few small numbers each."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from tests.property.ledger_world import PEOPLE, World, encode_feed, make_genesis, name, strip_ops
from wwwserve.core.ledger import Account, Ledger
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire import encode
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Allow,
    Bond,
    Circulation,
    Claim,
    Close,
    Door,
    Evidence,
    EvidenceKind,
    Hold,
    HoldFlag,
    Join,
    Leave,
    Op,
    OpenedFeed,
    Purse,
    Puzzle,
    Register,
    SeedReveal,
    Sponsor,
    Transfer,
    Unbond,
    Unsponsor,
    compute_anchor,
    compute_hold_id,
    compute_puzzle,
    count_zero_bits,
    seal_block,
)

NUMBERS: Final = 6
"""Numbers a command takes, each below `NUMBER_MAX`."""
NUMBER_MAX: Final = 240
"""Divisible by all small choices, so that these are equally likely."""
AMOUNTS: Final = (1, CREDIT // 20, CREDIT // 10, CREDIT // 2, CREDIT, 4 * CREDIT, 11 * CREDIT)
SPANS: Final = (1, 20, 100, 400, 1_000, 1_500, 2_500, 5_000)
HONEST: Final = 180
"""Commands with a last number below it break no rule by themselves."""

Numbers = Sequence[int]


@dataclass
class Chain:
    """A hold somebody opened, and the secret end of its chain."""

    hold_id: bytes
    payer: int
    payee: int
    units_max: int
    secret: bytes

    def reveal(self, depth: int) -> bytes:
        return compute_anchor(self.secret, max(self.units_max - depth, 0))


@dataclass
class Walk:
    """What has happened so far, as far as later commands refer to it."""

    world: World
    chains: list[Chain] = field(default_factory=list)
    forks: list[tuple[OpenedFeed, OpenedFeed]] = field(default_factory=list)
    drafts: dict[int, list[Op]] = field(default_factory=dict)
    count: int = 0

    def do(self, command: str, numbers: Numbers) -> None:
        """Carry out one command; once the ledger is halted nothing has any effect."""
        if self.world.ledger.log.halt is None:
            COMMANDS[command](self, numbers)

    # -- payment ---------------------------------------------------------------------------------

    def hold(self, n: Numbers) -> None:
        payer, payee = self.pick_member(n[0]), self.pick_member(n[1])
        units_max = (1, 2, 4, 8, 16)[n[2] % 5]
        first, unit = AMOUNTS[n[3] % 4], AMOUNTS[n[3] // 4 % 3]
        flags = (0, 0, 0, HoldFlag.AUDIT_IN, HoldFlag.EXTENDS, HoldFlag.TAB)[n[4] % 6]
        if flags == HoldFlag.TAB and n[3] % 3:
            first = unit
        self.count += 1
        secret = hashlib.sha256(b"secret %d" % self.count).digest()
        op = Hold(
            n=self.count if n[2] % 16 else 1,
            payee=name(payee),
            first=first,
            unit=unit,
            units_max=units_max,
            unit_tokens=(4, 32, 256)[n[4] % 3],
            anchor=compute_anchor(secret, units_max),
            req_commit=NO_DIGEST if flags == HoldFlag.TAB else b"r" * 32,
            quote_hash=b"q" * 32,
            deadline_ms=(500, 1_000, 2_000, 4_000)[n[1] // PEOPLE % 4],
            seed_epoch=max(self.world.ledger.log.epoch - n[0] // PEOPLE % 2, 0),
            flags=int(flags),
        )
        if n[5] >= HONEST:
            op = self.spoil(op, n)
        # What is drafted for one author becomes one feed block.
        seq, _ = self.world.next_word(payer)
        hold_id = compute_hold_id(name(payer), seq, op.n)
        self.chains.append(Chain(hold_id, payer, payee, units_max, secret))
        self.draft(payer, op)

    def spoil(self, op: Hold, n: Numbers) -> Hold:
        """The same hold with something about it that may not be."""
        epoch = self.world.ledger.log.epoch
        wrong: tuple[dict[str, object], ...] = (
            {"unit": 0},
            {"first": 0, "unit": 0},
            {"units_max": (6, 32, 3)[n[0] % 3]},
            {"unit_tokens": (2, 24, 1)[n[0] % 3]},
            {"req_commit": b"r" * 32 if op.req_commit == NO_DIGEST else NO_DIGEST},
            {"deadline_ms": (0, 2_001, 4_001)[n[0] % 3]},
            {"seed_epoch": (epoch + 1, max(epoch - 2, 0))[n[0] % 2]},
            {"flags": (3, 6, 7)[n[0] % 3]},
            {"first": 60 * CREDIT},
            {"payee": name(n[0] % PEOPLE)},
        )
        return replace(op, **wrong[n[5] % len(wrong)])

    def claim(self, n: Numbers) -> None:
        if chain := self.pick_chain(n):
            author = chain.payee if n[1] % 8 else n[2] % PEOPLE
            self.draft(author, Claim(chain.hold_id, *self.pick_depth(chain, n)))

    def close(self, n: Numbers) -> None:
        if chain := self.pick_chain(n):
            author = chain.payer if n[1] % 8 else n[2] % PEOPLE
            self.draft(author, Close(chain.hold_id, *self.pick_depth(chain, n)))

    def pick_member(self, number: int) -> int:
        """Somebody, mostly with an account."""
        people = [who for who in range(PEOPLE) if name(who) in self.world.ledger.accounts]
        return people[number % len(people)] if number % 13 else number % PEOPLE

    def pick_chain(self, n: Numbers) -> Chain | None:
        """One of the latest holds."""
        return self.chains[-1 - n[0] % min(len(self.chains), 8)] if self.chains else None

    def pick_depth(self, chain: Chain, n: Numbers) -> tuple[int, bytes]:
        """A depth, mostly with its own preimage."""
        most = chain.units_max
        depth = (0, 1, most // 2, most - 1, most, most + 1)[n[3] % 6]
        if n[4] % 8 == 0:
            return depth, chain.reveal(max(depth - 1, 0))
        if depth > most:
            # One link further than the payer's own end leads to another anchor.
            return depth, chain.secret
        return depth, chain.reveal(depth)

    def transfer(self, n: Numbers) -> None:
        author = self.pick_member(n[0])
        account = self.world.ledger.accounts.get(name(author))
        amount = AMOUNTS[n[2] % 7]
        if account and n[3] % 4 == 0:
            fee = TINY_LEDGER.op_fee * (1 + len(self.drafts.get(author, [])))
            amount = max(account.avail - fee - (0, TINY_LEDGER.balance_min)[n[4] % 2], 1)
        self.draft(author, Transfer(name(n[1] % PEOPLE), amount))

    # -- standing --------------------------------------------------------------------------------

    def stake(self, n: Numbers) -> None:
        seats = (1, 1, 2, 7)[n[2] % 4]
        ops = (Bond(seats), Bond(seats), Unbond(seats), Unbond(seats), Leave())
        self.draft(self.pick_member(n[0]), ops[n[1] % 5])

    def sponsor(self, n: Numbers) -> None:
        key, seats = name(n[1] % PEOPLE), (1, 1, 2)[n[2] % 3]
        op = (Sponsor(key, seats), Sponsor(key, seats), Unsponsor(key, seats))[n[3] % 3]
        self.draft((2, 2, 3, self.pick_member(n[0]))[n[4] % 4], op)
        if isinstance(op, Sponsor) and n[5] % 3 == 0:
            self.draft(n[1] % PEOPLE, Join(Door.SPONSOR))

    def join(self, n: Numbers) -> None:
        author, door = n[0] % PEOPLE, Door(1 + n[1] % 4)
        # No feed block shows two puzzles: it would not even be opened.
        shows = any(isinstance(op, Join) and op.proof for op in self.drafts.get(author, ()))
        proof = None if shows or n[2] % 8 == 0 else self.solve(author, n)
        self.draft(author, Join(door, proof))

    def solve(self, author: int, n: Numbers) -> Puzzle:
        """A puzzle for one of the last beacons, mostly solved."""
        log = self.world.ledger.log
        beacons = (log.epoch_beacon, log.epoch_beacon, log.epoch_beacon_before, log.beacon)
        for nonce in range(1_000):
            puzzle = Puzzle(beacons[n[3] % 4], nonce.to_bytes(8, "big"))
            digest = compute_puzzle(name(author), self.world.network_id, puzzle, memory_log2=1)
            if (count_zero_bits(digest) >= TINY_LEDGER.puzzle_bits) is (n[4] % 8 > 0):
                return puzzle
        raise AssertionError("a thousand tries for one bit")

    def register(self, n: Numbers) -> None:
        flags = (0, 0, 0, 1, 2, 4, 8)[n[1] % 7]
        hot_key = (b"", b"h" * 32, b"i" * 32, bytes(32))[n[2] % 4]
        op = Register(flags, b"", b"", hot_key, (b"m" * 32,), b"s" * 32, b"")
        self.draft(self.pick_member(n[0]), op)

    def allow(self, n: Numbers) -> None:
        author = 1 if n[0] % 4 else n[0] % PEOPLE
        self.draft(author, Allow(name(n[1] % PEOPLE), (0, 1, CREDIT, 9 * CREDIT)[n[2] % 4]))

    def later(self, n: Numbers) -> None:
        self.draft(
            self.pick_member(n[0]), (SeedReveal(0, b"s" * 32), Purse(1, is_out=False))[n[1] % 2]
        )

    def flood(self, n: Numbers) -> None:
        """Many ops that do nothing, for what they cost."""
        author = self.pick_member(n[0])
        for _ in range((6, 12, 24)[n[1] % 3]):
            self.draft(author, Purse(1, is_out=False))

    def serve(self, n: Numbers) -> None:
        """A seated payer buys of a newcomer, who claims in the next block, closes, or does not."""
        accounts = self.world.ledger.accounts
        newcomers = [who for who in range(PEOPLE) if _is_newcomer(accounts.get(name(who)))]
        if not newcomers:
            return
        payer, payee = 2 + n[0] % 2, newcomers[n[1] % len(newcomers)]
        people = [who for who in range(PEOPLE) if name(who) in accounts]
        if payer not in people or payer in self.drafts:
            return
        self.hold((_point(people, payer), _point(people, payee), 2, 4 * (n[2] % 3) + 3, 0, 0))
        if n[3] % 3:
            self.block((2, 1))
            chain = self.chains[-1]
            op = (Claim, Close)[n[4] % 2]
            author = (chain.payee, chain.payer)[n[4] % 2]
            depth = (0, 1, 4, 4)[n[5] % 4]
            self.draft(author, op(chain.hold_id, depth, chain.reveal(depth)))

    # -- feed blocks that should not be ----------------------------------------------------------

    def stray(self, n: Numbers) -> None:
        """A feed block with a wrong number, predecessor or time, or one that was there before."""
        author, world = n[0] % PEOPLE, self.world
        seq, previous = world.next_word(author)
        until = max(world.time_ms + (TINY_LEDGER.feed_life_ms, -1, 0, 10_000, 20_000)[n[3] % 5], 0)
        if n[1] % 4 == 0 and world.blocks:
            feeds = world.blocks[-1 - n[2] % min(len(world.blocks), 6)][1]
            if feeds:
                world.put(feeds[n[4] % len(feeds)].signed.sealed)
            return
        if n[1] % 4 == 1:
            seq += (1, 2, -1)[n[2] % 3]
        if n[1] % 4 == 2:
            previous = b"p" * 32
        op = Transfer(name(n[4] % PEOPLE), AMOUNTS[n[5] % 7])
        world.put(world.write(author, op, seq=max(seq, 0), previous=previous, until_ms=until))

    def fork(self, n: Numbers) -> None:
        """Two feed blocks of one number; one of them, the other, or neither goes to the log."""
        author, world = (2, 3, n[0] % PEOPLE)[n[0] % 3], self.world
        seq, previous = world.next_word(author)
        if author in self.drafts or author in world.heads:
            return
        seq += (0, 0, 0, 1, 2, 40)[n[1] % 6]
        until = world.time_ms + 2_000
        hold = Hold(
            9, name(n[2] % PEOPLE), CREDIT // 10, CREDIT // 10, 8, 32,
            b"a" * 32, b"r" * 32, b"q" * 32, 1_000, world.ledger.log.epoch,
        )  # fmt: skip
        op = Transfer(name(n[3] % PEOPLE), AMOUNTS[n[3] // 8 % 7])
        apart = (0, 1_000, 2_000, 2_001)[n[5] % 4]
        one = world.write(author, op, seq=seq, previous=previous, until_ms=until)
        other = world.write(author, hold, seq=seq, previous=previous, until_ms=until + apart)
        pair = (world.opener.open(one), world.opener.open(other))
        self.forks.append(pair if n[4] % 5 else (pair[1], pair[0]))
        if n[4] % 3 == 0:
            world.put(one)

    def accuse(self, n: Numbers) -> None:
        """Somebody shows a fork."""
        if not self.forks:
            return
        first, second = self.forks[-1 - n[1] % min(len(self.forks), 3)]
        if n[2] % 6 == 0:
            second = first
        shown = strip_ops(second) if n[3] % 5 == 0 else encode_feed(second)
        self.draft(self.pick_member(n[0]), Evidence(EvidenceKind.FEED, strip_ops(first), shown))

    def betray(self, n: Numbers) -> None:
        """The sequencer signs two blocks at one height, rarely; or somebody claims it did."""
        world = self.world
        if n[1] % 16:
            return
        header = world.ledger.make_header(n[2], ())
        other = world.ledger.make_header(n[2] + (n[3] % 2), ())
        leader = world.pen(0)
        first, second = (
            encode(seal_block(head, (), leader, world.network_id).sealed)
            for head in (header, other)
        )
        self.draft(self.pick_member(n[0]), Evidence(EvidenceKind.SEQUENCER, first, second))

    # -- blocks ----------------------------------------------------------------------------------

    def block(self, n: Numbers) -> None:
        """Everything drafted goes into a block."""
        span = SPANS[n[0] % 8]
        until = self.world.time_ms + span + (0, 1_000, 1_000, 1_000)[n[1] % 4]
        for author, ops in self.drafts.items():
            self.world.say(author, *ops[:64], until_ms=until)
        self.drafts = {}
        self.world.close(span)

    def draft(self, author: int, op: Op) -> None:
        """One more op for somebody's next feed block."""
        self.drafts.setdefault(author, []).append(op)


COMMANDS: Final[dict[str, Callable[[Walk, Numbers], None]]] = {
    "hold": Walk.hold,
    "claim": Walk.claim,
    "close": Walk.close,
    "transfer": Walk.transfer,
    "stake": Walk.stake,
    "sponsor": Walk.sponsor,
    "join": Walk.join,
    "register": Walk.register,
    "allow": Walk.allow,
    "later": Walk.later,
    "flood": Walk.flood,
    "serve": Walk.serve,
    "stray": Walk.stray,
    "fork": Walk.fork,
    "accuse": Walk.accuse,
    "betray": Walk.betray,
    "block": Walk.block,
}
WEIGHTS: Final = {
    "hold": 5, "claim": 5, "close": 4, "block": 9, "transfer": 3, "join": 3, "serve": 3,
    "stake": 2, "sponsor": 2,
}  # fmt: skip
OFTEN: Final = tuple(command for command in COMMANDS for _ in range(WEIGHTS.get(command, 1)))
"""Each command as often as it is worth: a hold nobody looks at again proves little."""


def _is_newcomer(account: Account | None) -> bool:
    return account is not None and account.newcomer is not None


def _point(people: list[int], who: int) -> int:
    """The number by which `pick_member` picks somebody."""
    number = people.index(who)
    return number if number % 13 else number + 12 * len(people)


def draw_walk(seed: int, commands: int) -> Walk:
    """A walk drawn from a seed, the same each time; half-way a copy is restored and goes along."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    circulation = chance.choice([Circulation.PRIVATE, Circulation.OPEN])
    walk = Walk(World(make_genesis(circulation, pool=chance.choice([2, 8]))))
    _stroll(walk, chance, commands // 2)
    copy = Ledger.restore(walk.world.ledger.take_snapshot())
    height = len(walk.world.blocks)
    _stroll(walk, chance, commands - commands // 2)
    for block, feeds in walk.world.blocks[height:]:
        copy.apply_block(block, feeds)
    assert copy.root == walk.world.ledger.root
    return walk


def _stroll(walk: Walk, chance: random.Random, commands: int) -> None:
    for _ in range(commands):
        numbers = [chance.randrange(NUMBER_MAX) for _ in range(NUMBERS)]
        walk.do(chance.choice(OFTEN), numbers)
