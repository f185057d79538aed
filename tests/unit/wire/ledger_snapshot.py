"""The bytes of everything the ledger writes, built afresh, to compare with what is committed."""

import msgspec

from tests.unit.wire.ledger_examples import (
    ALICE,
    BLOCK,
    EXAMPLES,
    GENESIS,
    NETWORK,
    OPS,
    fill,
)
from wwwserve.wire import encode
from wwwserve.wire.kinds import SignedKind
from wwwserve.wire.ledger import (
    HoldAccept,
    Puzzle,
    compute_anchor,
    compute_feeds_hash,
    compute_genesis_id,
    compute_hold_id,
    compute_link,
    compute_puzzle,
    count_zero_bits,
    seal_block,
    seal_feed,
    seal_word,
)


def build_snapshot() -> dict[str, dict[str, str]]:
    """All encodings, and all that is computed from them and signed, as hexadecimal text."""
    return {
        "encodings": {name: encode(example).hex() for name, example in EXAMPLES.items()},
        "computed": _compute(),
        "signed": _sign(),
        "kinds": {kind.name: str(int(kind)) for kind in SignedKind},
    }


def _compute() -> dict[str, str]:
    puzzle = Puzzle(fill(12), fill(13, 8))
    digest = compute_puzzle(ALICE.node_id, NETWORK, puzzle, memory_log2=4)
    return {
        "network id": compute_genesis_id(GENESIS).hex(),
        "hold id": compute_hold_id(ALICE.node_id, 7, 3).hex(),
        "link": compute_link(fill(1)).hex(),
        "anchor at depth 0": compute_anchor(fill(1), 0).hex(),
        "anchor at depth 5": compute_anchor(fill(1), 5).hex(),
        "puzzle": digest.hex(),
        "zero bits": str(count_zero_bits(b"\x00\x1f")),
        "feeds hash": compute_feeds_hash((fill(1), fill(2))).hex(),
    }


def _sign() -> dict[str, str]:
    feed = seal_feed(
        OPS, seq=9, previous=fill(1), valid_until_ms=99, signer=ALICE, network_id=NETWORK
    )
    header = msgspec.structs.replace(BLOCK, feeds_hash=compute_feeds_hash(()))
    block = seal_block(header, (), ALICE, NETWORK)
    return {
        "feed": encode(feed).hex(),
        "feed id": feed.compute_id().hex(),
        "block": encode(block.sealed).hex(),
        "block id": block.block_id.hex(),
        "word": encode(seal_word(HoldAccept(fill(1), 5), ALICE, NETWORK)).hex(),
    }
