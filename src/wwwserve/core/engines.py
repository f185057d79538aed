"""What a peer knows about an engine at one moment: an adapter's reading of it."""

from dataclasses import dataclass
from enum import Enum

REQUEST_TOKENS_USUAL = 1_024
"""Prompt and answer of a request of a conversation, before any was seen."""
FIRST_SLOTS_MIN = 4
"""Requests tried at once on an engine that tells neither its slots nor its cache."""
FIRST_SLOTS_MAX = 64
"""Nor are more tried at first however large its cache: its operator may have set a lower bound."""


class EngineHealth(Enum):
    """Whether an engine can take work."""

    READY = "ready"
    LOADING = "loading"
    """Up, but its model is not: it will be ready without anybody doing anything."""
    UNAVAILABLE = "unavailable"
    """Does not answer, or answers that it is broken."""


@dataclass(frozen=True, slots=True)
class EngineModel:
    """One model as its engine names it."""

    name: str
    """The engine's own name for it: a path, a tag or an id."""
    context_tokens: int | None = None
    """Longest prompt plus answer of one request (a slot's share), or None if unknown."""
    capabilities: tuple[str, ...] = ()
    """What this model can do, where its engine says so for each; empty = as the whole engine."""
    is_on_demand: bool = False
    """Offered only if its operator names it: it runs elsewhere, on their account."""


@dataclass(frozen=True, slots=True)
class EngineReading:
    """Health, load and abilities of one engine. None always means unknown, never zero."""

    health: EngineHealth
    detail: str = ""
    """For a person: why it is not ready, and what to try."""
    models: tuple[EngineModel, ...] = ()
    running: int | None = None
    """Requests being worked on."""
    waiting: int | None = None
    """Requests the engine itself has queued."""
    kv_used_permille: int | None = None
    """Share of its key-value cache in use, in thousandths."""
    kv_tokens: int | None = None
    """Tokens its key-value cache holds, for all running requests together."""
    slots: int | None = None
    """Requests it can work on at once."""
    capabilities: tuple[str, ...] = ()
    """Of: chat, completions, embeddings, tools, vision, logprobs, continuation."""
    software: str = ""
    """Kind and version, for people."""


def compute_first_slots(reading: EngineReading) -> int:
    """Requests to begin with on an engine that does not tell how many it works on at once."""
    held = (reading.kv_tokens or 0) // REQUEST_TOKENS_USUAL
    return max(FIRST_SLOTS_MIN, min(held, FIRST_SLOTS_MAX))
