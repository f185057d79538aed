"""Everything that can happen to a peer, in the past tense, and every command it can be given.

Events come through one door, `Peer.handle(event, now)`. Bodies never enter: prompts and answers
stay in the body store, the core sees summaries, counts and digests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from wwwserve.core.engines import EngineReading
from wwwserve.core.lanes import Lane
from wwwserve.core.log_news import BlockTold, FeedTold, ForkTold, HeadTold
from wwwserve.core.placing import Objective
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.pricing import PriceTable
from wwwserve.core.sessions import Route, ServedModel, SessionId
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.model_names import ModelId
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Envelope, Message, Offer, RequestSummary, Usage
from wwwserve.wire.ledger import Op
from wwwserve.wire.paying import OpenedHold

# -- time and disk -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The host is ready: links may be dialled. The first event of a peer's life."""


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """`next_deadline()` has come. A late, early or repeated one is harmless."""


@dataclass(frozen=True, slots=True)
class LocalTimeRead:
    """The host's calendar was read: about once a minute, and whenever it was put right."""

    week_us: int
    """Time since Monday 00:00 where the provider is, below a week."""


@dataclass(frozen=True, slots=True)
class MachineRead:
    """The host looked how busy this machine is: every few seconds, where the policy asks."""

    busy_permille: int
    """Of its processors or its busiest graphics card, whichever is more."""


@dataclass(frozen=True, slots=True)
class Persisted:
    """The `Persist` effect with this number is durable in its lane."""

    lane: Lane
    number: int


# -- links ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """An authenticated link to `peer` is usable. There is at most one per peer."""

    peer: NodeId
    address: str
    """As it was dialled, to the letter; else where the other end was seen."""
    is_dialled: bool


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The link to `peer` is gone; its sessions have each had their own event before."""

    peer: NodeId
    detail: str
    is_shed: bool = False
    """One of the two let it go, having too many: nobody is to be suspected for that."""


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A `Dial` effect brought no new link."""

    address: str
    peer: NodeId | None
    """Who answered there, to whom there is a link already; if nobody did, who was expected."""
    detail: str


@dataclass(frozen=True, slots=True)
class EnvelopeReceived:
    """A control message arrived from a linked peer and passed every check."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class SendFailed:
    """A `SendMessage` effect could not be carried out: no link, or its queue is full."""

    peer: NodeId
    message: Message


# -- engines -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EngineRead:
    """An engine's state was read (about once a second, and after each of its failures)."""

    engine: str
    reading: EngineReading


# -- own users' requests -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """Command: answer this request of one of our own users."""

    summary: RequestSummary
    route: Route
    allowed_executors: tuple[NodeId, ...] = ()
    """Only these nodes (and this one) may see it; empty = any, and for a private one none."""
    body_digest: bytes = b""
    """SHA-256 of the body, where requests are paid; else empty."""
    cost_max: int = MICROCREDITS_MAX
    """What may be spent on it."""
    price_max: int = MICROCREDITS_MAX
    """What a node that runs it may ask for a million tokens."""
    client: str = ""
    """Whose answers it is like in length: a name for the API key; empty = everybody's."""
    objective: Objective | None = None
    """What its user hopes for; None = as soon as possible."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Command: the user has gone; stop all work on it."""

    request: RequestId


# -- other nodes' requests -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """A peer opened a stream and offered a request; its body is complete in the body store."""

    session: SessionId
    peer: NodeId
    offer: Offer
    hold: OpenedHold | None = None
    """What the offer pays with: signatures checked, and that it commits to this very body."""


@dataclass(frozen=True, slots=True)
class OfferCancelled:
    """The origin reset the stream of an offer, or its link was lost. The shell stops the engine."""

    session: SessionId


# -- streams (of both roles) ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """Another node accepted an offer of ours. It has generated nothing yet."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class FirstOutput:
    """The first bytes of the answer arrived."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class StreamProgressed:
    """At most four a second: so many completion tokens were delivered so far."""

    session: SessionId
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class PaymentProgressed:
    """How deep the newest hold of a session is paid: what was released, or what was shown.

    An executor's data plane tells it at most every 100 ms while units come, and before it tells of
    an extension; an origin's when another hold takes the place of one; both once, as the last news,
    when all is over.
    """

    session: SessionId
    hold_id: bytes
    depth: int
    preimage: bytes
    """At that depth; empty at depth 0."""
    is_last: bool = False
    """No unit of this session comes any more, however it ended. Told exactly once for each paid
    session, which may be over as a stream by then: an executor waits a while for the last unit."""


@dataclass(frozen=True, slots=True)
class HoldRunsOut:
    """An origin's data plane can pay but a few units more; told once for each hold."""

    session: SessionId
    completion_tokens: int
    """Delivered so far."""


@dataclass(frozen=True, slots=True)
class ExtensionReceived:
    """The origin of a work offers another hold, because the one before is nearly used up."""

    session: SessionId
    hold: OpenedHold


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The answer is whole and delivered."""

    session: SessionId
    usage: Usage
    digest: bytes
    """SHA-256 over the bytes given to the user or, by an executor, to the origin."""
    text_bytes: int | None = None
    """Of the text in it, which has no token without a byte; None: it is not known."""


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """An attempt came to nothing, or broke."""

    session: SessionId
    kind: FailureKind
    status: int
    """The HTTP status the engine gave, or 0."""
    detail: str
    is_delivered: bool
    """Whether the user already has a part of the answer, so that starting over would show."""
    completion_tokens: int = 0
    decline: DeclineReason | None = None
    """With `DECLINED`: the executor's reason."""
    retry_after_us: int = 0


# -- the operator --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Command: from now on this policy holds."""

    policy: PolicySettings


@dataclass(frozen=True, slots=True)
class SetPrices:
    """Command: from now on this is asked; what was quoted holds."""

    prices: PriceTable
    reserve: int = 0
    """Micro-credits that requests never spend."""


@dataclass(frozen=True, slots=True)
class SetModels:
    """Command: from now on these models are served here."""

    models: tuple[ServedModel, ...]


@dataclass(frozen=True, slots=True)
class SetGroups:
    """Command: from now on these names each stand for several models, the best first."""

    groups: Mapping[str, tuple[ModelId, ...]]


@dataclass(frozen=True, slots=True)
class SetAddresses:
    """Command: from now on links are accepted at these addresses, and the others are to know."""

    addresses: tuple[str, ...]
    region: str
    """A hint for people and policies, of its provider's choice."""


@dataclass(frozen=True, slots=True)
class Join:
    """Command: meet these addresses (and with a ticket, this node at them)."""

    addresses: tuple[str, ...]
    expected: NodeId | None = None


@dataclass(frozen=True, slots=True)
class OrderOps:
    """Command: have the wallet say this to the ledger; answered by `AnswerOrder`."""

    order: int
    """The caller's number for it."""
    ops: tuple[Op, ...]


class Departure(Enum):
    """How a node bows out."""

    DRAIN = "drain"
    """Take no work of others, finish what runs, stay a member and serve own users."""
    RESUME = "resume"
    """Undo a drain; the policy's hours still hold."""
    LEAVE = "leave"
    """Tell the others and go; new requests are refused."""


@dataclass(frozen=True, slots=True)
class Depart:
    """Command: drain, resume or leave."""

    departure: Departure


Event = (
    Started
    | DeadlineReached
    | LocalTimeRead
    | MachineRead
    | Persisted
    | LinkOpened
    | LinkClosed
    | DialFailed
    | EnvelopeReceived
    | SendFailed
    | FeedTold
    | BlockTold
    | HeadTold
    | ForkTold
    | EngineRead
    | SubmitRequest
    | CancelRequest
    | OfferReceived
    | OfferCancelled
    | StreamOpened
    | FirstOutput
    | StreamProgressed
    | PaymentProgressed
    | HoldRunsOut
    | ExtensionReceived
    | StreamEnded
    | StreamFailed
    | SetPolicy
    | SetPrices
    | SetModels
    | SetGroups
    | SetAddresses
    | Join
    | OrderOps
    | Depart
)
"""The closed set: every `match` over it ends in `assert_never`."""
