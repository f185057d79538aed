"""What lies in the `FEED` lane, and where: keys are final, as files outlive programs.

| key | value |
|---|---|
| `f` and the number, 8 bytes | a feed block that was signed and is not in the log (`SealedFeed`) |
| `l` | the last one signed: number, id, until when it may enter (`Last`) |
| `s` | the policy's newest order about the stake (`core.deciding.StakeOrder`) |
| `k` and the id of a hold | the deepest preimage that was received for it (`KeptPreimage`) |
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from wwwserve.core.deciding import StakeOrder
from wwwserve.wire import decode
from wwwserve.wire.ledger import OPS_BYTES_MAX, SealedFeed

LAST_PLACE: Final = b"l"
STAKE_PLACE: Final = b"s"
_FEED: Final = b"f"
_KEPT: Final = b"k"
_SEQ_BYTES: Final = 8
_RECORD_BYTES_MAX: Final = 1_024
_FEED_BYTES_MAX: Final = OPS_BYTES_MAX + _RECORD_BYTES_MAX


class Last(msgspec.Struct, array_like=True, frozen=True):
    """The newest word of the account that this wallet knows of."""

    seq: int
    feed_id: bytes
    valid_until_ms: int
    """The last instant of the ledger clock at which it may enter the log; 0: it is in it."""
    silent_until_ms: int = 0
    """Nothing is signed before the ledger clock is past this instant."""
    has_lost: bool = False
    """Whether words may have been signed of which nothing is known here."""


class KeptPreimage(msgspec.Struct, array_like=True, frozen=True):
    """What a payer released, as it is kept until it was claimed."""

    depth: int
    preimage: bytes
    worth: int
    """Micro-credits that this depth pays."""
    since_ms: int
    """The ledger clock when the first one of this hold was received."""


_FEEDS = msgspec.msgpack.Decoder(SealedFeed)
_LASTS = msgspec.msgpack.Decoder(Last)
_STAKE_ORDERS = msgspec.msgpack.Decoder(StakeOrder)
_PREIMAGES = msgspec.msgpack.Decoder(KeptPreimage)


def feed_place(seq: int) -> bytes:
    """Where the feed block of a number lies."""
    return _FEED + seq.to_bytes(_SEQ_BYTES, "big")


def kept_place(hold_id: bytes) -> bytes:
    """Where the preimage received for a hold lies."""
    return _KEPT + hold_id


def read_feeds(stored: Mapping[bytes, bytes]) -> list[SealedFeed]:
    """The feed blocks in a lane, in the order of their numbers."""
    places = sorted(place for place in stored if place[:1] == _FEED)
    return [decode(stored[place], _FEEDS, bytes_max=_FEED_BYTES_MAX) for place in places]


def read_last(stored: Mapping[bytes, bytes]) -> Last | None:
    """The last feed block signed, if any ever was."""
    found = stored.get(LAST_PLACE)
    return decode(found, _LASTS, bytes_max=_RECORD_BYTES_MAX) if found else None


def read_stake_order(stored: Mapping[bytes, bytes]) -> StakeOrder | None:
    """The policy's newest order about the stake, if it ever gave one."""
    found = stored.get(STAKE_PLACE)
    return decode(found, _STAKE_ORDERS, bytes_max=_RECORD_BYTES_MAX) if found else None


def read_kept(stored: Mapping[bytes, bytes]) -> dict[bytes, KeptPreimage]:
    """The preimages in a lane, by hold."""
    return {
        place[1:]: decode(stored[place], _PREIMAGES, bytes_max=_RECORD_BYTES_MAX)
        for place in sorted(stored)
        if place[:1] == _KEPT
    }
