"""A request as whoever places it may know it."""

from dataclasses import dataclass

from wwwserve.enginemodel import Demand
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
