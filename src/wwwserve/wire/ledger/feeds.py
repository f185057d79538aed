"""Feed blocks: the signed, numbered sayings of one account, and the only way to ask the ledger.

What is signed is a short header that names its ops by their hash, so that two headers are proof of
a fork whatever the size of what they carry, and a feed block is known by its id without its ops.
"""

import hashlib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.encoding import decode_canonical, encode
from wwwserve.wire.kinds import SignedKind
from wwwserve.wire.ledger.fields import (
    HEADER_BYTES_MAX,
    OPS_BYTES_MAX,
    OPS_MAX,
    Digest,
    Millis,
    Number,
)
from wwwserve.wire.ledger.ops import Op
from wwwserve.wire.records import Count, Key
from wwwserve.wire.signing import SIGNATURE_BYTES, Signer, Verifier, compute_signing_input

FEED_FORMAT: Final = 1
"""The feed block format this code writes and reads."""

Ops = Annotated[tuple[Op, ...], Meta(min_length=1, max_length=OPS_MAX)]


class FeedHeader(msgspec.Struct, array_like=True, frozen=True):
    """What an account signs."""

    format: Count
    account: Key
    seq: Number
    """One more than that of the account's last feed block in the log."""
    previous: Digest
    """The id of that feed block."""
    valid_until_ms: Millis
    """The last instant of the ledger clock at which it may enter the log."""
    ops_hash: Digest

    def compute_id(self) -> bytes:
        """The id of the feed block: it says everything, the ops included."""
        return hashlib.sha256(encode(self)).digest()


class SealedFeed(msgspec.Struct, array_like=True, frozen=True):
    """A feed block as it travels. In evidence the ops may be left out."""

    header: Annotated[bytes, Meta(max_length=HEADER_BYTES_MAX)]
    ops: Annotated[bytes, Meta(max_length=OPS_BYTES_MAX)]
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]

    def compute_id(self) -> bytes:
        """The id of the feed block, without reading it."""
        return hashlib.sha256(self.header).digest()


class SignedFeed(msgspec.Struct, frozen=True):
    """A feed block whose signature was checked, and whose ops were read if it came with them."""

    header: FeedHeader
    ops: tuple[Op, ...]
    feed_id: bytes
    sealed: SealedFeed

    @property
    def account(self) -> NodeId:
        """Who speaks."""
        return NodeId(self.header.account)


_HEADER_DECODER = msgspec.msgpack.Decoder(FeedHeader)
_OPS_DECODER: "msgspec.msgpack.Decoder[tuple[Op, ...]]" = msgspec.msgpack.Decoder(Ops)


def seal_feed(
    ops: tuple[Op, ...],
    *,
    seq: int,
    previous: bytes,
    valid_until_ms: int,
    signer: Signer,
    network_id: bytes,
) -> SealedFeed:
    """Sign a feed block with its account's key."""
    written = encode(ops)
    ops_hash = hashlib.sha256(written).digest()
    header = encode(
        FeedHeader(FEED_FORMAT, signer.node_id, seq, previous, valid_until_ms, ops_hash)
    )
    signed = compute_signing_input(SignedKind.FEED_BLOCK, network_id, header)
    return SealedFeed(header, written, signer.sign(signed))


def read_feed(sealed: SealedFeed, verifier: Verifier, network_id: bytes) -> SignedFeed:
    """Decode a feed block and check its signature; raises `Refusal` naming the broken rule."""
    signed = read_header(sealed, verifier, network_id)
    if not sealed.ops:
        raise Refusal("feed-ops", "its ops are missing")
    ops = _read_ops(sealed, signed.header)
    return SignedFeed(signed.header, ops, signed.feed_id, sealed)


def read_evidence_feed(sealed: SealedFeed, verifier: Verifier, network_id: bytes) -> SignedFeed:
    """As `read_feed`, where the ops may be missing."""
    signed = read_header(sealed, verifier, network_id)
    if not sealed.ops:
        return signed
    return SignedFeed(signed.header, _read_ops(sealed, signed.header), signed.feed_id, sealed)


def read_header(sealed: SealedFeed, verifier: Verifier, network_id: bytes) -> SignedFeed:
    """Decode and check the header alone; the ops are not looked at."""
    header = decode_canonical(sealed.header, _HEADER_DECODER, bytes_max=HEADER_BYTES_MAX)
    if header.format != FEED_FORMAT:
        raise Refusal("feed-format", f"format {header.format}, this node reads {FEED_FORMAT}")
    signed = compute_signing_input(SignedKind.FEED_BLOCK, network_id, sealed.header)
    if not verifier.is_signed_by(NodeId(header.account), signed, sealed.signature):
        raise Refusal("feed-signature", "not signed by the account it speaks for")
    return SignedFeed(header, (), sealed.compute_id(), sealed)


def _read_ops(sealed: SealedFeed, header: FeedHeader) -> tuple[Op, ...]:
    if hashlib.sha256(sealed.ops).digest() != header.ops_hash:
        raise Refusal("feed-ops", "its ops are not those that were signed")
    return decode_canonical(sealed.ops, _OPS_DECODER, bytes_max=OPS_BYTES_MAX)
