"""What names a running stream of a request, and what is served here."""

from dataclasses import dataclass
from enum import Enum

import msgspec

from wwwserve.wire import ModelOffer


class Role(Enum):
    """On which side of a stream this node stands."""

    ORIGIN = "origin"
    """Our own user's request: numbers are given by the core."""
    EXECUTOR = "executor"
    """Another node's request: numbers are given by the shell as streams arrive."""


class SessionId(msgspec.Struct, frozen=True, order=True, cache_hash=True):
    """One execution of one request, on this node. Never reused while the node runs.

    It is looked up in several tables by each event of its stream, so its hash is kept.
    """

    role: Role
    number: int

    def __str__(self) -> str:
        return f"{self.role.value}-{self.number}"


class Route(Enum):
    """Where a user lets a request run (`x-wwwserve-route`)."""

    AUTO = "auto"
    LOCAL = "local"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model an engine of this node serves, and how it is offered to others."""

    offer: ModelOffer
    engine: str
    """Name of the engine in the configuration."""
    engine_model: str
    """What the engine calls it."""
    slots: int
    """Requests of this model run at once; more wait in the node's own queue."""
    is_slots_known: bool = True
    """False: `slots` is only where to begin, and what the engine reports says how many it takes."""
    weight: int = 1
    """Share of the work among engines of this node that serve the same model and have room."""
