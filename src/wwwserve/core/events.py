"""Everything that can happen to a peer, in the past tense, and every command it can be given.

Events come through one door, `Peer.handle(event, now)`. Bodies never enter: prompts and answers
stay in the body store, the core sees summaries, counts and digests.
"""

from collections.abc import Mapping
from enum import Enum

import msgspec

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


class Started(msgspec.Struct, frozen=True):
    """The host is ready: links may be dialled. The first event of a peer's life."""


class DeadlineReached(msgspec.Struct, frozen=True):
    """`next_deadline()` has come. A late, early or repeated one is harmless."""


class LocalTimeRead(msgspec.Struct, frozen=True):
    """The host's calendar was read: about once a minute, and whenever it was put right."""

    week_us: int
    """Time since Monday 00:00 where the provider is, below a week."""


class MachineRead(msgspec.Struct, frozen=True):
    """The host looked how busy this machine is: every few seconds, where the policy asks."""

    busy_permille: int
    """Of its processors or its busiest graphics card, whichever is more."""


class Persisted(msgspec.Struct, frozen=True):
    """The `Persist` effect with this number is durable in its lane."""

    lane: Lane
    number: int


# -- links ---------------------------------------------------------------------------------------


class LinkOpened(msgspec.Struct, frozen=True):
    """An authenticated link to `peer` is usable. There is at most one per peer."""

    peer: NodeId
    address: str
    """As it was dialled, to the letter; else where the other end was seen."""
    is_dialled: bool


class LinkClosed(msgspec.Struct, frozen=True):
    """The link to `peer` is gone; its sessions have each had their own event before."""

    peer: NodeId
    detail: str
    is_shed: bool = False
    """One of the two let it go, having too many: nobody is to be suspected for that."""


class DialFailed(msgspec.Struct, frozen=True):
    """A `Dial` effect brought no new link."""

    address: str
    peer: NodeId | None
    """Who answered there, to whom there is a link already; if nobody did, who was expected."""
    detail: str


class EnvelopeReceived(msgspec.Struct, frozen=True):
    """A control message arrived from a linked peer and passed every check."""

    envelope: Envelope


class SendFailed(msgspec.Struct, frozen=True):
    """A `SendMessage` effect could not be carried out: no link, or its queue is full."""

    peer: NodeId
    message: Message


# -- engines -------------------------------------------------------------------------------------


class EngineRead(msgspec.Struct, frozen=True):
    """An engine's state was read (about once a second, and after each of its failures)."""

    engine: str
    reading: EngineReading


# -- own users' requests -------------------------------------------------------------------------


class SubmitRequest(msgspec.Struct, frozen=True):
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


class CancelRequest(msgspec.Struct, frozen=True):
    """Command: the user has gone; stop all work on it."""

    request: RequestId


# -- other nodes' requests -----------------------------------------------------------------------


class OfferReceived(msgspec.Struct, frozen=True):
    """A peer opened a stream and offered a request; its body is complete in the body store."""

    session: SessionId
    peer: NodeId
    offer: Offer
    hold: OpenedHold | None = None
    """What the offer pays with: signatures checked, and that it commits to this very body."""


class OfferCancelled(msgspec.Struct, frozen=True):
    """The origin reset the stream of an offer, or its link was lost. The shell stops the engine."""

    session: SessionId


# -- streams (of both roles) ---------------------------------------------------------------------


class StreamOpened(msgspec.Struct, frozen=True):
    """Another node accepted an offer of ours. It has generated nothing yet."""

    session: SessionId


class FirstOutput(msgspec.Struct, frozen=True):
    """The first bytes of the answer arrived."""

    session: SessionId


class StreamProgressed(msgspec.Struct, frozen=True):
    """At most four a second: so many completion tokens were delivered so far."""

    session: SessionId
    completion_tokens: int


class RecallAnswered(msgspec.Struct, frozen=True):
    """What a `RecallSession` effect came to."""

    session: SessionId
    is_stopped: bool
    """Its user holds nothing of it and never will, and it is paid no more. Else its output has
    begun, and it goes on as if nothing had been asked."""


class PaymentProgressed(msgspec.Struct, frozen=True):
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


class HoldRunsOut(msgspec.Struct, frozen=True):
    """An origin's data plane can pay but a few units more; told once for each hold."""

    session: SessionId
    completion_tokens: int
    """Delivered so far."""


class ExtensionReceived(msgspec.Struct, frozen=True):
    """The origin of a work offers another hold, because the one before is nearly used up."""

    session: SessionId
    hold: OpenedHold


class StreamEnded(msgspec.Struct, frozen=True):
    """The answer is whole and delivered."""

    session: SessionId
    usage: Usage
    digest: bytes
    """SHA-256 over the bytes given to the user or, by an executor, to the origin."""
    text_bytes: int | None = None
    """Of the text in it, which has no token without a byte; None: it is not known."""


class StreamFailed(msgspec.Struct, frozen=True):
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


class SetPolicy(msgspec.Struct, frozen=True):
    """Command: from now on this policy holds."""

    policy: PolicySettings


class SetPrices(msgspec.Struct, frozen=True):
    """Command: from now on this is asked; what was quoted holds."""

    prices: PriceTable
    reserve: int = 0
    """Micro-credits that requests never spend."""


class SetModels(msgspec.Struct, frozen=True):
    """Command: from now on these models are served here."""

    models: tuple[ServedModel, ...]


class SetGroups(msgspec.Struct, frozen=True):
    """Command: from now on these names each stand for several models, the best first."""

    groups: Mapping[str, tuple[ModelId, ...]]


class SetAddresses(msgspec.Struct, frozen=True):
    """Command: from now on links are accepted at these addresses, and the others are to know."""

    addresses: tuple[str, ...]
    region: str
    """A hint for people and policies, of its provider's choice."""


class Join(msgspec.Struct, frozen=True):
    """Command: meet these addresses (and with a ticket, this node at them)."""

    addresses: tuple[str, ...]
    expected: NodeId | None = None


class OrderOps(msgspec.Struct, frozen=True):
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


class Depart(msgspec.Struct, frozen=True):
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
    | RecallAnswered
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
