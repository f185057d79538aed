"""Where a request could run: the words in which requests, routing and policy answer each other.

The three machines are strangers. `core.requests` asks the questions, `core.policy` and
`core.routing` answer them, `core.peer` hands them to each other; these values are all they share.
"""

from collections.abc import Mapping
from enum import Enum

import msgspec

from wwwserve.core.sessions import SessionId
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer, RequestSummary

SECOND_VALUE = CREDIT
"""Micro-credits for which a user would wait a second longer, unless its class says otherwise: a
request that costs a credit is an answer of a few seconds."""
START = Moment(0)
"""Before any moment a host's clock shows."""
_PERMILLE = 1000


class LoadView(msgspec.Struct, frozen=True):
    """How busy one served model is at the moment of a decision."""

    slots: int
    """Requests it works on at once: told, or expected of its cache and its queue."""
    used: int
    """Slots in use: own users' requests, other nodes', and what others sent the engine directly."""
    kv_used_permille: int | None = None
    """Share of the engine's key-value cache in use; None = unknown."""
    own_waiting: int = 0
    """Own users' requests waiting that this model could run."""
    peer_running: int = 0
    """Other nodes' requests running here, of all models."""
    asker_running: int = 0
    """Of these, the asking node's."""
    own_running: int = 0
    """Own users' requests running on the engine."""
    peer_unread: int = 0
    """Other nodes' requests whose prompts the engine has not read to the end."""
    engine: str = ""
    """The engine the model is served on: what was learned of its speed holds for it alone."""
    foreign: int = 0
    """Of those in use, what others sent the engine directly."""
    slots_most: int = 0
    """Requests it works on at once however small they are; 0 = `slots`."""
    kv_tokens: int | None = None
    """Tokens its key-value cache may be filled with; None = unknown."""
    at: Moment = START
    """The moment all this is about."""

    @property
    def has_room(self) -> bool:
        """Whether one more request would start at once."""
        return self.used < self.slots

    @property
    def utilisation_permille(self) -> int:
        """The busier of slots and key-value cache; a cache use that is unknown says nothing."""
        by_slots = self.used * _PERMILLE // self.slots if self.slots else _PERMILLE
        return max(by_slots, self.kv_used_permille or 0)


# -- what policy answers -------------------------------------------------------------------------


class Accepted(msgspec.Struct, frozen=True):
    """Run it here, now."""


class Declined(msgspec.Struct, frozen=True):
    """Not here. An own user's request then looks for another node, another node's goes back."""

    reason: DeclineReason


class Queued(msgspec.Struct, frozen=True):
    """Let it wait here."""


Verdict = Accepted | Declined | Queued
"""A provider's answer about one request."""


class PeerRequest(msgspec.Struct, frozen=True):
    """Another node's request, as a provider's policy sees it."""

    asker: NodeId
    summary: RequestSummary
    offer: ModelOffer
    """The own model that would run it."""


class Partners(msgspec.Struct, frozen=True):
    """Which nodes may be given a request at all."""

    only: frozenset[NodeId] | None = None
    """None = any."""
    never: frozenset[NodeId] = frozenset()

    def admits(self, node: NodeId) -> bool:
        """Whether `node` may see it."""
        return node not in self.never and (self.only is None or node in self.only)


# -- what a user hopes for ------------------------------------------------------------------------


class OnMiss(Enum):
    """What becomes of a request that would miss its objective wherever it ran now."""

    WAIT = "wait"
    """It waits, the earliest due first, while there is hope; then it is served as it can be."""
    SERVE = "serve"
    """It is served at once, at a lower priority than what can still be in time."""
    REFUSE = "refuse"
    """Its user is told at once, and when to try again."""


class Objective(msgspec.Struct, frozen=True):
    """What the users of a class hope for: so long, and so much more for each token."""

    base_us: int
    prompt_token_ns: int = 0
    completion_token_ns: int = 0
    is_first_token: bool = False
    """Whether the first token counts, not the last."""
    on_miss: OnMiss = OnMiss.WAIT
    second_value: int = SECOND_VALUE
    """Micro-credits for which its users would wait a second longer; a dear place is as good as one
    that is slower by as much. 0: only time counts."""

    def compute_bound_us(self, prompt_tokens: int, completion_tokens: int) -> int:
        """How long a request of this size may take."""
        tokens_ns = prompt_tokens * self.prompt_token_ns
        if not self.is_first_token:
            tokens_ns += completion_tokens * self.completion_token_ns
        return self.base_us + tokens_ns // 1_000


# -- what routing answers ------------------------------------------------------------------------


class Wanted(msgspec.Struct, frozen=True):
    """What a place must offer to one request, and who is out of the question."""

    summary: RequestSummary
    partners: Partners
    excluded: Mapping[NodeId, Moment]
    """Nodes that declined or failed this request, each until then; `NEVER` = for good."""


class Estimate(msgspec.Struct, frozen=True):
    """Expected times, counted from now."""

    first_token_us: int
    finish_us: int
    burden_us: int = 0
    """How much later all that runs there would end, added up, because this ran beside it."""
    harmed: int = 0
    """How many of those would be late for that alone."""
    saved_prompt_tokens: int = 0
    """Tokens of the prompt that the engine holds already; the times are without them."""


class Aim(msgspec.Struct, frozen=True):
    """What the places for one request are held against, at one moment."""

    due_us: int | None = None
    """Time left until its user is disappointed, less than nothing when that was; None = no hope
    was stated."""
    is_first_token: bool = False
    """Whether the first token is due then, not the last."""
    second_value: int = SECOND_VALUE
    """Micro-credits a second of waiting is worth to its user."""

    def compute_lateness_us(self, bid: "Bid") -> int:
        """How much later than hoped a place would be."""
        if self.due_us is None:
            return 0
        end_us = bid.first_token_us if self.is_first_token else bid.finish_us
        return max(end_us - self.due_us, 0)

    def is_met(self, bid: "Bid") -> bool:
        """Whether a place would be in time, and make nobody else late."""
        return bid.harmed == 0 and self.compute_lateness_us(bid) == 0


NO_AIM = Aim()
"""Of a request of which nothing was said."""


class Bid(msgspec.Struct, frozen=True):
    """One place that would take a request, and how soon it expects to finish."""

    node: NodeId
    """This node's own id for a place here."""
    model: ModelId
    finish_us: int
    asked_at: Moment
    """When its probe was sent: sends since then are not in the number yet."""
    round_trip_us: int = 0
    """From the probe to its quote."""
    first_token_us: int = 0
    """How soon it expects the first token."""
    burden_us: int = 0
    """How much later all that runs there would end, added up, because this ran beside it."""
    harmed: int = 0
    """How many of those would be late for that alone."""
    cost: int = 0
    """What the request is expected to cost there, in micro-credits; 0 where nothing is paid."""
    weight_us: int = 0
    """All of this as a time, once routing has compared it with others; the least is best."""


# -- what routing learns from --------------------------------------------------------------------


class RunBegun(msgspec.Struct, frozen=True):
    """An own engine begins to run a request."""

    session: SessionId
    engine: str
    model: ModelId
    slots: int
    """Requests of the model that the engine is said, or was first assumed, to work on at once."""
    summary: RequestSummary
    """With what is expected of its answer."""
    due_at: Moment
    """When its user hopes to have the whole answer; `NEVER` without such a hope."""
    client: str = ""
    """For an own user's: whose answers it is like in length."""
    asker: NodeId | None = None
    """For another node's: which node it is."""
    stated_tokens: int = 0
    """What that node said of the answer, by which it is judged when that is over; 0 = nothing."""


class OfferSent(msgspec.Struct, frozen=True):
    """An offer left for a node: until its next quote, that much more is in its queue."""

    node: NodeId


class RunMeasured(msgspec.Struct, frozen=True):
    """A run went well, and took so long."""

    node: NodeId
    """Who ran it; this node's own id for a run here."""
    engine: str
    """For a run here: the engine it ran on."""
    model: ModelId
    prompt_tokens: int
    completion_tokens: int
    completion_tokens_max: int
    """What its user allowed; 0 = any number."""
    first_output_us: int
    """From its start to the first output."""
    total_us: int
    """From its start to the end."""
    quoted_us: int
    """For a run elsewhere: what its quote had promised for `total_us`; 0 = nothing."""
    body_bytes: int = 0
    """Of a request that is text alone, by which prompts are counted; 0 = it shows more."""
    prefixes: tuple[bytes, ...] = ()
    """Of its prompt, as its summary had them."""
    cached_tokens: int = 0
    """Prompt tokens that its engine says it need not read; 0 = none, or untold."""
    kv_tokens: int = 0
    """For a run here: what the engine's cache holds; 0 = untold."""
    is_work: bool = False
    """Whether it was another node's request."""
    client: str = ""
    """For an own user's: whose answers it is like in length."""
    expected_tokens: int = 0
    """What its answer was expected to have; 0 = nothing in particular."""


class ExecutorFailed(msgspec.Struct, frozen=True):
    """A node took a request and did not do it."""

    node: NodeId


class FirstTokenLate(msgspec.Struct, frozen=True):
    """A node let a first token wait for so long that its request was taken elsewhere."""

    node: NodeId
    expected_us: int
    """From its accept, by its quote and what its quotes have meant."""
    waited_us: int
    """From its accept, in vain."""


Experience = OfferSent | RunMeasured | ExecutorFailed | FirstTokenLate
"""News of how executions went."""


def compute_text_bytes(summary: RequestSummary) -> int:
    """The bytes of a request that is text alone, so that they tell its tokens; 0 for any other."""
    return 0 if "vision" in summary.needs else summary.body_bytes


def can_serve(offer: ModelOffer, summary: RequestSummary) -> bool:
    """Whether a model as offered could run a request: its abilities and its context suffice.

    What an offer leaves out (no capabilities, context 0) is unknown and does not stand in the way.
    """
    return has_capabilities(offer, summary) and fits_context(offer, summary)


def has_capabilities(offer: ModelOffer, summary: RequestSummary) -> bool:
    """Whether an offer names every capability the request cannot do without, or names none."""
    return not offer.capabilities or all(need in offer.capabilities for need in summary.needs)


def fits_context(offer: ModelOffer, summary: RequestSummary) -> bool:
    """Whether the (estimated) prompt and the longest answer asked for fit the offered context."""
    needed_tokens = summary.prompt_tokens + summary.completion_tokens_max
    return offer.context_tokens == 0 or needed_tokens <= offer.context_tokens
