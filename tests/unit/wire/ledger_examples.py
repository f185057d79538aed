"""One example of every record and op of the ledger, with all its fields filled."""

from typing import Final

import msgspec

from wwwserve.adapters.host import NodeKey
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire.ledger import (
    Allow,
    BlockHeader,
    Bond,
    Checkpoint,
    Circulation,
    Claim,
    Close,
    Door,
    DuelOpen,
    Evidence,
    EvidenceKind,
    FeedHeader,
    FirmQuote,
    Genesis,
    GenesisAccount,
    GoldProof,
    Handover,
    Hold,
    HoldAccept,
    HoldDecline,
    Join,
    Leave,
    Op,
    Purse,
    Puzzle,
    Register,
    Rejoin,
    Role,
    Rotate,
    SealedBlock,
    SealedCheckpoint,
    SealedFeed,
    SealedWord,
    SeedReveal,
    SetParams,
    SignedVote,
    Sponsor,
    Transfer,
    Unbond,
    Unsponsor,
    Veto,
    Vote,
    VoteCommit,
    VoteReveal,
)
from wwwserve.wire.ledger import Final as FinalWord

NETWORK: Final = bytes(range(32))


def make_key(number: int) -> NodeKey:
    """The secret key number `number`, the same each time."""
    return NodeKey(number.to_bytes(32, "big"))


def fill(byte: int, count: int = 32) -> bytes:
    """So many equal bytes."""
    return bytes([byte]) * count


ALICE: Final = make_key(1)
BOB: Final = make_key(2)

GENESIS: Final = Genesis(
    format=1,
    name="example",
    salt=fill(9),
    peer_parameters=fill(8),
    parameters=TINY_LEDGER,
    sequencer=ALICE.node_id,
    circulation=Circulation.PRIVATE,
    doors=(Door.SPONSOR, Door.EARN),
    supply=1_000_000_000,
    accounts=(
        GenesisAccount(ALICE.node_id, 100_000_000, 2, 8),
        GenesisAccount(BOB.node_id, 50_000_000),
    ),
)

OPS: Final[tuple[Op, ...]] = (
    Hold(7, BOB.node_id, 333_000, 85_344, 16, 32, fill(1), fill(2), fill(3), 60_000, 4, 5),
    Claim(fill(4), 9, fill(5)),
    Close(fill(4), 8, fill(6)),
    Transfer(BOB.node_id, 1_000_000),
    Bond(3),
    Unbond(2),
    Register(0, b"", b"", BOB.node_id, (fill(7), fill(8)), fill(9), fill(10)),
    Leave(),
    Sponsor(BOB.node_id, 1),
    Unsponsor(BOB.node_id, 1),
    Rotate(Role.HOT, BOB.node_id, fill(11, 64)),
    Join(Door.EARN, Puzzle(fill(12), fill(13, 8))),
    Join(Door.SPONSOR),
    Allow(BOB.node_id, 5_000_000),
    Evidence(EvidenceKind.FEED, b"first", b"second"),
    Veto(BOB.node_id),
    SetParams((("op_fee", 600), ("epoch_ms", 700_000))),
    Rejoin(),
    SeedReveal(17, fill(14)),
    DuelOpen(fill(15), fill(16), fill(17), fill(18), b"final", b"other", (b"declined",), fill(19)),
    VoteCommit(fill(20), fill(21)),
    VoteReveal(fill(20), 3, 1, fill(22)),
    GoldProof(fill(23, 80), (fill(24),), b"answer"),
    Purse(1_000, is_out=True),
)

HEADER: Final = FeedHeader(1, ALICE.node_id, 2**40, fill(30), 123_456, fill(31))
BLOCK: Final = BlockHeader(1, 5, fill(32), 0, 250, fill(33), b"", fill(34), ALICE.node_id)

EXAMPLES: Final[dict[str, msgspec.Struct]] = {
    **{f"op {position:02} {type(op).__name__}": op for position, op in enumerate(OPS)},
    "feed header": HEADER,
    "sealed feed": SealedFeed(b"header", b"ops", fill(35, 64)),
    "block header": BLOCK,
    "sealed block": SealedBlock(b"header", (fill(36), fill(37)), fill(38, 64)),
    "vote": Vote(5, fill(39), ALICE.node_id),
    "checkpoint": Checkpoint(3, 900, fill(40), fill(41), b"", fill(42), fill(43)),
    "sealed checkpoint": SealedCheckpoint(b"body", (SignedVote(fill(44), fill(45, 64)),)),
    "handover": Handover(900, fill(46), tuple((fill(50 + n), n + 1) for n in range(4))),
    "genesis": GENESIS,
    "firm quote": FirmQuote(
        BOB.node_id, ALICE.node_id, "org/model", 512, 667, 2_667, 2, 900, 99_000
    ),
    "hold accept": HoldAccept(fill(60), 60_000),
    "hold decline": HoldDecline(fill(60), DeclineReason.BUSY),
    "final": FinalWord(fill(60), 9, fill(61), 512, 250),
    "sealed word": SealedWord(b"body", fill(62, 64)),
}
