"""What the requests machine remembers of each request, round of probes, run and work."""

from dataclasses import dataclass, field
from enum import Enum

import msgspec

from wwwserve.core.paying import PayeeTerms
from wwwserve.core.placing import Bid, Objective
from wwwserve.core.requests.turns import Turn
from wwwserve.core.sessions import Route, ServedModel, SessionId
from wwwserve.core.snapshot import Totals
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.moments import NEVER, Moment
from wwwserve.wire import Quote, RequestSummary

START = Moment(0)
"""Before any moment a host's clock shows."""


PlaceKey = tuple[str, str]
"""An own model on an own engine: the names of both."""


def get_place_key(served: ServedModel) -> PlaceKey:
    """What tells an own model on an own engine from all others."""
    return served.engine, served.offer.model


class Phase(Enum):
    """What a request of an own user is doing; it may be probing while it waits in the queue."""

    SEEKING = "seeking"
    """Its candidates have been asked."""
    QUEUED = "queued"
    RUNNING = "running"


class Answer(msgspec.Struct, frozen=True):
    """A node's answer to a probe."""

    quote: Quote
    asked_at: Moment
    round_trip_us: int
    """How long the quote was on its way, there and back."""


@dataclass(slots=True)
class Round:
    """One round of probes for one request."""

    asked_at: Moment
    until: Moment
    """Then it is decided with what has come."""
    waiting: dict[int, NodeId]
    """Probes without an answer, by number."""
    answers: dict[NodeId, Answer] = field(default_factory=dict)


@dataclass(slots=True)
class OpenRequest:
    """One request of an own user, from its submission to its one end."""

    request: RequestId
    summary: RequestSummary
    route: Route
    allowed: tuple[NodeId, ...]
    arrived_at: Moment
    deadline_at: Moment
    """The user's own; NEVER without."""
    phase: Phase = Phase.SEEKING
    round: Round | None = None
    rounds: int = 0
    """Rounds of probes in vain since it last ran or was queued."""
    reach: int = 0
    """Candidates asked in the next round; 0 = the usual number."""
    excluded: dict[NodeId, Moment] = field(default_factory=dict)
    """Nodes not to be asked again until then; `NEVER` = for good."""
    declines: dict[NodeId, int] = field(default_factory=dict)
    """Offers of it that each node has declined."""
    avoided: dict[str, Moment] = field(default_factory=dict)
    """Own engines that failed it: not on these again before then."""
    any_context: bool = False
    """It fits no context anybody is known to have: an own engine may say so in its own words."""
    objective: Objective | None = None
    """What its user hopes for."""
    due_at: Moment = NEVER
    """Until when the whole answer (or its first token) is hoped for."""
    is_late: bool = False
    """While queued: it will miss what its user hopes for, wherever it runs."""
    expected_tokens: int = 0
    """Of its answer."""
    size_tokens: int = 0
    """Since it waited for the first time: of its prompt and its answer."""
    turn: Turn | None = None
    """The same, where it is due at no time: its place among such."""
    queue_until: Moment = NEVER
    probe_from: Moment = START
    """While queued: not probed again before this."""
    run: SessionId | None = None
    last_run: "Run | None" = None
    """The latest execution, running or over."""
    attempts: int = 0
    """Executions tried, declined offers included: the number of the next offer."""
    failures: int = 0
    """Executions that failed, declined offers not included."""
    last_failure: str = ""
    body_digest: bytes = b""
    """SHA-256 of its body, where requests are paid."""
    cost_max: int = MICROCREDITS_MAX
    """What may be spent on one execution of it."""
    price_max: int = MICROCREDITS_MAX
    """What a node that runs it may ask for a million tokens."""
    client: str = ""
    """Whose answers it is like in length."""
    moves: int = 0
    """How often it was taken from a node whose first token was late."""
    shortage: str = ""
    """What was missing to pay the nodes that would run it, as of the last round; empty: nothing."""


@dataclass(slots=True)
class Run:
    """One execution of an own user's request, here or elsewhere."""

    session: SessionId
    request: RequestId
    executor: NodeId
    model: str
    started_at: Moment
    served: ServedModel | None = None
    """The own model when it runs here."""
    tokens: int = 0
    """Here: what it is expected to come to in the engine's cache."""
    quoted_us: int = 0
    """Elsewhere: the finish its quote promised."""
    expected: Bid | None = None
    """Elsewhere: what its quote was taken to mean."""
    opened_at: Moment | None = None
    """Elsewhere: when it was accepted."""
    look_at: Moment = NEVER
    """Elsewhere, before any output: when another place is looked for next."""
    reach: int = 0
    """How many were asked for another place the last time; each time twice as many."""
    recalled_for: Round | None = None
    """The answers for which it is to be stopped, unless its output has begun."""
    first_output_at: Moment | None = None
    completion_tokens: int = 0


@dataclass(slots=True)
class Work:
    """Another node's request that runs here."""

    session: SessionId
    summary: RequestSummary
    origin: NodeId
    started_at: Moment
    served: ServedModel
    """The own model that runs it; another one after an engine failed."""
    began_at: Moment
    """When its engine began."""
    tokens: int = 0
    """What it is expected to come to in the engine's cache."""
    payment: PayeeTerms | None = None
    """For what it is paid; None where nothing is."""
    failed_on: tuple[str, ...] = ()
    """Own engines that failed it before any output."""
    stated_tokens: int = 0
    """What its origin said of the answer, before its record put that right; 0 = nothing."""
    first_output_at: Moment | None = None
    completion_tokens: int = 0


@dataclass(slots=True)
class Tally:
    """Counts since the start, as `Totals` tells them."""

    requests: int = 0
    answered: int = 0
    failed: int = 0
    offloaded: int = 0
    works: int = 0
    works_answered: int = 0
    works_declined: int = 0

    def to_totals(self) -> Totals:
        """The counts as they are now."""
        return Totals(
            requests=self.requests,
            answered=self.answered,
            failed=self.failed,
            offloaded=self.offloaded,
            works=self.works,
            works_answered=self.works_answered,
            works_declined=self.works_declined,
        )
