"""A short life of a small ledger, with real keys and signatures, as bytes anybody can replay.

The reference of `spec/ledger.md` says what becomes of each op and what everybody has afterwards;
the state's root, which the reference does not have, is the core's.
"""

from typing import Any, Final

from tests.property.ledger_reference import Reference, read_reference
from tests.property.ledger_world import read_state
from tests.unit.wire.ledger_examples import make_key
from wwwserve.adapters.host import LibsodiumVerifier, NodeKey
from wwwserve.core.ledger import Ledger
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire import encode
from wwwserve.wire.ledger import (
    AccountFlag,
    Allow,
    Bond,
    Circulation,
    Claim,
    Close,
    Door,
    Evidence,
    EvidenceKind,
    FeedOpener,
    Genesis,
    GenesisAccount,
    Hold,
    HoldFlag,
    Join,
    Leave,
    Op,
    Purse,
    Register,
    SealedFeed,
    Sponsor,
    Transfer,
    Unbond,
    Unsponsor,
    compute_anchor,
    compute_genesis_id,
    compute_hold_id,
    seal_block,
    seal_feed,
)

SEQUENCER, TREASURY, ALICE, BOB, NEW, GUEST = (make_key(number) for number in range(10, 16))
SECRET: Final = b"s" * 32
UNITS: Final = 8

GENESIS: Final = Genesis(
    format=1,
    name="story",
    salt=b"once".ljust(32, b"."),
    peer_parameters=bytes(32),
    parameters=TINY_LEDGER,
    sequencer=SEQUENCER.node_id,
    circulation=Circulation.PRIVATE,
    doors=(Door.SPONSOR, Door.DEV),
    supply=200 * CREDIT,
    accounts=(
        GenesisAccount(SEQUENCER.node_id, CREDIT),
        GenesisAccount(TREASURY.node_id, 5 * CREDIT, flags=AccountFlag.TREASURY),
        GenesisAccount(ALICE.node_id, 50 * CREDIT, seats=3),
        GenesisAccount(BOB.node_id, 10 * CREDIT, seats=1),
    ),
)


class Story:
    """Tells the ledger and the reference the same, and keeps what was said and what came of it."""

    def __init__(self) -> None:
        self.network_id = compute_genesis_id(GENESIS)
        self.rules = read_reference()
        self.ledger = Ledger.from_genesis(GENESIS)
        self.reference: Reference = self.rules.make_state(GENESIS, self.network_id)
        verifier = LibsodiumVerifier()
        memory = TINY_LEDGER.puzzle_memory_log2
        self.opener = FeedOpener(verifier, verifier, self.network_id, memory)
        self.pending: list[SealedFeed] = []
        self.steps: list[dict[str, Any]] = []

    def write(self, author: NodeKey, *ops: Op) -> SealedFeed:
        account = self.ledger.accounts.get(author.node_id)
        return seal_feed(
            ops,
            seq=account.seq + 1 if account else 0,
            previous=account.head if account else bytes(32),
            valid_until_ms=self.ledger.log.time_ms + TINY_LEDGER.feed_life_ms,
            signer=author,
            network_id=self.network_id,
        )

    def say(self, author: NodeKey, *ops: Op) -> SealedFeed:
        self.pending.append(self.write(author, *ops))
        return self.pending[-1]

    def hold(self, n: int, payee: NodeKey, **changes: object) -> tuple[Hold, bytes]:
        """A hold of Alice's, and its name."""
        terms: dict[str, object] = {
            "n": n,
            "payee": payee.node_id,
            "first": CREDIT,
            "unit": CREDIT // 10,
            "units_max": UNITS,
            "unit_tokens": 32,
            "anchor": compute_anchor(SECRET, UNITS),
            "req_commit": b"r" * 32,
            "quote_hash": b"q" * 32,
            "deadline_ms": 1_000,
            "seed_epoch": self.ledger.log.epoch,
        }
        seq = self.ledger.accounts[ALICE.node_id].seq + 1
        op = Hold(**(terms | changes))  # type: ignore[arg-type]
        return op, compute_hold_id(ALICE.node_id, seq, n)

    def close(self, dt_ms: int) -> None:
        """A block with all that was said."""
        feeds = tuple(self.opener.open(sealed) for sealed in self.pending)
        feed_ids = tuple(feed.feed_id for feed in feeds)
        header = self.ledger.make_header(dt_ms, feed_ids)
        block = seal_block(header, feed_ids, SEQUENCER, self.network_id)
        self.ledger.apply_block(block, feeds)
        self.reference, outcomes = self.rules.apply_block(self.reference, block, feeds)
        self.steps.append(
            {
                "block": encode(block.sealed).hex(),
                "feeds": [encode(sealed).hex() for sealed in self.pending],
                "refused": outcomes,
                "after": to_text(read_state(self.reference)),
                "root": self.ledger.root.hex(),
            }
        )
        self.pending = []


def tell_story() -> dict[str, Any]:
    """Everything in stage 1 happens once."""
    story = Story()
    _pay(story)
    _stake(story)
    _quarrel(story)
    genesis = {"genesis": encode(GENESIS).hex(), "network_id": story.network_id.hex()}
    return {**genesis, "steps": story.steps}


def _show(hold_id: bytes, depth: int) -> tuple[bytes, int, bytes]:
    return hold_id, depth, compute_anchor(SECRET, UNITS - depth)


def _pay(story: Story) -> None:
    claimed, claimed_id = story.hold(1, BOB)
    closed, closed_id = story.hold(2, BOB, flags=int(HoldFlag.AUDIT_IN))
    tab = {"flags": int(HoldFlag.TAB), "first": CREDIT // 10, "req_commit": bytes(32)}
    expired, _ = story.hold(3, BOB, **tab)
    story.say(ALICE, claimed, closed, expired)
    story.close(250)
    story.say(BOB, Claim(*_show(claimed_id, 5)), Claim(closed_id, 3, b"x" * 32))
    story.say(ALICE, Close(*_show(closed_id, 2)), Transfer(TREASURY.node_id, 3 * CREDIT))
    story.close(250)
    story.close(4_000)
    story.close(5_000)


def _stake(story: Story) -> None:
    story.say(ALICE, Sponsor(NEW.node_id, 1), Bond(1), Unbond(1))
    story.say(GUEST, Join(Door.DEV))
    story.say(TREASURY, Allow(GUEST.node_id, CREDIT))
    story.close(250)
    story.say(NEW, Join(Door.SPONSOR), Purse(1, is_out=False))
    key = ALICE.node_id
    story.say(BOB, Register(0, b"", b"", key, (b"m" * 32,), b"s" * 32, b""), Leave())
    story.close(250)
    for _ in range(3):
        story.close(5_000)
    story.say(ALICE, Unsponsor(NEW.node_id, 1))
    story.close(250)


def _quarrel(story: Story) -> None:
    paid = story.say(ALICE, Transfer(BOB.node_id, CREDIT))
    cheated, _ = story.hold(1, GUEST)
    void = story.write(ALICE, cheated)
    story.close(250)
    story.say(BOB, Evidence(EvidenceKind.FEED, encode(paid), encode(void)))
    story.pending.append(void)
    story.close(250)
    heads = [
        encode(seal_block(story.ledger.make_header(dt, ()), (), SEQUENCER, story.network_id).sealed)
        for dt in (1, 2)
    ]
    story.say(BOB, Evidence(EvidenceKind.SEQUENCER, *heads))
    story.say(ALICE, Transfer(BOB.node_id, 1))
    story.close(250)


def to_text(value: Any) -> Any:
    """The same with bytes as hexadecimal text, as it comes back from JSON."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {to_text(key): to_text(item) for key, item in value.items()}
        case list() | tuple():
            return [to_text(item) for item in value]
        case _:
            return value
