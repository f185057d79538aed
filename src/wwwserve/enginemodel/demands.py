"""What is asked of an engine, and what it says of itself."""

from dataclasses import dataclass
from typing import NewType

from wwwserve.values.moments import Moment

SequenceId = NewType("SequenceId", int)
"""The caller's name for one sequence, used once."""


@dataclass(frozen=True, slots=True)
class Thread:
    """What a context is the beginning of: two of one thread are alike as far as both go.

    So the turns of a conversation are one thread, each prompt going further than the one before and
    its answer; and conversations with one system prompt have one root.
    """

    name: int
    root: int = 0
    root_tokens: int = 0
    """So far all threads with this root are alike."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one sequence asks for; at least one token each."""

    prompt_tokens: int
    output_tokens: int
    thread: Thread | None = None
    """None: it is like no other, and nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Iteration:
    """What one iteration brought, known at its end."""

    ended: Moment
    first: tuple[SequenceId, ...]
    """Sequences that made their first token."""
    further: tuple[SequenceId, ...]
    """Sequences that made one token more."""
    finished: tuple[SequenceId, ...]
    """Those of both that are whole now."""
    preempted: tuple[SequenceId, ...]
    """Sequences that gave their place up at its start; their tokens so far remain made."""
    cached_tokens: tuple[int, ...] = ()
    """For each of `first`: tokens of its prompt that were in the cache and not computed."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What an engine is doing now."""

    running: int
    waiting: int
    kv_blocks_used: int
    """By what runs; blocks that are only kept count as free."""
    kv_blocks: int
    preemptions: int
    """Since it was made."""
