"""What the world knows about every user request, and no peer is told.

The workload makes requests whose outcome can be predicted: how long the true answer is, and whether
an engine would call the request itself wrong. Checkers and measures compare what happened with it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from wwwserve.core.effects import RequestError, RequestErrorCode
from wwwserve.core.sessions import Route
from wwwserve.enginemodel import Thread
from wwwserve.values.ids import NodeId, RequestId

_REFUSALS = (
    RequestErrorCode.NO_CAPACITY,
    RequestErrorCode.OUT_OF_CREDITS,
    RequestErrorCode.QUEUE_FULL,
    RequestErrorCode.MODEL_UNKNOWN,
    RequestErrorCode.LEAVING,
)


class Outcome(Enum):
    """How a user saw a request end."""

    OPEN = "open"
    ANSWERED = "answered"
    FAILED = "failed"
    """Ended with an error of any kind."""
    REFUSED = "refused"
    """The node said at once that it has no place (503), or nobody listened."""
    CANCELLED = "cancelled"
    """The user went away."""
    LOST = "lost"
    """The user's own node died under it."""


@dataclass(slots=True, eq=False)
class UserRequest:
    """One request, from before it is sent to after it has ended."""

    request: RequestId
    origin: int
    """Index of the node its user talks to."""
    arrival_us: int
    prompt_tokens: int
    completion_tokens: int
    """Length of the true answer."""
    model: str
    client: str = ""
    """Whose it is, as an API key tells; empty = nobody's in particular."""
    completion_tokens_max: int = 0
    """What its user allows; 0 = any number."""
    route: Route = Route.AUTO
    allowed_executors: tuple[NodeId, ...] = ()
    deadline_us: int = 0
    patience_us: int = 0
    """The user goes away after this; 0 = stays."""
    is_wrong: bool = False
    """Every engine would refuse it with a 4xx."""
    is_streamed: bool = True
    thread: Thread | None = None
    """What its prompt and answer are a part of; None: nothing else is like it."""
    cached_tokens: int = 0
    """Tokens of its prompt that its last engine had in its cache."""
    outcome: Outcome = Outcome.OPEN
    error: RequestError | None = None
    executor: int | None = None
    """Index of the node whose answer was delivered whole."""
    first_output_us: int = 0
    """When the user saw the first bytes; 0 = never."""
    ended_us: int = 0

    @property
    def prompt_tokens_estimate(self) -> int:
        """What whoever places it takes its prompt for: within a tenth, as a good estimate is."""
        return max(1, self.prompt_tokens * (90 + self.request[-1] % 21) // 100)

    @property
    def e2e_us(self) -> int:
        """From its arrival to its end."""
        return self.ended_us - self.arrival_us

    @property
    def ttft_us(self) -> int:
        """To the first output; one that is not streamed shows that when it shows the last."""
        return (self.first_output_us if self.is_streamed else self.ended_us) - self.arrival_us

    @property
    def is_offloaded(self) -> bool:
        """Whether another node than the user's own answered it."""
        return self.executor is not None and self.executor != self.origin


def find_outcome(error: RequestError | None) -> Outcome:
    """How a user saw a request end that its node ended, with or without an error."""
    if error is None:
        return Outcome.ANSWERED
    if error.code is RequestErrorCode.CANCELLED:
        return Outcome.CANCELLED
    return Outcome.REFUSED if error.code in _REFUSALS else Outcome.FAILED


def digest_outcomes(requests: Iterable[UserRequest]) -> str:
    """A digest over what became of each request."""
    digest = hashlib.blake2b(digest_size=16)
    for request in requests:
        digest.update(f"{request.outcome.value} {request.executor} {request.ended_us}".encode())
    return digest.hexdigest()
