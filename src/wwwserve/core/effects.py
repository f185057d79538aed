"""Everything a peer can ask of the world, in the imperative. Effects are carried out in order.

`Persist` is a barrier for its own lane: later effects that name the lane wait for it, across
batches; all others do not (`core.lanes`).
"""

from enum import Enum

import msgspec

from wwwserve.core.facts import Fact
from wwwserve.core.lanes import Lane
from wwwserve.core.paying import PayeeTerms, PayerTerms
from wwwserve.core.sessions import ServedModel, SessionId
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Accept, Decline, Message, Offer
from wwwserve.wire.chain import ChainRecord
from wwwserve.wire.ledger import SealedFeed


class SendMessage(msgspec.Struct, frozen=True):
    """Send a control message over the link to `peer`; `SendFailed` comes back if it cannot go."""

    peer: NodeId
    message: Message
    lane: Lane | None = None
    """Not before this lane's pending writes are durable."""


class Dial(msgspec.Struct, frozen=True):
    """Make a link to an address; answered by `LinkOpened` or `DialFailed`."""

    address: str
    expected: NodeId | None


class CloseLink(msgspec.Struct, frozen=True):
    """End the link to a peer; answered by `LinkClosed`."""

    peer: NodeId
    detail: str
    is_shed: bool = False
    """End it only if nothing runs on it: it is one too many, or nothing is heard over it."""


class Persist(msgspec.Struct, frozen=True):
    """Make changes durable, all or none; answered by `Persisted` with the same number."""

    lane: Lane
    number: int
    changes: tuple[tuple[bytes, bytes | None], ...]
    """Keys with their new values; None removes."""


class PublishBlock(msgspec.Struct, frozen=True):
    """Tell all links of a block of this node's: its feed blocks, then itself. It is durable.

    A link that has no room for it is left out: its peer hears of a later one, and asks.
    """

    record: ChainRecord


class OpenFeed(msgspec.Struct, frozen=True):
    """Open a feed block of this node's own, as if a peer had told it; answered by `FeedTold`."""

    feed: SealedFeed
    lane: Lane
    """Not before this lane's pending writes are durable."""


class AnswerOrder(msgspec.Struct, frozen=True):
    """Tell whoever gave the wallet an order (`OrderOps`) what became of it.

    It is signed, then in the log; or it is refused, and is over.
    """

    order: int
    feed_id: bytes
    """Of the feed block it is in; empty if it was not signed."""
    seq: int
    is_final: bool
    """Whether that is in the log."""
    refusal: str
    """Why it, or a part of it, came to nothing; empty if all is well."""
    lane: Lane
    """Not before this lane's pending writes are durable."""


class StartLocal(msgspec.Struct, frozen=True):
    """Run an own user's request on an own engine; its output goes to the user."""

    session: SessionId
    request: RequestId
    model: ServedModel


class StartRemote(msgspec.Struct, frozen=True):
    """Offer an own user's request to a peer on a new stream; its output goes to the user."""

    session: SessionId
    request: RequestId
    peer: NodeId
    offer: Offer
    accept_wait_us: int
    """Without accept or decline by then, the session fails with TIMEOUT."""
    payment: PayerTerms | None = None
    """With what the data plane pays for what arrives; None where nothing is paid."""
    lane: Lane | None = None
    """Not before this lane's pending writes are durable."""


class StopSession(msgspec.Struct, frozen=True):
    """Stop a session this node started or accepted; no further event of its stream will count."""

    session: SessionId
    failure: FailureKind | None = None
    """Of a work: as what it failed, for its origin to hear; None cuts its stream off."""


class RecallSession(msgspec.Struct, frozen=True):
    """Stop an execution of an own user's request, unless its user holds a part of its answer.

    From then on nothing of it is handed on. Answered by `RecallAnswered`, unless the session's end
    was told before.
    """

    session: SessionId


class RequestErrorCode(Enum):
    """Why a user's request ends without an answer; the gateway gives each its HTTP status."""

    MODEL_UNKNOWN = "model_unknown"
    """No node known serves it (404)."""
    NO_CAPACITY = "no_capacity"
    """No place was found in time (503 with Retry-After)."""
    QUEUE_FULL = "queue_full"
    """Too many wait here already (503 with Retry-After)."""
    DEADLINE = "deadline"
    """The user's own deadline passed (504)."""
    REJECTED = "rejected"
    """The engine says the request is wrong (its own 4xx, in its own words)."""
    FAILED = "failed"
    """Every attempt failed, or one broke after a part was delivered (502)."""
    CANCELLED = "cancelled"
    """The user went away."""
    OUT_OF_CREDITS = "out_of_credits"
    """Other nodes would have run it, and this node or its user cannot pay them (503)."""
    LEAVING = "leaving"
    """The node is shutting down (503 with Retry-After)."""


class RequestError(msgspec.Struct, frozen=True):
    """Why a request ended without (the rest of) an answer."""

    code: RequestErrorCode
    detail: str
    retry_after_us: int = 0
    session: SessionId | None = None
    """With REJECTED: the session whose engine said so; the shell keeps its words for the user."""


class EndRequest(msgspec.Struct, frozen=True):
    """The last effect of every request of an own user, exactly once."""

    request: RequestId
    error: RequestError | None
    """None: the whole answer was delivered."""


class AcceptOffer(msgspec.Struct, frozen=True):
    """Tell the origin yes and run the request on an own engine; its output goes to the origin.

    A second one for a session follows the failure of its engine before any output: another engine
    is to run it, and the origin is told nothing.
    """

    session: SessionId
    accept: Accept
    model: ServedModel
    payment: PayeeTerms | None = None
    """Against what the data plane delivers; None where nothing is paid."""


class ReleaseOutput(msgspec.Struct, frozen=True):
    """The hold of a work is final: what its engine has said so far may leave for the origin."""

    session: SessionId


class ExtendPayment(msgspec.Struct, frozen=True):
    """Pay on with another hold: send it on the session's stream, then units of it.

    To the origin's data plane, after `HoldRunsOut`.
    """

    session: SessionId
    frame: bytes
    """`Extension.payment`."""
    payment: PayerTerms
    lane: Lane
    """Not before this lane's pending writes are durable."""


class TakeExtension(msgspec.Struct, frozen=True):
    """To the executor's data plane: units that come from now on are those of another hold."""

    session: SessionId
    payment: PayeeTerms


class DeclineOffer(msgspec.Struct, frozen=True):
    """Tell the origin no and end the stream."""

    session: SessionId
    decline: Decline


class Report(msgspec.Struct, frozen=True):
    """Tell whoever watches: one stream feeds log, metrics, dashboard, trace and tests."""

    fact: Fact


Effect = (
    SendMessage
    | Dial
    | CloseLink
    | Persist
    | PublishBlock
    | OpenFeed
    | AnswerOrder
    | StartLocal
    | StartRemote
    | StopSession
    | RecallSession
    | EndRequest
    | AcceptOffer
    | ReleaseOutput
    | ExtendPayment
    | TakeExtension
    | DeclineOffer
    | Report
)
"""The closed set: every `match` over it ends in `assert_never`."""
