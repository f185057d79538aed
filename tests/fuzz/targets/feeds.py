"""Feed blocks, blocks and paid offers: what opens was signed as it is, and opens again the same.

As with records, what the mutator makes is signed again, so that it gets as far as the ops.
"""

import hashlib
from random import Random

import msgspec

from tests.fuzz.mutating import UNFIT, mutate_msgpack
from tests.fuzz.targets.records import KEY, NETWORK
from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire import PAYMENT_BYTES_MAX, encode
from wwwserve.wire.chain import BlockTold, FeedTold, read_feed_shape
from wwwserve.wire.kinds import SignedKind
from wwwserve.wire.ledger import (
    BLOCK_FORMAT,
    NO_DIGEST,
    BlockHeader,
    Bond,
    Claim,
    Close,
    Evidence,
    EvidenceKind,
    FeedOpener,
    FirmQuote,
    Hold,
    Op,
    OpenedBlock,
    SealedFeed,
    Transfer,
    compute_anchor,
    compute_feeds_hash,
    seal_block,
    seal_feed,
)
from wwwserve.wire.paying import PaidOffer, compute_quote_hash, open_paid_offer
from wwwserve.wire.signing import compute_signing_input

PAYEE = NodeId(b"e" * 32)
_VERIFIER = LibsodiumVerifier()
_OPENER = FeedOpener(_VERIFIER, _VERIFIER, NETWORK, puzzle_memory_log2=1)
_PREIMAGE = b"w" * 32
_LIFE_MS = 120_000


def make_hold() -> tuple[Hold, FirmQuote]:
    """A hold and the quote it pays."""
    quote = FirmQuote(PAYEE, KEY.node_id, "org/small", 0, 667, 2667, 2, 1000, _LIFE_MS)
    hold = Hold(
        n=1, payee=PAYEE, first=334, unit=86, units_max=8, unit_tokens=32,
        anchor=compute_anchor(_PREIMAGE, 8), req_commit=b"r" * 32,
        quote_hash=compute_quote_hash(quote), deadline_ms=600_000, seed_epoch=0,
    )  # fmt: skip
    return hold, quote


def make_feeds() -> list[SealedFeed]:
    """From one payment to a fork shown as evidence."""
    hold, _ = make_hold()
    pays = (Transfer(PAYEE, 5), Bond(1))
    settles = (Claim(b"h" * 32, 3, _PREIMAGE), Close(b"i" * 32, 8, _PREIMAGE))
    first, second = (_seal(ops, seq=2) for ops in (pays, (hold,)))
    proof = Evidence(EvidenceKind.FEED, encode(first), encode(second))
    return [first, second, _seal(settles, seq=3), _seal((proof,), seq=4)]


def make_block(feeds: list[SealedFeed]) -> OpenedBlock:
    """A block of these."""
    feed_ids = tuple(feed.compute_id() for feed in feeds)
    header = BlockHeader(
        format=BLOCK_FORMAT, height=1, parent=NETWORK, epoch=0, dt_ms=250,
        feeds_hash=compute_feeds_hash(feed_ids), vrf_proof=b"", state_root=NO_DIGEST,
        leader=KEY.node_id,
    )  # fmt: skip
    return seal_block(header, feed_ids, KEY, NETWORK)


def make_told() -> tuple[FeedTold, BlockTold]:
    """A feed block and a block as they are told."""
    feeds = make_feeds()
    return FeedTold(feeds[0]), BlockTold(make_block(feeds).sealed)


def make_seeds() -> list[bytes]:
    """Feed blocks, and what an offer pays with."""
    hold, quote = make_hold()
    offer = PaidOffer(_seal((hold,), seq=2), 0, quote, b"s" * 32)
    return [*(encode(feed) for feed in make_feeds()), encode(offer)]


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change a field, or an op of a feed block inside; None for what msgpack cannot read."""
    if chance.randrange(3) == 0:
        return mutate_msgpack(data, chance)
    try:
        return encode(_change_feed(msgspec.msgpack.decode(data), chance))
    except UNFIT:
        return None


def consume(data: bytes) -> None:
    """Open it as a feed block, and as what an offer pays with."""
    _open_feed(data)
    _open_offer(data)


def _open_feed(data: bytes) -> None:
    try:
        opened = _OPENER.open(read_feed_shape(data))
    except Refusal as refusal:
        assert refusal.rule
        return
    sealed = opened.signed.sealed
    assert opened.account == KEY.node_id, "nobody else can have signed it"
    assert len(opened.proofs) == len(opened.ops)
    assert opened.feed_id == sealed.compute_id()
    # What was signed says all of it in one way only.
    assert (encode(opened.header), encode(opened.ops)) == (sealed.header, sealed.ops)
    assert _OPENER.open(sealed) == opened


def _open_offer(data: bytes) -> None:
    try:
        held = open_paid_offer(data, payer=KEY.node_id, opener=_OPENER)
    except Refusal as refusal:
        assert refusal.rule
        return
    assert len(data) <= PAYMENT_BYTES_MAX
    assert held.hold in held.opened.ops
    assert held.hold.quote_hash == compute_quote_hash(held.quote)


def _seal(ops: tuple[Op, ...], seq: int) -> SealedFeed:
    return seal_feed(
        ops,
        seq=seq,
        previous=NO_DIGEST,
        valid_until_ms=_LIFE_MS,
        signer=KEY,
        network_id=NETWORK,
    )


def _change_feed(tree: object, chance: Random) -> object:
    """The same with each feed block in it changed in its ops or header, and signed again."""
    match tree:
        case [bytes(header), bytes(ops), bytes()]:
            ops = mutate_msgpack(ops, chance) or ops
            if chance.randrange(4) == 0:
                header = mutate_msgpack(header, chance) or header
            fields = msgspec.msgpack.decode(header)
            if isinstance(fields, list) and fields:
                fields[-1] = hashlib.sha256(ops).digest()
                header = encode(fields)
            signed = compute_signing_input(SignedKind.FEED_BLOCK, NETWORK, header)
            return [header, ops, KEY.sign(signed)]
        case list():
            return [_change_feed(item, chance) for item in tree]
        case _:
            return tree
