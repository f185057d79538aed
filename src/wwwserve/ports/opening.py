"""Whether a node takes other nodes' requests, who says so, and when that changes by itself."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class RestKind(Enum):
    """Why a node rests: the two are one thing to other nodes, and two to its operator."""

    PAUSE = "pause"
    """Until its operator says otherwise or its time is over, whatever happens to the process."""
    DRAIN = "drain"
    """On the way to a stop: a stop in order ends it, and the next start takes work again."""


@dataclass(frozen=True, slots=True)
class Rest:
    """An operator's word to take no work of others."""

    kind: RestKind
    until: datetime | None = None
    """With its zone; None = until the operator says otherwise."""
    is_by_policy: bool = False
    """Whether the policy says so, and not an order: then only another policy takes it back."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether other nodes' requests are taken now; own users' always are."""

    is_open: bool
    is_within_hours: bool
    hours_change_at: datetime | None
    """When the hours will say the opposite, in the provider's zone; None = never."""
    rest: Rest | None
