"""What a central scheduler sees of engines, and what it is told of requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wwwserve.enginemodel import Demand, EngineProfile
from wwwserve.sim.jobs import Job


@dataclass(slots=True, eq=False)
class Station:
    """One engine and what was sent to it."""

    profile: EngineProfile
    models: Sequence[str]
    read_made: Callable[[Job], int]
    """Tokens of an answer made so far."""
    read_cached: Callable[[Demand], int] = lambda _: 0
    """Tokens of a prompt that the engine would not have to read if it came now."""
    jobs: dict[int, Job] = field(default_factory=dict)
    """Not over yet, in the order they were sent."""


class Scheduler(Protocol):
    """Decides which engine runs a request, and when it is sent there."""

    def arrive(self, job: Job) -> None:
        """A request came."""
        ...

    def leave(self, job: Job, made_tokens: int) -> None:
        """A request is over, and its answer had so many tokens; 0 if it has none."""
        ...

    def place(self, now_us: int) -> list[tuple[Job, int]]:
        """The requests that go to an engine now, each with that engine's number."""
        ...
