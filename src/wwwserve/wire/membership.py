"""What peers say to each other about who is there (SWIM over links).

A claim is one piece of membership news. Claims that a node is alive or has left are its own signed
record and need no trust; claims that it is suspect or dead are somebody's word about one version of
that record, and the node refutes them by signing a higher version.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from wwwserve.values.limits import PIGGYBACK_CLAIMS_MAX, PUSH_PULL_RECORDS_MAX
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
    """I had no answer from `node`: please ping it and pass its answer on as an `Ack`."""

    number: Count
    node: Key
    claims: Claims = ()


class Gossip(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """News, unasked."""

    claims: Claims


class PushPull(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """All records I know (a part of them in each message) and who of them I hold suspect or dead.

    `is_answer` marks the reply, so that an exchange ends.
    """

    records: Annotated[tuple[SealedRecord, ...], Meta(max_length=PUSH_PULL_RECORDS_MAX)]
    doubts: Annotated[tuple[Suspect | Dead, ...], Meta(max_length=PUSH_PULL_RECORDS_MAX)]
    is_answer: bool


MembershipMessage = Ping | Ack | PingRequest | Gossip | PushPull
