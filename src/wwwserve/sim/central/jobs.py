"""What a central scheduler sees: requests, engines, and what it is told of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wwwserve.enginemodel import Demand, EngineProfile
from wwwserve.sim.truth import UserRequest


@dataclass(frozen=True, slots=True)
class Job:
    """One request, as far as whoever places it may know it."""

    number: int
    """Counts up in the order of arrival."""
    arrival_us: int
    prompt_tokens: int
    """Estimated, as a node estimates it."""
    model: str
    home: int
    """The number of the engine whose users it comes from."""
    client: str
    tokens_max: int
    """Of the answer, as its user allows; 0 = any number."""
    truth: Demand
    """What it will come to. For schedulers that are meant to know all; no other looks."""


def create_job(request: UserRequest, number: int) -> Job:
    """What may be known of a request by whoever places it."""
    return Job(
        number=number,
        arrival_us=request.arrival_us,
        prompt_tokens=request.prompt_tokens_estimate,
        model=request.model,
        home=request.origin,
        client=request.client,
        tokens_max=request.completion_tokens_max,
        truth=Demand(request.prompt_tokens, request.completion_tokens, request.thread),
    )


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
