"""Sealed records: what a peer sends is a record in canonical form and rightly signed, or refused.

Seeds are signed by a real key, and so is what the mutator makes of them: a record that fails at its
signature would never reach the rules behind it.
"""

from random import Random

import msgspec

from tests.fuzz.mutating import mutate_msgpack
from wwwserve.adapters.host import LibsodiumVerifier, NodeKey
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MESSAGE_BYTES_MAX, RECORD_BYTES_MAX
from wwwserve.values.model_names import parse_model_id
from wwwserve.values.refusals import Refusal
from wwwserve.wire import (
    ModelOffer,
    PeerRecord,
    SealedRecord,
    decode,
    encode,
    open_record,
    seal_record,
)
from wwwserve.wire.records import KIND_PEER_RECORD
from wwwserve.wire.signing import compute_signing_input

KEY = NodeKey(bytes(range(32)))
NETWORK = b"n" * 32
_VERIFIER = LibsodiumVerifier()
_SEALED = msgspec.msgpack.Decoder(SealedRecord)
_FLIPPED_MAX = 3
"""Bits of a good record that are flipped, each of which must break it."""


def make_records() -> list[PeerRecord]:
    """From the least a record can say to one with everything."""
    least = PeerRecord(
        format=1, node=KEY.node_id, version=1, addresses=(), models=(), slots=0,
        protocol_min=1, protocol_max=1,
    )  # fmt: skip
    offer = ModelOffer("Qwen/Qwen3-8B", ("qwen3:8b",), 32_768, "Q4_K_M", ("chat", "tools"))
    full = msgspec.structs.replace(
        least,
        version=2**40,
        addresses=("192.0.2.1:8778", "[2001:db8::1]:8778"),
        models=(offer, ModelOffer("org/small")),
        slots=8,
        region="eu",
        software="wwwserve 0.1",
    )
    leaving = msgspec.structs.replace(full, is_draining=True, is_leaving=True, models=())
    return [least, full, leaving]


def make_seeds() -> list[bytes]:
    """Sealed records as they travel."""
    return [encode(seal_record(record, KEY, NETWORK).sealed) for record in make_records()]


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change a field of the record inside, and sign it anew; None for what is no record."""
    try:
        body = mutate_msgpack(_SEALED.decode(data).body, chance)
    except ValueError:
        return None
    return None if body is None else encode(seal_body(body))


def seal_body(body: bytes) -> SealedRecord:
    """Sign whatever it is as if it were a record."""
    signed = compute_signing_input(KIND_PEER_RECORD, NETWORK, body)
    return SealedRecord(body, KEY.sign(signed))


def consume(data: bytes) -> None:
    """Open it; what opens must be canonical, in its bounds, and broken by any change."""
    try:
        sealed = decode(data, _SEALED, bytes_max=MESSAGE_BYTES_MAX)
        opened = open_record(sealed, _VERIFIER, NETWORK)
    except Refusal as refusal:
        assert refusal.rule
        return
    assert encode(opened.record) == sealed.body
    assert len(sealed.body) <= RECORD_BYTES_MAX
    assert opened.node == opened.record.node
    for offer in opened.record.models:
        assert parse_model_id(offer.model) == offer.model
    _check_broken_by_any_change(sealed)
    assert not _opens(sealed, b"m" * 32), "a record of another network"


def _check_broken_by_any_change(sealed: SealedRecord) -> None:
    bits = len(sealed.body) * 8
    for bit in range(0, bits, 1 + bits // _FLIPPED_MAX):
        body = bytearray(sealed.body)
        body[bit // 8] ^= 1 << bit % 8
        assert not _opens(SealedRecord(bytes(body), sealed.signature), NETWORK)


def _opens(sealed: SealedRecord, network: bytes) -> bool:
    try:
        open_record(sealed, _VERIFIER, network)
    except Refusal:
        return False
    return True


def get_node(number: int) -> NodeId:
    """Some other node."""
    return NodeId(bytes([number]) * 32)
