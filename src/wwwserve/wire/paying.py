"""The money side of a request's frames: what their `payment` fields hold, and how it is opened.

As with messages, bytes become values only here: every signature is checked, by any worker, before
the core hears of it. What is agreed in them is in the ledger chapter on one paid request.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.encoding import decode_canonical, encode
from wwwserve.wire.ledger import (
    FeedOpener,
    FirmQuote,
    Hold,
    HoldAccept,
    OpenedFeed,
    SealedFeed,
    SealedWord,
    compute_hold_id,
    open_word,
    seal_word,
)
from wwwserve.wire.ledger import Final as FinalWord
from wwwserve.wire.requests import PAYMENT_BYTES_MAX
from wwwserve.wire.signing import Signer, Verifier

SALT_BYTES: Final = 32

Salt = Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]


class PaidOffer(msgspec.Struct, array_like=True, frozen=True):
    """`Offer.payment` and `Extension.payment`: the hold, in the feed block that opens it."""

    feed: SealedFeed
    position: Annotated[int, Meta(ge=0, le=63)]
    """Which op of the feed block is the hold."""
    quote: FirmQuote
    """What the executor quoted; it knows its own words by their hash."""
    salt: Salt
    """Opens the hold's commitment to the request, and hides the answer in the final."""


@dataclass(frozen=True, slots=True)
class OpenedHold:
    """A hold offered for a request, with everything checked that needs no ledger."""

    opened: OpenedFeed
    hold: Hold
    hold_id: bytes
    quote: FirmQuote
    salt: bytes


_OFFER: "msgspec.msgpack.Decoder[PaidOffer]" = msgspec.msgpack.Decoder(PaidOffer)
_WORD: "msgspec.msgpack.Decoder[SealedWord]" = msgspec.msgpack.Decoder(SealedWord)
_QUOTE: "msgspec.msgpack.Decoder[FirmQuote]" = msgspec.msgpack.Decoder(FirmQuote)


def compute_quote_hash(quote: FirmQuote) -> bytes:
    """What a hold names a quote by."""
    return hashlib.sha256(encode(quote)).digest()


def compute_model_tag(model: str) -> bytes:
    """What the ledger knows a model by."""
    return hashlib.sha256(b"model\0" + model.encode()).digest()


def compute_request_commitment(model: str, salt: bytes, body_digest: bytes) -> bytes:
    """What a hold says of its request: the model, and under a salt the whole body's SHA-256."""
    hidden = hashlib.sha256(salt + body_digest).digest()
    return hashlib.sha256(compute_model_tag(model) + hidden).digest()


def compute_response_commitment(salt: bytes, output_digest: bytes) -> bytes:
    """What a final says of the answer: under a salt, the SHA-256 of all output."""
    return hashlib.sha256(salt + output_digest).digest()


def open_paid_offer(payment: bytes, *, payer: NodeId, opener: FeedOpener) -> OpenedHold:
    """Read what an offer pays with; raises `Refusal` if its payer did not sign that."""
    offer = decode_canonical(payment, _OFFER, bytes_max=PAYMENT_BYTES_MAX)
    opened = opener.open_offered(offer.feed)
    if opened.account != payer:
        raise Refusal("offer-payer", "the hold is another account's")
    op = opened.ops[offer.position] if offer.position < len(opened.ops) else None
    if not isinstance(op, Hold):
        raise Refusal("offer-hold", f"op {offer.position} of the feed block is no hold")
    if op.quote_hash != compute_quote_hash(offer.quote):
        raise Refusal("offer-quote", "the hold names another quote")
    hold_id = compute_hold_id(opened.account, opened.header.seq, op.n)
    return OpenedHold(opened, op, hold_id, offer.quote, offer.salt)


def seal_payment(word: FirmQuote | HoldAccept | FinalWord, signer: Signer, network: bytes) -> bytes:
    """A signed word as the `payment` field of a frame."""
    return encode(seal_word(word, signer, network))


def open_quote(
    payment: bytes, *, executor: NodeId, verifier: Verifier, network_id: bytes
) -> FirmQuote:
    """The price in a quote; raises `Refusal` if the executor did not sign it."""
    quote = open_word(
        _read_word(payment), FirmQuote, node=executor, verifier=verifier, network_id=network_id
    )
    if quote.executor != executor:
        raise Refusal("quote-executor", "it is another node's quote")
    return quote


def read_quote(payment: bytes) -> FirmQuote:
    """The price in a quote that was opened where it came in; raises `Refusal` for anything else."""
    return decode_canonical(_read_word(payment).body, _QUOTE, bytes_max=PAYMENT_BYTES_MAX)


def open_accept(
    payment: bytes, *, executor: NodeId, verifier: Verifier, network_id: bytes
) -> HoldAccept:
    """An executor's word that it works for a hold; raises `Refusal` if it did not sign it."""
    return open_word(
        _read_word(payment), HoldAccept, node=executor, verifier=verifier, network_id=network_id
    )


def open_final(
    payment: bytes, *, executor: NodeId, verifier: Verifier, network_id: bytes
) -> FinalWord:
    """What an executor says it delivered; raises `Refusal` if it did not sign it."""
    return open_word(
        _read_word(payment), FinalWord, node=executor, verifier=verifier, network_id=network_id
    )


def _read_word(payment: bytes) -> SealedWord:
    return decode_canonical(payment, _WORD, bytes_max=PAYMENT_BYTES_MAX)
