"""What the requests machine is told: the peer's events that concern it, and a few of its own."""

from typing import assert_never

import msgspec

from wwwserve.core.events import (
    CancelRequest,
    DeadlineReached,
    Depart,
    EngineRead,
    FirstOutput,
    OfferCancelled,
    OfferReceived,
    RecallAnswered,
    SetModels,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamProgressed,
    SubmitRequest,
)
from wwwserve.core.paying import WorkUnpaid
from wwwserve.values.ids import NodeId
from wwwserve.wire import Probe, Quote, Room


class ProbeReceived(msgspec.Struct, frozen=True):
    """A peer asks whether this node would run a request."""

    peer: NodeId
    probe: Probe


class QuoteReceived(msgspec.Struct, frozen=True):
    """A peer answered a probe."""

    peer: NodeId
    quote: Quote


class ProbeFailed(msgspec.Struct, frozen=True):
    """A probe could not be sent."""

    peer: NodeId
    probe: Probe


class RoomHeard(msgspec.Struct, frozen=True):
    """A peer that had no room for a request of this node has some now."""

    peer: NodeId
    models: tuple[str, ...]


class PeersLost(msgspec.Struct, frozen=True):
    """These cannot be asked any more: without a link, suspected, dead or leaving."""

    peers: tuple[NodeId, ...]


SessionEvent = StreamOpened | FirstOutput | StreamProgressed | StreamEnded | StreamFailed

RequestsEvent = (
    DeadlineReached
    | EngineRead
    | SubmitRequest
    | CancelRequest
    | OfferReceived
    | OfferCancelled
    | StreamOpened
    | FirstOutput
    | StreamProgressed
    | StreamEnded
    | StreamFailed
    | RecallAnswered
    | SetModels
    | Depart
    | ProbeReceived
    | QuoteReceived
    | ProbeFailed
    | RoomHeard
    | PeersLost
    | WorkUnpaid
)
"""The closed set."""


def hear(peer: NodeId, message: Probe | Quote | Room) -> RequestsEvent:
    """What a peer's message is to the requests machine."""
    match message:
        case Probe():
            return ProbeReceived(peer, message)
        case Quote():
            return QuoteReceived(peer, message)
        case Room(models):
            return RoomHeard(peer, models)
        case _:
            assert_never(message)
