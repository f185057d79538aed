"""What payer and payee sign to each other; none of it enters the log except as evidence.

These ride in the `payment` fields of the frames of a request (`wire.requests`).
"""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import DeclineReason, Refusal
from wwwserve.wire.encoding import decode_canonical, encode
from wwwserve.wire.kinds import SignedKind
from wwwserve.wire.ledger.fields import LATER_BYTES_MAX, Amount, Depth, Digest, Millis, Number
from wwwserve.wire.records import Count, Key, Name
from wwwserve.wire.signing import SIGNATURE_BYTES, Signer, Verifier, compute_signing_input


class FirmQuote(msgspec.Struct, array_like=True, frozen=True):
    """An executor's price for a request, which a hold names by its hash."""

    executor: Key
    peer: Key
    """For whom it is."""
    model: Name
    prompt_tokens: Count
    """Counted, or 0 if the executor has not seen the prompt."""
    prompt_price: Amount
    """Micro-credits for a million prompt tokens."""
    completion_price: Amount
    """The same for completion tokens."""
    lead_units: Annotated[int, Meta(ge=-1, le=64)]
    """Units delivered before payment; -1: the peer pays one unit ahead."""
    first_token_ms: Millis
    """Later, nothing is owed."""
    expiry_ms: Millis
    """Of the ledger clock."""


class HoldAccept(msgspec.Struct, array_like=True, frozen=True):
    """The executor works for this hold, until then."""

    hold_id: Digest
    deadline_ms: Millis


class HoldDecline(msgspec.Struct, array_like=True, frozen=True):
    """The executor does not; in an audit this is what a challenger was skipped for."""

    hold_id: Digest
    reason: DeclineReason


class Final(msgspec.Struct, array_like=True, frozen=True):
    """What the executor says it delivered. Evidence for audits; it decides no payment."""

    hold_id: Digest
    depth: Depth
    response_commit: Digest
    """H(salt, response)."""
    prompt_tokens: Number
    completion_tokens: Number


class SealedWord(msgspec.Struct, array_like=True, frozen=True):
    """One of these with its signature."""

    body: Annotated[bytes, Meta(max_length=LATER_BYTES_MAX)]
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


Word = FirmQuote | HoldAccept | HoldDecline | Final
WordT = TypeVar("WordT", FirmQuote, HoldAccept, HoldDecline, Final)

_KINDS: dict[type[Word], SignedKind] = {
    FirmQuote: SignedKind.FIRM_QUOTE,
    HoldAccept: SignedKind.HOLD_ACCEPT,
    HoldDecline: SignedKind.HOLD_DECLINE,
    Final: SignedKind.FINAL,
}


def seal_word(word: Word, signer: Signer, network_id: bytes) -> SealedWord:
    """Sign a word to a peer."""
    body = encode(word)
    signed = compute_signing_input(_KINDS[type(word)], network_id, body)
    return SealedWord(body, signer.sign(signed))


def open_word(
    sealed: SealedWord, kind: type[WordT], *, node: NodeId, verifier: Verifier, network_id: bytes
) -> WordT:
    """Read a word of one kind that `node` must have signed; raises `Refusal` otherwise."""
    decoder = msgspec.msgpack.Decoder(kind)
    word = decode_canonical(sealed.body, decoder, bytes_max=LATER_BYTES_MAX)
    signed = compute_signing_input(_KINDS[kind], network_id, sealed.body)
    if not verifier.is_signed_by(node, signed, sealed.signature):
        raise Refusal("word-signature", f"not signed by the node that should have said it: {kind}")
    return word
