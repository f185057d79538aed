"""What the requests machine asks of three strangers, which `core.peer` hands to it.

All answer at once and from what they already know. Asking policy and routing changes nothing in
them but the next draw of chance; policy is told what was taken and spent, routing what own engines
run, and payments remember what they have signed and taken on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wwwserve.core.holding import Payment
from wwwserve.core.paying import HoldTerms, Payable, PayeeTerms, PayOrder, Unpayable
from wwwserve.core.placing import (
    Aim,
    Bid,
    Estimate,
    LoadView,
    Partners,
    PeerRequest,
    RunBegun,
    Verdict,
    Wanted,
)
from wwwserve.core.sessions import ServedModel, SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Quote, RequestSummary, Usage
from wwwserve.wire.paying import OpenedHold

__all__ = ["AsksPayments", "AsksPolicy", "AsksRouting", "Payment", "Strangers"]


class AsksPolicy(Protocol):
    """What this provider allows (`core.policy.Policy`)."""

    def decide_own(self, summary: RequestSummary, load: LoadView | None, now: Moment) -> Verdict:
        """Whether an own user's request runs here, looks for another node, or waits here."""
        ...

    def may_look(self, summary: RequestSummary) -> bool:
        """Whether an own request that may run here may leave as well, for a better place."""
        ...

    def decide_wait(self, summary: RequestSummary, now: Moment) -> Verdict:
        """Whether an own user's request for which no place was found waits here."""
        ...

    def decide_offer(self, request: PeerRequest, load: LoadView, now: Moment) -> Verdict:
        """Whether another node's request runs here."""
        ...

    def has_room_for_others(self, load: LoadView) -> bool:
        """Whether a request taken before may go on where `load` is, its engine having failed."""
        ...

    def take(self, session: SessionId, request: PeerRequest, now: Moment) -> None:
        """Another node's request was taken: it counts from now on."""
        ...

    def end(self, session: SessionId, usage: Usage, now: Moment) -> None:
        """A request that was taken is over, and came to so many tokens."""
        ...

    def get_price_max(self) -> int:
        """Micro-credits for a million tokens above which nothing is bought."""
        ...

    def refuse_cost(self, most: int, now: Moment) -> str:
        """Why a request that may cost so much is not sent elsewhere; empty if it may be."""
        ...

    def note_hold(self, session: SessionId, terms: HoldTerms, now: Moment) -> None:
        """A hold was signed for an own user's request."""
        ...

    def compute_ask_permille(self, load: LoadView, now: Moment) -> int:
        """The share of its prices that the node asks now, in thousandths."""
        ...

    def compute_closed_us(self, now: Moment) -> int:
        """For how long nothing of other nodes is taken, whatever it is; 0 = it is taken now."""
        ...

    def get_partners(self, summary: RequestSummary, allowed: tuple[NodeId, ...]) -> Partners:
        """The nodes an own user's request may be sent to."""
        ...


class AsksRouting(Protocol):
    """Where a request could run (`core.routing.Routing`)."""

    def is_known(self, models: Sequence[str]) -> bool:
        """Whether anybody, dead or alive, offers one of these models."""
        ...

    def is_hopeful(self, wanted: Wanted) -> bool:
        """Whether another node could run it, now or soon."""
        ...

    def draw(self, wanted: Wanted, count: int, now: Moment) -> tuple[NodeId, ...]:
        """Up to `count` candidates that could run it now."""
        ...

    def expect(self, client: str, summary: RequestSummary) -> RequestSummary:
        """An own user's request with what is expected of its answer."""
        ...

    def believe(self, asker: NodeId, summary: RequestSummary) -> RequestSummary:
        """Another node's request with what its word about the answer has meant so far."""
        ...

    def begin_run(self, begun: RunBegun, now: Moment) -> None:
        """An own engine begins to run a request."""
        ...

    def note_first_output(self, session: SessionId, now: Moment) -> None:
        """The first output of a session came; only those of own engines count."""
        ...

    def note_progress(self, session: SessionId, completion_tokens: int, now: Moment) -> None:
        """So many tokens of a session came so far; only those of own engines count."""
        ...

    def end_run(
        self, session: SessionId, completion_tokens: int, now: Moment, *, is_whole: bool
    ) -> None:
        """A session is over; only those of own engines count."""
        ...

    def predict_tokens(self, summary: RequestSummary, model: ModelId) -> int:
        """What a request will come to in an engine's cache: its prompt and its answer."""
        ...

    def estimate(self, summary: RequestSummary, model: ModelId, load: LoadView) -> Estimate:
        """When a request would begin and finish on this node."""
        ...

    def rank(self, bids: Sequence[Bid], now: Moment, aim: Aim) -> tuple[Bid, ...]:
        """The bids with what they really mean and weigh, best first."""
        ...

    def weigh(self, bid: Bid, aim: Aim) -> int:
        """What a place weighs of which all times are known already, as `rank` compares them."""
        ...


class AsksPayments(Protocol):
    """What is charged and paid (`core.payments.Payments`); nothing at all in an unpaid network.

    `pay` and `admit` are commands as much as questions: they answer at once, and remember.
    """

    def quote(self, peer: NodeId, model: ModelId, first_token_us: int, ask_permille: int) -> bytes:
        """The price for a peer, as `Quote.payment` says it; empty where nothing is paid.

        `ask_permille` is the share of its prices that the node asks now.
        """
        ...

    def refuse(self, peer: NodeId) -> DeclineReason | None:
        """Why nothing is quoted to a peer, if so: it has no account, or nothing to pay with."""
        ...

    def weigh(
        self, peer: NodeId, quote: Quote, summary: RequestSummary, cost_max: int
    ) -> Payable | Unpayable:
        """Whether this node can pay a quote, and what the request would cost."""
        ...

    def pay(self, order: PayOrder, now: Moment) -> Payment | None:
        """Open a hold for a quote that was just weighed; None where nothing is paid."""
        ...

    def admit(
        self,
        session: SessionId,
        peer: NodeId,
        summary: RequestSummary,
        model: ModelId,
        hold: OpenedHold | None,
        now: Moment,
    ) -> PayeeTerms | DeclineReason | None:
        """The terms of work for another node's hold, or why not; None where nothing is paid."""
        ...


@dataclass(slots=True)
class Strangers:
    """All three that are asked; payments change once, when the network's ledger is known."""

    policy: AsksPolicy
    routing: AsksRouting
    payments: AsksPayments

    def predict_tokens(self, summary: RequestSummary, served: ServedModel) -> int:
        """What a request will come to in the cache of a model's engine; 0 where nobody asks."""
        if served.is_slots_known:
            return 0
        return self.routing.predict_tokens(summary, ModelId(served.offer.model))
