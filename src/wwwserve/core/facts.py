"""What is worth telling: typed facts instead of log lines. No fact holds a prompt or an answer."""

from enum import Enum

import msgspec

from wwwserve.core.deciding import PolicyFact
from wwwserve.core.engines import EngineHealth
from wwwserve.core.ledger_facts import LedgerFact
from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Endpoint


class MemberStatus(Enum):
    """What we hold of a member."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    """Did not answer; it is not routed to, and has a while to refute."""
    DEAD = "dead"
    LEFT = "left"
    """Said goodbye."""


class MemberChanged(msgspec.Struct, frozen=True):
    """A member's status changed."""

    node: NodeId
    status: MemberStatus
    version: int


class LinkChanged(msgspec.Struct, frozen=True):
    """A link came or went."""

    peer: NodeId
    is_open: bool
    detail: str


class EngineChanged(msgspec.Struct, frozen=True):
    """An engine's health changed, or what its operator should know about it did."""

    engine: str
    health: EngineHealth
    detail: str


class OpeningChanged(msgspec.Struct, frozen=True):
    """From now on other nodes' requests are taken, or are not."""

    is_open: bool
    is_within_hours: bool
    is_resting: bool
    """Whether the operator paused or drained the node."""


class RequestReceived(msgspec.Struct, frozen=True):
    """An own user's request was taken on."""

    request: RequestId
    model: str
    prompt_tokens: int


class RequestQueued(msgspec.Struct, frozen=True):
    """No place at once: it waits here."""

    request: RequestId
    queue_length: int


class Alternative(msgspec.Struct, frozen=True):
    """One place a request could have gone, as routing saw it."""

    node: NodeId
    finish_us: int | None
    """Expected, from now; None when it declined or did not answer."""
    decline: DeclineReason | None = None
    first_token_us: int = 0
    """Expected, from now."""
    burden_us: int = 0
    """How much later all that runs there would end, added up."""
    harmed: int = 0
    """How many of those would be late for that alone."""
    round_trip_us: int = 0
    """Of the probe and its quote; part of both times above."""
    cost: int = 0
    """Micro-credits it was expected to cost there."""
    weight_us: int = 0
    """All of it as a time, by which places were compared: the least was best."""
    reason: str = ""
    """Why it was out of the question, in words; empty when it was not."""


class StartReason(Enum):
    """What settled where a request ran."""

    HERE_AT_ONCE = "here-at-once"
    """Room here, and nothing to gain elsewhere, or no leave to look."""
    LEAST_WEIGHT = "least-weight"
    """It weighed least of the alternatives."""
    WAITED = "waited"
    """It had waited here, and its turn came."""
    LATE_ELSEWHERE = "late-elsewhere"
    """The first token of another node was late, and here or there it was expected sooner."""


class AttemptStarted(msgspec.Struct, frozen=True):
    """A request was sent to run somewhere, and why there."""

    request: RequestId
    session: SessionId
    executor: NodeId
    """This node's own id when it runs here."""
    model: str
    alternatives: tuple[Alternative, ...]
    reason: StartReason = StartReason.LEAST_WEIGHT
    due_us: int = 0
    """Time left in which its user hoped for the whole answer (or its first token); 0 = none."""


class AttemptFailed(msgspec.Struct, frozen=True):
    """A run came to nothing; another may follow."""

    request: RequestId
    session: SessionId
    executor: NodeId
    kind: FailureKind
    decline: DeclineReason | None
    detail: str


class RequestFinished(msgspec.Struct, frozen=True):
    """An own user's request is over."""

    request: RequestId
    endpoint: Endpoint
    model: str
    """What it ran on last, or the first of what it was for if it never ran."""
    executor: NodeId | None
    error: str
    """Empty when it was answered; else a `RequestErrorCode` value."""
    attempts: int
    wait_us: int
    """From its arrival to the start of its last attempt."""
    first_output_us: int
    """From its arrival; 0 if none came."""
    total_us: int
    prompt_tokens: int
    completion_tokens: int


class WorkStarted(msgspec.Struct, frozen=True):
    """Another node's request runs here."""

    session: SessionId
    request: RequestId
    origin: NodeId
    model: str


class WorkDeclined(msgspec.Struct, frozen=True):
    """Another node's request (or probe) was declined."""

    origin: NodeId
    request: RequestId
    reason: DeclineReason
    is_probe: bool


class WorkFinished(msgspec.Struct, frozen=True):
    """Another node's request is over here."""

    session: SessionId
    request: RequestId
    origin: NodeId
    model: str
    error: str
    """Empty when it was answered."""
    prompt_tokens: int
    completion_tokens: int
    total_us: int


class PeerRefused(msgspec.Struct, frozen=True):
    """A peer's message, or a link with it, was not accepted."""

    peer: NodeId
    rule: str
    detail: str


class LedgerBegun(msgspec.Struct, frozen=True):
    """From now on this node follows the ledger of its network, or orders it."""

    network_id: bytes
    height: int
    is_sequencer: bool


class ForkProved(msgspec.Struct, frozen=True):
    """The sequencer signed two blocks of one height: whoever has both has proof, and all stops."""

    height: int
    first: bytes
    second: bytes


class TokenCountsDiffer(msgspec.Struct, frozen=True):
    """An executor's tokens have other sizes than those of others with the same model."""

    executor: NodeId
    model: str
    permille: int
    """Its bytes per token, in thousandths of theirs: below 1 000 it counts more tokens."""


class FactsDropped(msgspec.Struct, frozen=True):
    """A watcher was too slow; so many facts were not told to it."""

    count: int


Fact = (
    MemberChanged
    | LinkChanged
    | EngineChanged
    | OpeningChanged
    | RequestReceived
    | RequestQueued
    | AttemptStarted
    | AttemptFailed
    | RequestFinished
    | WorkStarted
    | WorkDeclined
    | WorkFinished
    | PeerRefused
    | LedgerBegun
    | ForkProved
    | TokenCountsDiffer
    | PolicyFact
    | LedgerFact
    | FactsDropped
)
"""The closed set."""
