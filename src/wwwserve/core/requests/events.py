"""What the requests machine is told: the peer's events that concern it, and a few of its own."""

from dataclasses import dataclass

from wwwserve.core.events import (
    CancelRequest,
    DeadlineReached,
    Depart,
    EngineRead,
    FirstOutput,
    OfferCancelled,
    OfferReceived,
    SetModels,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamProgressed,
    SubmitRequest,
)
from wwwserve.core.paying import WorkUnpaid
from wwwserve.values.ids import NodeId
from wwwserve.wire import Probe, Quote


@dataclass(frozen=True, slots=True)
class ProbeReceived:
    """A peer asks whether this node would run a request."""

    peer: NodeId
    probe: Probe


@dataclass(frozen=True, slots=True)
class QuoteReceived:
    """A peer answered a probe."""

    peer: NodeId
    quote: Quote


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """A probe could not be sent."""

    peer: NodeId
    probe: Probe


@dataclass(frozen=True, slots=True)
class PeersLost:
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
    | SetModels
    | Depart
    | ProbeReceived
    | QuoteReceived
    | ProbeFailed
    | PeersLost
    | WorkUnpaid
)
"""The closed set."""
