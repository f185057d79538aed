"""Blocks of the log, and what validators and the sequencer sign about it.

A block orders feed blocks by their ids. As with feed blocks, what is signed is a short header with
the hash of that list, so that two headers at one height prove a broken promise by themselves.
Votes, checkpoints and the handover belong to stage 2; their form is fixed here.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.encoding import decode_canonical, encode
from wwwserve.wire.kinds import SignedKind
from wwwserve.wire.ledger.fields import (
    FEEDS_PER_BLOCK_MAX,
    Digest,
    MaybeDigest,
    Millis,
    Number,
    Seats,
)
from wwwserve.wire.records import Count, Key
from wwwserve.wire.signing import SIGNATURE_BYTES, Signer, Verifier, compute_signing_input

BLOCK_FORMAT: Final = 1
"""The block format this code writes and reads."""
BLOCK_HEADER_BYTES_MAX: Final = 512

Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class BlockHeader(msgspec.Struct, array_like=True, frozen=True):
    """What the leader of a height signs. The block's id is the hash of all of it."""

    format: Count
    height: Number
    parent: Digest
    """The id of the block below, or the network id at height 1."""
    epoch: Number
    dt_ms: Millis
    """How far this block moves the ledger clock."""
    feeds_hash: Digest
    """Of the ids of its feed blocks, one after the other."""
    vrf_proof: Annotated[bytes, Meta(max_length=80)]
    """The leader's part of the beacon; empty while one sequencer leads."""
    state_root: Digest
    """Of the state before this block."""
    leader: Key

    def compute_id(self) -> bytes:
        """The block's id."""
        return hashlib.sha256(encode(self)).digest()


class SealedBlock(msgspec.Struct, array_like=True, frozen=True):
    """A block as it travels. In evidence, and where only heads are compared, ids are left out."""

    header: Annotated[bytes, Meta(max_length=BLOCK_HEADER_BYTES_MAX)]
    feed_ids: Annotated[tuple[Digest, ...], Meta(max_length=FEEDS_PER_BLOCK_MAX)]
    signature: Signature


@dataclass(frozen=True, slots=True)
class OpenedBlock:
    """A block whose leader's signature was checked."""

    header: BlockHeader
    block_id: bytes
    sealed: SealedBlock

    @property
    def leader(self) -> NodeId:
        """Who signed it."""
        return NodeId(self.header.leader)

    @property
    def feed_ids(self) -> tuple[bytes, ...]:
        """Its feed blocks, in order."""
        return self.sealed.feed_ids


class Vote(msgspec.Struct, array_like=True, frozen=True):
    """A validator's word about a height; its kind is in what is signed (stage 2)."""

    height: Number
    block_id: MaybeDigest
    """Empty in a dummy."""
    validator: Key


class SignedVote(msgspec.Struct, array_like=True, frozen=True):
    """One signature of a quorum."""

    validator: Key
    signature: Signature


class Checkpoint(msgspec.Struct, array_like=True, frozen=True):
    """The state at the end of an epoch, as a newcomer may start from it."""

    epoch: Number
    height: Number
    block_id: Digest
    state_root: Digest
    next_set_hash: MaybeDigest
    """Of the next validators; empty while one sequencer leads."""
    beacon: Digest
    parameters_hash: Digest


class SealedCheckpoint(msgspec.Struct, array_like=True, frozen=True):
    """A checkpoint with the signatures of its quorum: the sequencer's alone before stage 2."""

    body: Annotated[bytes, Meta(max_length=512)]
    signatures: Annotated[tuple[SignedVote, ...], Meta(min_length=1, max_length=64)]


class Handover(msgspec.Struct, array_like=True, frozen=True):
    """The sequencer's last word: from this height these validators decide (stage 2)."""

    height: Number
    head: Digest
    validators: Annotated[tuple[tuple[Key, Seats], ...], Meta(min_length=4, max_length=64)]


_HEADER_DECODER = msgspec.msgpack.Decoder(BlockHeader)
_CHECKPOINT_DECODER = msgspec.msgpack.Decoder(Checkpoint)


def compute_feeds_hash(feed_ids: tuple[bytes, ...]) -> bytes:
    """The hash by which a block names its feed blocks."""
    return hashlib.sha256(b"".join(feed_ids)).digest()


def seal_block(
    header: BlockHeader, feed_ids: tuple[bytes, ...], signer: Signer, network_id: bytes
) -> OpenedBlock:
    """Sign a block as its leader."""
    assert signer.node_id == header.leader, "a leader signs only its own blocks"
    assert compute_feeds_hash(feed_ids) == header.feeds_hash, "the header names other feed blocks"
    body = encode(header)
    signed = compute_signing_input(SignedKind.BLOCK, network_id, body)
    sealed = SealedBlock(body, feed_ids, signer.sign(signed))
    return OpenedBlock(header, hashlib.sha256(body).digest(), sealed)


def open_block(sealed: SealedBlock, verifier: Verifier, network_id: bytes) -> OpenedBlock:
    """Decode a block and check its signature and list; raises `Refusal` naming the broken rule."""
    opened = open_block_header(sealed, verifier, network_id)
    if compute_feeds_hash(sealed.feed_ids) != opened.header.feeds_hash:
        raise Refusal("block-feeds", "it lists other feed blocks than were signed")
    return opened


def open_block_header(sealed: SealedBlock, verifier: Verifier, network_id: bytes) -> OpenedBlock:
    """As `open_block` without its list: enough to compare heads, and for evidence."""
    header = decode_canonical(sealed.header, _HEADER_DECODER, bytes_max=BLOCK_HEADER_BYTES_MAX)
    if header.format != BLOCK_FORMAT:
        raise Refusal("block-format", f"format {header.format}, this node reads {BLOCK_FORMAT}")
    signed = compute_signing_input(SignedKind.BLOCK, network_id, sealed.header)
    if not verifier.is_signed_by(NodeId(header.leader), signed, sealed.signature):
        raise Refusal("block-signature", "not signed by the leader it names")
    return OpenedBlock(header, hashlib.sha256(sealed.header).digest(), sealed)


def seal_checkpoint(checkpoint: Checkpoint, signer: Signer, network_id: bytes) -> SealedCheckpoint:
    """Sign a checkpoint alone, as a sequencer does."""
    body = encode(checkpoint)
    signed = compute_signing_input(SignedKind.CHECKPOINT, network_id, body)
    return SealedCheckpoint(body, (SignedVote(signer.node_id, signer.sign(signed)),))


def open_checkpoint(
    sealed: SealedCheckpoint, sequencer: NodeId, verifier: Verifier, network_id: bytes
) -> Checkpoint:
    """Read a checkpoint the sequencer signed; raises `Refusal` if it did not."""
    checkpoint = decode_canonical(sealed.body, _CHECKPOINT_DECODER, bytes_max=512)
    signed = compute_signing_input(SignedKind.CHECKPOINT, network_id, sealed.body)
    for vote in sealed.signatures:
        if vote.validator == sequencer and verifier.is_signed_by(sequencer, signed, vote.signature):
            return checkpoint
    raise Refusal("checkpoint-signature", "not signed by the sequencer")


def is_head_fork(first: OpenedBlock, second: OpenedBlock) -> bool:
    """Whether two blocks prove that their leader broke its promise of one history."""
    return (
        first.leader == second.leader
        and first.header.height == second.header.height
        and first.block_id != second.block_id
    )
