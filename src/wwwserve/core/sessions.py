"""What names a running stream of a request, and what is served here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import msgspec

from wwwserve.values.limits import RECORD_ALIASES_MAX
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


def unite_offers(models: Sequence[ServedModel]) -> tuple[ServedModel, ...]:
    """The same models, each with all that the engines that serve it can do together.

    What one of them leaves out (no capabilities, context 0) is unknown, and may be anything; what
    each can do is looked at again where a request is placed.
    """
    offers: dict[str, ModelOffer] = {}
    for served in models:
        known = offers.get(served.offer.model)
        offers[served.offer.model] = _unite(known, served.offer) if known else served.offer
    return tuple(replace(served, offer=offers[served.offer.model]) for served in models)


def _unite(one: ModelOffer, other: ModelOffer) -> ModelOffer:
    is_told = bool(one.capabilities and other.capabilities)
    contexts = (one.context_tokens, other.context_tokens)
    return msgspec.structs.replace(
        one,
        aliases=_merge(one.aliases, other.aliases)[:RECORD_ALIASES_MAX],
        context_tokens=max(contexts) if all(contexts) else 0,
        quantisation=one.quantisation or other.quantisation,
        capabilities=_merge(one.capabilities, other.capabilities) if is_told else (),
    )


def _merge(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(some + others))


def count_slots(models: tuple[ServedModel, ...]) -> int:
    """All engines' slots; the models of one engine share its own."""
    slots: dict[str, int] = {}
    for served in models:
        slots[served.engine] = max(slots.get(served.engine, 0), served.slots)
    return sum(slots.values())
