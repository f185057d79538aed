"""What peers say to each other about who is there (SWIM over links).

A claim is one piece of membership news. Claims that a node is alive or has left are its own signed
record and need no trust; claims that it is suspect or dead are somebody's word about one version of
that record, and the node refutes them by signing a higher version.
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wwwserve.values.limits import (
    LISTING_ENTRIES_MAX,
    PIGGYBACK_CLAIMS_MAX,
    PUSH_PULL_RECORDS_MAX,
)
from wwwserve.wire.records import Count, Key, SealedRecord


class Suspect(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """`accuser` had no answer from `node` as of this version of its record."""

    node: Key
    version: Count
    accuser: Key


class Dead(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """`node` did not refute its suspicion in time, as of this version of its record."""

    node: Key
    version: Count
    accuser: Key


class Alive(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """A node's own record (one with `is_leaving` says it has left)."""

    sealed: SealedRecord


Claim = Suspect | Dead | Alive
Claims = Annotated[tuple[Claim, ...], Meta(max_length=PIGGYBACK_CLAIMS_MAX)]


class Ping(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Are you there? Answered by `Ack` with the same number."""

    number: Count
    claims: Claims = ()


class Ack(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """I am; or, relayed after a `PingRequest`: `node` is."""

    number: Count
    claims: Claims = ()


class PingRequest(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """I had no answer from `node`: please ping it and pass its answer on as an `Ack`.

    Without an answer within `wait_us`, or without a link to it, say so by a `Nack`.
    """

    number: Count
    node: Key
    wait_us: Count
    claims: Claims = ()


class Gossip(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """News, unasked."""

    claims: Claims


BUCKETS: Final = 64
"""Runs of the order of ids for which a table has one sum each; a power of two, at most 256."""
SUM_BYTES: Final = 8


class Digest(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """How does your table differ from mine, from this id on? Answered by one `Listing`."""

    first: Key
    sums: Annotated[bytes, Meta(min_length=BUCKETS * SUM_BYTES, max_length=BUCKETS * SUM_BYTES)]
    """One after the other, a sum for each bucket over who is held live, at which version."""


class Standing(IntEnum):
    """What a node is held for, in a listing. Numbers travel: append only."""

    ALIVE = 1
    SUSPECT = 2
    DEAD = 3
    LEFT = 4


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """What a table says of one node, without its record."""

    node: Key
    version: Count
    standing: Standing


class Listing(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """The answer to a `Digest`: all I know in the buckets in which we differ."""

    first: Key
    """As it was asked."""
    buckets: Annotated[bytes, Meta(max_length=BUCKETS)]
    """Those that differ, a byte each; none when we agree."""
    entries: Annotated[tuple[Entry, ...], Meta(max_length=LISTING_ENTRIES_MAX)]
    """Everybody in them from `first` on, up to but not including `until`."""
    until: Key | None
    """Where to ask on; None when this was all."""


class PushPull(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """What you do not have yet, and whose records I want in turn.

    They come in as many messages as they take, which want nothing.
    """

    records: Annotated[tuple[SealedRecord, ...], Meta(max_length=PUSH_PULL_RECORDS_MAX)]
    doubts: Annotated[tuple[Suspect | Dead, ...], Meta(max_length=LISTING_ENTRIES_MAX)] = ()
    wanted: Annotated[tuple[Key, ...], Meta(max_length=LISTING_ENTRIES_MAX)] = ()


class Nack(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """After a `PingRequest` with this number: I heard you, but nothing of the node so far.

    An `Ack` may still follow. It shows the asker that it is not the asker who is deaf.
    """

    number: Count
    is_linked: bool
    """Whether I have a link to the node; without one its silence says nothing."""
    claims: Claims = ()


MembershipMessage = Ping | Ack | PingRequest | Gossip | PushPull | Nack | Digest | Listing
