"""What can happen to gossip: events of the peer that concern it, and one of its own."""

from dataclasses import dataclass

from wwwserve.core.events import (
    DeadlineReached,
    Depart,
    DialFailed,
    EnvelopeReceived,
    Join,
    LinkClosed,
    LinkOpened,
    Persisted,
    SendFailed,
    SetAddresses,
    Started,
)
from wwwserve.core.sessions import ServedModel


@dataclass(frozen=True, slots=True)
class Described:
    """What this node can say about itself changed: the others are to know."""

    models: tuple[ServedModel, ...]
    slots: int
    """Requests it runs at once."""


GossipEvent = (
    Started
    | DeadlineReached
    | Persisted
    | LinkOpened
    | LinkClosed
    | DialFailed
    | EnvelopeReceived
    | SendFailed
    | Join
    | SetAddresses
    | Depart
    | Described
)
"""The closed set. Of envelopes and failed sends only membership messages belong here."""
