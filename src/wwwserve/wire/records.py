"""Signed records: what a node says about itself, checkable by anybody and passed on unchanged.

Records carry slow facts only (addresses, models, size); load and prefixes travel in quotes.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from wwwserve.values.ids import NodeId
from wwwserve.values.limits import (
    NAME_LENGTH_MAX,
    RECORD_ADDRESSES_MAX,
    RECORD_ALIASES_MAX,
    RECORD_BYTES_MAX,
    RECORD_MODELS_MAX,
)
from wwwserve.values.model_names import ModelId, parse_model_id
from wwwserve.values.refusals import BadInput, Refusal, Severity
from wwwserve.wire.encoding import decode, decode_canonical, encode
from wwwserve.wire.kinds import SignedKind
from wwwserve.wire.signing import SIGNATURE_BYTES, Signer, Verifier, compute_signing_input

RECORD_FORMAT = 1
"""The newest record format this code writes and reads."""
KIND_PEER_RECORD = SignedKind.PEER_RECORD
"""Type number of a peer record in what is signed."""

Name = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]


class ModelOffer(msgspec.Struct, array_like=True, frozen=True):
    """One model a node serves."""

    model: Name
    """Canonical id, `org/name`."""
    aliases: Annotated[tuple[Name, ...], Meta(max_length=RECORD_ALIASES_MAX)] = ()
    """Other names its provider answers to."""
    context_tokens: Count = 0
    """Longest prompt plus answer; 0 = unknown."""
    quantisation: Name = ""
    """As the provider states it, for people; empty = unknown."""
    capabilities: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    """Of: chat, completions, embeddings, tools, vision, logprobs, continuation."""
    prompt_price: Count = 0
    """Reserved for the ledger: micro-credits per million prompt tokens."""
    completion_price: Count = 0
    """Reserved for the ledger: micro-credits per million completion tokens."""


class PeerRecord(msgspec.Struct, array_like=True, frozen=True):
    """What a node says about itself; the higher `version` replaces the lower."""

    format: Count
    """Record format; a higher one than we know is ignored, not guessed at."""
    node: Key
    """The node, and the key that must have signed this."""
    version: Count
    """Grows with each change and each refutation of a suspicion (SWIM's incarnation)."""
    addresses: Annotated[tuple[Name, ...], Meta(max_length=RECORD_ADDRESSES_MAX)]
    """Where links are accepted, `host:port`; empty for a node that only dials out."""
    models: Annotated[tuple[ModelOffer, ...], Meta(max_length=RECORD_MODELS_MAX)]
    """What it serves."""
    slots: Count
    """Requests it runs at once."""
    protocol_min: Count
    protocol_max: Count
    """Link protocol versions it speaks."""
    is_draining: bool = False
    """Finishing its work: send nothing new."""
    is_leaving: bool = False
    """Its last word: it has left the network."""
    region: Name = ""
    """Optional hint of its provider's choice."""
    software: Name = ""
    """Name and version of the software, for people."""
    stake_seats: Count = 0
    """Reserved: what the node believes its seats are. The ledger decides, never this."""


class SealedRecord(msgspec.Struct, array_like=True, frozen=True):
    """A peer record as it travels: the exact bytes that were signed, and the signature."""

    body: Annotated[bytes, Meta(max_length=RECORD_BYTES_MAX)]
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class OpenedRecord(msgspec.Struct, frozen=True):
    """A peer record whose signature was checked, with the sealed form to pass on."""

    record: PeerRecord
    sealed: SealedRecord

    @property
    def node(self) -> NodeId:
        """The node it speaks of, which is the node that signed it."""
        return NodeId(self.record.node)


class _Format(msgspec.Struct, array_like=True, frozen=True):
    """The beginning of a record of any format."""

    format: Count


_RECORD_DECODER = msgspec.msgpack.Decoder(PeerRecord)
_FORMAT_DECODER = msgspec.msgpack.Decoder(_Format)


def seal_record(record: PeerRecord, signer: Signer, network_id: bytes) -> OpenedRecord:
    """Sign a record with its own node's key."""
    assert signer.node_id == record.node, "a node signs only its own record"
    body = encode(record)
    signature = signer.sign(compute_signing_input(KIND_PEER_RECORD, network_id, body))
    return OpenedRecord(record, SealedRecord(body, signature))


def open_record(sealed: SealedRecord, verifier: Verifier, network_id: bytes) -> OpenedRecord:
    """Decode and check a record; raises `Refusal` naming the first rule it breaks.

    A newer format is ignored: it is nobody's fault, and what follows in it is not ours to judge.
    """
    found = decode(sealed.body, _FORMAT_DECODER, bytes_max=RECORD_BYTES_MAX).format
    if found != RECORD_FORMAT:
        severity = Severity.IGNORE if found > RECORD_FORMAT else Severity.REJECT
        detail = f"format {found}, this node reads {RECORD_FORMAT}"
        raise Refusal("record-format", detail, severity)
    record = decode_canonical(sealed.body, _RECORD_DECODER, bytes_max=RECORD_BYTES_MAX)
    for offer in record.models:
        _validate_model(offer)
    signed = compute_signing_input(KIND_PEER_RECORD, network_id, sealed.body)
    if not verifier.is_signed_by(NodeId(record.node), signed, sealed.signature):
        raise Refusal("record-signature", "not signed by the node it describes")
    return OpenedRecord(record, sealed)


def get_model_ids(record: PeerRecord) -> tuple[ModelId, ...]:
    """The canonical ids of the models a record offers, in its order."""
    return tuple(ModelId(offer.model) for offer in record.models)


def _validate_model(offer: ModelOffer) -> None:
    try:
        parse_model_id(offer.model)
    except BadInput as error:
        raise Refusal("record-model", str(error)) from error
