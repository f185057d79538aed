"""Every control message of a link, and the opening of bytes into checked envelopes.

Seen is not believed: bytes become a message only here, where they are decoded, bounded and every
record inside is checked against its signature. The core never sees raw bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MESSAGE_BYTES_MAX
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire.chain import (
    BlocksWanted,
    BlockTold,
    ChainMessage,
    FeedTold,
    ForkTold,
    GenesisTold,
    GenesisWanted,
    HeadTold,
)
from wwwserve.wire.encoding import decode, encode
from wwwserve.wire.membership import (
    Ack,
    Alive,
    Digest,
    Gossip,
    Listing,
    MembershipMessage,
    Nack,
    Ping,
    PingRequest,
    PushPull,
)
from wwwserve.wire.records import OpenedRecord, SealedRecord, open_record
from wwwserve.wire.requests import Probe, Quote, Room
from wwwserve.wire.signing import Verifier

Message = MembershipMessage | Probe | Quote | Room | ChainMessage
"""What one control frame of a link carries."""

_MESSAGE_DECODER: "msgspec.msgpack.Decoder[Message]" = msgspec.msgpack.Decoder(Message)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message known to come from `sender`, with the records in it opened.

    The link proved the sender (mutual TLS), so messages carry no signature of their own. A record
    that failed its check is simply not in `records`; `refused` says how many were.
    """

    sender: NodeId
    message: Message
    records: tuple[OpenedRecord, ...] = ()
    refused: int = 0


def encode_message(message: Message) -> bytes:
    """The bytes of one control message."""
    return encode(message)


def open_message(data: bytes, *, sender: NodeId, verifier: Verifier, network_id: bytes) -> Envelope:
    """Decode one control message from a proved sender; raises `Refusal` if it is not one."""
    return open_message_with(
        lambda sealed: open_record(sealed, verifier, network_id), data, sender=sender
    )


def open_message_with(
    open_sealed: Callable[[SealedRecord], OpenedRecord], data: bytes, *, sender: NodeId
) -> Envelope:
    """As `open_message`, for who opens records in a way of its own, which raises `Refusal` too."""
    message = decode(data, _MESSAGE_DECODER, bytes_max=MESSAGE_BYTES_MAX)
    opened: list[OpenedRecord] = []
    refused = 0
    for sealed in _get_records(message):
        try:
            opened.append(open_sealed(sealed))
        except Refusal as refusal:
            # One bad record does not condemn the rest, and a newer software's format is not bad.
            refused += refusal.severity is Severity.REJECT
    return Envelope(sender, message, tuple(opened), refused)


def _get_records(message: Message) -> tuple[SealedRecord, ...]:
    match message:
        case Ping() | Ack() | Nack() | PingRequest() | Gossip():
            return tuple(claim.sealed for claim in message.claims if isinstance(claim, Alive))
        case PushPull():
            return message.records
        case Digest() | Listing() | Probe() | Quote() | Room():
            return ()
        case FeedTold() | BlockTold() | HeadTold() | BlocksWanted() | ForkTold():
            return ()
        case GenesisWanted() | GenesisTold():
            return ()
