"""What is said to the ledger has one encoding, is signed by whom it says, and never changes form.

Every record and op is written and read back; the bytes of one example each, and of real signatures,
ids and hash chains, are compared with those committed in `tests/data/ledger/wire.json`, which
`tools/write_ledger_vectors.py` writes. Forged, altered, replayed and malleated records are refused.
"""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.ledger_examples import (
    ALICE,
    BLOCK,
    BOB,
    EXAMPLES,
    GENESIS,
    NETWORK,
    OPS,
    fill,
)
from tests.unit.wire.ledger_snapshot import build_snapshot
from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.values.ledger_parameters import MAIN_LEDGER, TINY_LEDGER, LedgerParameters
from wwwserve.values.ledger_ranges import RANGES, find_parameter_fault
from wwwserve.values.refusals import Refusal
from wwwserve.wire import SIGNATURE_BYTES, compute_signing_input, decode_canonical, encode
from wwwserve.wire.kinds import SignedKind
from wwwserve.wire.ledger import (
    DEPTH_MAX,
    OPS_BYTES_MAX,
    OPS_MAX,
    Anchor,
    Bond,
    Checkpoint,
    Circulation,
    Claim,
    Door,
    Evidence,
    EvidenceKind,
    FeedFork,
    FeedOpener,
    HeadFork,
    Hold,
    HoldAccept,
    Join,
    Leave,
    Op,
    OpenedFeed,
    Puzzle,
    PuzzleBits,
    Register,
    SealedBlock,
    SealedFeed,
    SealedWord,
    Unproven,
    compute_anchor,
    compute_feeds_hash,
    compute_genesis_id,
    compute_link,
    get_stage,
    open_block,
    open_checkpoint,
    open_genesis,
    open_word,
    seal_block,
    seal_checkpoint,
    seal_feed,
    seal_word,
    validate_genesis,
)

SNAPSHOT = Path(__file__).parents[2] / "data" / "ledger" / "wire.json"
VERIFIER = LibsodiumVerifier()
OPENER = FeedOpener(VERIFIER, VERIFIER, NETWORK, puzzle_memory_log2=1)
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group of Ed25519."""


def sealed(*ops: Op, seq: int = 1, until: int = 1_000) -> SealedFeed:
    return seal_feed(
        ops, seq=seq, previous=bytes(32), valid_until_ms=until, signer=ALICE, network_id=NETWORK
    )


def refused(feed: SealedFeed) -> str:
    with pytest.raises(Refusal) as caught:
        OPENER.open(feed)
    return caught.value.rule


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_record_reads_back_as_it_was_written(name: str) -> None:
    example = EXAMPLES[name]
    decoder = msgspec.msgpack.Decoder(type(example))
    assert decode_canonical(encode(example), decoder, bytes_max=100_000) == example


def test_not_a_byte_of_what_is_written_has_changed() -> None:
    # [LEDGER-ENCODING.1]
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == build_snapshot()


def test_every_op_has_its_number_and_stage() -> None:
    # [LEDGER-STAGE.2]
    numbers = {msgspec.msgpack.decode(encode(op))[0]: get_stage(op) for op in OPS}
    firsts = dict.fromkeys([*range(1, 11), 12, 13, 20], 1)
    seconds = dict.fromkeys([11, 21, 22, 23], 2)
    assert numbers == firsts | seconds | dict.fromkeys(range(30, 36), 3)
    assert get_stage(Evidence(EvidenceKind.VALIDATOR, b"", b"")) == 2
    assert get_stage(Evidence(EvidenceKind.GOLD, b"", b"")) == 3
    assert [get_stage(Register(flag, b"", b"", b"", (), b"", b"")) for flag in (0, 1, 2, 4)] == [
        1, 2, 3, 3
    ]  # fmt: skip
    assert get_stage(Register(0, fill(1), b"", b"", (), b"", b"")) == 2


def test_numbers_of_kinds_are_distinct() -> None:
    assert len({int(kind) for kind in SignedKind}) == len(list(SignedKind)) == 14


def test_a_feed_block_is_its_accounts_alone() -> None:
    # [LEDGER-FEED.1]
    feed = sealed(Leave())
    opened = OPENER.open(feed)
    assert opened.account == ALICE.node_id
    assert opened.ops == (Leave(),)
    forged = msgspec.structs.replace(feed, signature=BOB.sign(feed.header))
    assert refused(forged) == "feed-signature"
    other_ops = msgspec.structs.replace(feed, ops=encode((Bond(1),)))
    assert refused(other_ops) == "feed-ops"
    assert refused(msgspec.structs.replace(feed, ops=b"")) == "feed-ops"
    there = FeedOpener(VERIFIER, VERIFIER, fill(1), puzzle_memory_log2=1)
    with pytest.raises(Refusal, match="feed-signature"):
        there.open(feed)  # another network


@given(place=st.integers(0, SIGNATURE_BYTES * 8 - 1))
def test_no_bit_of_a_signature_can_be_turned(place: int) -> None:
    # [LEDGER-FEED.1]
    feed = sealed(Leave())
    turned = int.from_bytes(feed.signature, "big") ^ 1 << place
    signature = turned.to_bytes(SIGNATURE_BYTES, "big")
    assert refused(msgspec.structs.replace(feed, signature=signature)) == "feed-signature"


def test_the_twin_of_a_signature_is_refused() -> None:
    # [LEDGER-FEED.1] R, S + order satisfies the equation too.
    feed = sealed(Leave())
    scalar = int.from_bytes(feed.signature[32:], "little") + ORDER
    twin = feed.signature[:32] + scalar.to_bytes(32, "little")
    assert refused(msgspec.structs.replace(feed, signature=twin)) == "feed-signature"


def test_a_key_that_signs_everything_signs_nothing() -> None:
    # [LEDGER-FEED.1] With the neutral point as key, R = 1 and S = 0 fit any message.
    neutral = b"\x01" + bytes(31)
    feed = sealed(Leave())
    stolen = feed.header.replace(ALICE.node_id, neutral)
    assert stolen != feed.header
    anybody = msgspec.structs.replace(feed, header=stolen, signature=neutral + bytes(32))
    assert refused(anybody) == "feed-signature"


def test_a_signature_of_another_kind_is_none_here() -> None:
    # [LEDGER-ENCODING.3]
    word = HoldAccept(fill(1), 5)
    good = seal_word(word, ALICE, NETWORK)
    read = open_word(good, HoldAccept, node=ALICE.node_id, verifier=VERIFIER, network_id=NETWORK)
    assert read == word
    as_final = compute_signing_input(SignedKind.FINAL, NETWORK, good.body)
    bad = SealedWord(good.body, ALICE.sign(as_final))
    with pytest.raises(Refusal, match="word-signature"):
        open_word(bad, HoldAccept, node=ALICE.node_id, verifier=VERIFIER, network_id=NETWORK)


@pytest.mark.parametrize(
    "ops",
    [
        (),
        (Leave(),) * (OPS_MAX + 1),
        (Claim(fill(1), DEPTH_MAX + 1, fill(2)),),
        (Claim(fill(1)[:31], 1, fill(2)),),
        (Bond(0),),
        (Bond(-1),),
        (Evidence(EvidenceKind.FEED, bytes(OPS_BYTES_MAX), b""),),
    ],
)
def test_ops_out_of_bounds_are_no_ops(ops: tuple[Op, ...]) -> None:
    assert refused(sealed(*ops)) in {"encoding-shape", "encoding-size"}


def test_a_feed_block_shows_one_puzzle() -> None:
    # [LEDGER-OPEN.1]
    puzzle = Join(Door.FAUCET, Puzzle(fill(1), bytes(8)))
    assert OPENER.open(sealed(puzzle, Join(Door.SPONSOR))).ops[0] == puzzle
    assert refused(sealed(puzzle, puzzle)) == "feed-puzzles"


@pytest.mark.parametrize("beside", [Join(Door.FAUCET, Puzzle(fill(1), bytes(8))), Leave()])
def test_what_comes_with_an_offer_is_holds_and_claims(beside: Op) -> None:
    # [LEDGER-OPEN.1]
    hold = Hold(1, BOB.node_id, 1, 1, 2, 4, fill(1), fill(2), fill(3), 1_000, 0)
    claim = Claim(fill(1), DEPTH_MAX, fill(2))
    assert OPENER.open_offered(sealed(hold, claim)).ops == (hold, claim)
    with pytest.raises(Refusal, match="offer-ops"):
        OPENER.open_offered(sealed(hold, beside))


def test_bytes_that_are_not_canonical_are_refused() -> None:
    # [LEDGER-ENCODING.2] The same value, a number written longer than it need be.
    header = sealed(Leave()).header
    longer = header[:1] + b"\xcc\x01" + header[2:]
    assert msgspec.msgpack.decode(longer) == msgspec.msgpack.decode(header)
    feed = msgspec.structs.replace(sealed(Leave()), header=longer)
    assert refused(feed) == "encoding-canonical"


# -- what is checked outside the state machine -------------------------------------------------


def proofs(*ops: Op) -> OpenedFeed:
    return OPENER.open(sealed(*ops))


@given(depth=st.integers(0, 40))
def test_a_chain_leads_to_its_anchor(depth: int) -> None:
    # [LEDGER-CLAIM.2]
    links = [fill(7)]
    for _ in range(depth):
        links.append(compute_link(links[-1]))
    assert compute_anchor(fill(7), depth) == links[-1]
    (proof,) = proofs(Claim(fill(1), depth, fill(7))).proofs
    assert proof == Anchor(links[-1])


def test_a_puzzle_is_worth_its_zero_bits() -> None:
    join = next(op for op in OPS if isinstance(op, Join) and op.proof)
    (proof,) = proofs(join).proofs
    assert isinstance(proof, PuzzleBits)
    assert 0 <= proof.count <= 256


def test_an_unsound_key_is_noticed() -> None:
    # [LEDGER-REGISTER.1]
    small_order = bytes(32)
    (proof,) = proofs(Register(0, b"", b"", small_order, (), b"", b"")).proofs
    assert isinstance(proof, Unproven)
    assert proof.detail


def test_two_feed_blocks_at_one_number_are_a_fork_with_or_without_their_ops() -> None:
    # [LEDGER-FORK.1]
    first, second = sealed(Leave()), sealed(Bond(1))
    bare = msgspec.structs.replace(first, ops=b"")
    (proof,) = proofs(Evidence(EvidenceKind.FEED, encode(bare), encode(second))).proofs
    assert isinstance(proof, FeedFork)
    assert (proof.first.ops, proof.second.ops) == ((), (Bond(1),))
    for other in (first, sealed(Bond(1), seq=2)):
        (proof,) = proofs(Evidence(EvidenceKind.FEED, encode(first), encode(other))).proofs
        assert isinstance(proof, Unproven)


def test_two_heads_of_a_sequencer_are_a_fork() -> None:
    # [LEDGER-FORK.4]
    def head(dt_ms: int, height: int = 5) -> bytes:
        header = msgspec.structs.replace(
            BLOCK, dt_ms=dt_ms, height=height, feeds_hash=compute_feeds_hash(())
        )
        return encode(seal_block(header, (), ALICE, NETWORK).sealed)

    (proof,) = proofs(Evidence(EvidenceKind.SEQUENCER, head(1), head(2))).proofs
    assert isinstance(proof, HeadFork)
    for other in (head(1), head(2, height=6), b"nonsense"):
        (proof,) = proofs(Evidence(EvidenceKind.SEQUENCER, head(1), other)).proofs
        assert isinstance(proof, Unproven)


# -- blocks, checkpoints, genesis --------------------------------------------------------------


def test_a_block_is_its_leaders_and_lists_what_was_signed() -> None:
    feed_ids = (fill(1), fill(2))
    header = msgspec.structs.replace(BLOCK, feeds_hash=compute_feeds_hash(feed_ids))
    opened = seal_block(header, feed_ids, ALICE, NETWORK)
    assert open_block(opened.sealed, VERIFIER, NETWORK) == opened
    for bad, rule in (
        (SealedBlock(opened.sealed.header, feed_ids[::-1], opened.sealed.signature), "block-feeds"),
        (SealedBlock(opened.sealed.header, feed_ids, fill(0, 64)), "block-signature"),
    ):
        with pytest.raises(Refusal, match=rule):
            open_block(bad, VERIFIER, NETWORK)


def test_a_checkpoint_is_the_sequencers() -> None:
    checkpoint = EXAMPLES["checkpoint"]
    assert isinstance(checkpoint, Checkpoint)
    seal = seal_checkpoint(checkpoint, ALICE, NETWORK)
    assert open_checkpoint(seal, ALICE.node_id, VERIFIER, NETWORK) == checkpoint
    with pytest.raises(Refusal, match="checkpoint-signature"):
        open_checkpoint(seal, BOB.node_id, VERIFIER, NETWORK)


def test_every_number_of_a_network_is_part_of_its_name() -> None:
    # [LEDGER-GENESIS.1]
    names = {compute_genesis_id(GENESIS)}
    for field in LedgerParameters.__struct_fields__:
        value: int = getattr(TINY_LEDGER, field)
        moved = msgspec.structs.replace(TINY_LEDGER, **{field: value + 1})
        names.add(compute_genesis_id(msgspec.structs.replace(GENESIS, parameters=moved)))
    assert len(names) == len(LedgerParameters.__struct_fields__) + 1


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"format": 2}, "genesis-format"),
        ({"parameters": msgspec.structs.replace(TINY_LEDGER, units_max=12)}, "genesis-parameters"),
        ({"supply": 10}, "genesis-supply"),
        ({"doors": (1, 1)}, "genesis-doors"),
        ({"doors": (2,)}, "genesis-doors"),
        ({"accounts": GENESIS.accounts * 2}, "genesis-accounts"),
        ({"circulation": Circulation.OPEN}, "genesis-treasury"),
        ({"accounts": ()}, "genesis-treasury"),
    ],
)
def test_a_genesis_no_ledger_could_start_from_is_refused(
    changes: dict[str, object], rule: str
) -> None:
    # [LEDGER-GENESIS.2]
    validate_genesis(GENESIS)
    assert open_genesis(encode(GENESIS)) == GENESIS
    bad = msgspec.structs.replace(GENESIS, **changes)
    with pytest.raises(Refusal, match=rule):
        open_genesis(encode(bad))


def test_both_sizes_of_the_numbers_are_within_their_ranges() -> None:
    # [LEDGER-GENESIS.2]
    assert set(RANGES) == set(LedgerParameters.__struct_fields__)
    for parameters in (MAIN_LEDGER, TINY_LEDGER):
        assert find_parameter_fault(parameters) == ""
    for name, (low, high) in RANGES.items():
        for value in (low - 1, high + 1):
            moved = msgspec.structs.replace(MAIN_LEDGER, **{name: value})
            assert name in find_parameter_fault(moved)
