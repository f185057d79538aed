"""Which node should run a request: who could, who is drawn, and whose offer is best."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from msgspec.structs import replace

from wwwserve.core.entropy import Entropy
from wwwserve.core.placing import (
    NO_AIM,
    Aim,
    Bid,
    Estimate,
    ExecutorFailed,
    Experience,
    FirstTokenLate,
    LoadView,
    OfferSent,
    RunBegun,
    RunMeasured,
    Wanted,
    can_serve,
)
from wwwserve.core.routing.catalogue import Catalogue, is_hopeful, is_routable
from wwwserve.core.routing.choice import weigh
from wwwserve.core.routing.estimates import Estimates
from wwwserve.core.routing.history import START, History
from wwwserve.core.routing.prefixes import Prefixes
from wwwserve.core.routing.stake import StakeTable
from wwwserve.core.sessions import ServedModel, SessionId
from wwwserve.core.snapshot import MemberView, ModelView
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, Moment
from wwwserve.wire import ModelOffer, RequestSummary


class Routing:
    """Answers where a request could run best; changes only by what it is told."""

    def __init__(
        self, own: NodeId, groups: Mapping[str, tuple[ModelId, ...]], entropy: Entropy
    ) -> None:
        self._own = own
        self._entropy = entropy
        self._stake = StakeTable()
        self._catalogue = Catalogue(groups)
        self._estimates = Estimates()
        self._history = History()
        self._prefixes = Prefixes()

    # -- what it is told -------------------------------------------------------------------------

    def set_seats(self, seats: Mapping[NodeId, int] | None) -> None:
        """From now on candidates are drawn by these, None: all alike; they may change meanwhile."""
        self._stake = StakeTable(seats)

    def set_models(self, models: tuple[ServedModel, ...]) -> None:
        """These models are served here from now on."""
        self._catalogue.set_own(models)

    def set_groups(self, groups: Mapping[str, tuple[ModelId, ...]]) -> None:
        """These names stand for several models from now on."""
        self._catalogue.set_groups(groups)

    def set_member(self, member: MemberView) -> None:
        """This is known of a member from now on."""
        if member.node != self._own:
            self._catalogue.set_member(member)

    def learn(self, experience: Experience, now: Moment) -> None:
        """How an execution went."""
        match experience:
            case OfferSent(node):
                self._history.add_send(node, now)
            case ExecutorFailed(node):
                self._history.add_failure(node, now)
            case FirstTokenLate():
                self._history.add_late(experience, now)
            case RunMeasured(node):
                self._estimates.learn_length(experience)
                if not experience.is_work:
                    self._prefixes.learn_executor(experience, now)
                if node == self._own:
                    self._prefixes.learn_held(experience, now)
                else:
                    self._history.add_success(experience, now)
            case _:
                assert_never(experience)

    def begin_run(self, begun: RunBegun, now: Moment) -> None:
        """An own engine begins to run a request."""
        saved_tokens = self._prefixes.compute_saved(begun.engine, begun.model, begun.summary)
        self._estimates.begin_run(begun, saved_tokens, now)

    def note_first_output(self, session: SessionId, now: Moment) -> None:
        """The first output of a session came; only those of own engines count."""
        self._estimates.note_first_output(session, now)

    def note_progress(self, session: SessionId, completion_tokens: int, now: Moment) -> None:
        """So many tokens of a session came so far; only those of own engines count."""
        self._estimates.note_progress(session, completion_tokens, now)

    def end_run(
        self, session: SessionId, completion_tokens: int, now: Moment, *, is_whole: bool
    ) -> None:
        """A session is over; only those of own engines count."""
        self._estimates.end_run(session, completion_tokens, now, is_whole=is_whole)

    # -- what it is asked ------------------------------------------------------------------------

    def is_known(self, models: Sequence[str]) -> bool:
        """Whether this node or any member, dead or alive, offers one of these models."""
        return any(self._catalogue.is_known(ModelId(model)) for model in models)

    def is_hopeful(self, wanted: Wanted) -> bool:
        """Whether another node could run it, now or soon: nobody is left for good otherwise."""
        for model in wanted.summary.models:
            for node, offer in self._catalogue.get_offers(ModelId(model)).items():
                member = self._catalogue.get_member(node)
                if (
                    member is not None
                    and is_hopeful(member)
                    and wanted.excluded.get(node) != NEVER
                    and _is_able(wanted, node, offer)
                ):
                    return True
        return False

    def draw(self, wanted: Wanted, count: int, now: Moment) -> tuple[NodeId, ...]:
        """Up to `count` candidates in proportion to seats, among all that could run it now.

        Who ran the longest known prefix of its prompt last comes as one more: what its engine
        still holds of it need not be read again, and its quote will say so.
        """
        eligible = dict.fromkeys(
            node
            for model in wanted.summary.models
            for node, offer in self._catalogue.get_open_offers(ModelId(model)).items()
            if wanted.excluded.get(node, START) <= now
            and not self._history.is_avoided(node, now)
            and _is_able(wanted, node, offer)
        )
        drawn = self._stake.draw(count, self._entropy, tuple(eligible))
        last = self._prefixes.find_executor(wanted.summary.prefixes, now)
        return drawn if last is None or last in drawn or last not in eligible else (*drawn, last)

    def expect(self, client: str, summary: RequestSummary) -> RequestSummary:
        """An own user's request with what is expected of its answer."""
        return self._estimates.expect(client, summary)

    def believe(self, asker: NodeId, summary: RequestSummary) -> RequestSummary:
        """Another node's request with what its word about the answer has meant so far."""
        return self._estimates.believe(asker, summary)

    def predict_tokens(self, summary: RequestSummary, model: ModelId) -> int:
        """What a request will come to in an engine's cache: its prompt and its answer."""
        return self._estimates.predict_tokens(summary, model)

    def estimate(self, summary: RequestSummary, model: ModelId, load: LoadView) -> Estimate:
        """When a request would begin and finish on this node."""
        saved_tokens = self._prefixes.compute_saved(load.engine, model, summary)
        return self._estimates.estimate(summary, model, load, saved_tokens)

    def rank(self, bids: Sequence[Bid], now: Moment, aim: Aim = NO_AIM) -> tuple[Bid, ...]:
        """The bids with what they really mean, best first; this node wins ties.

        A quote of another node is scaled by how it kept its promises, lengthened by what was sent
        there since it was asked for, and by the round trip. One from a node that since then has
        become suspect, lost its link or failed counts for nothing.
        """
        meant = [bid for bid in bids if bid.node == self._own]
        for bid in bids:
            member = self._catalogue.get_member(bid.node)
            if member is None or not is_routable(member):
                continue
            if not self._history.is_avoided(bid.node, now):
                meant.append(self._weigh(bid, member, now))
        weighed = [replace(bid, weight_us=weigh(bid, aim)) for bid in meant]
        return tuple(sorted(weighed, key=lambda bid: (bid.weight_us, bid.node != self._own)))

    def weigh(self, bid: Bid, aim: Aim) -> int:
        """What a place weighs of which all times are known already, as `rank` compares them."""
        return weigh(bid, aim)

    def find_models(self, name: str) -> tuple[tuple[ModelId, ...], tuple[str, ...]]:
        """The models a user's name stands for, best first, and else the names that would work."""
        found = self._catalogue.find(name)
        return found, () if found else self._catalogue.suggest(name)

    def get_models(self) -> tuple[ModelView, ...]:
        """Every model that can be asked for through this node."""
        return self._catalogue.get_models()

    def _weigh(self, bid: Bid, member: MemberView, now: Moment) -> Bid:
        finish_us = self._history.scale(bid.node, bid.finish_us, now)
        sends = self._history.count_sends(bid.node, bid.asked_at, now)
        finish_us += sends * finish_us // max(member.record.slots, 1)
        first_token_us = self._history.scale(bid.node, bid.first_token_us, now)
        return replace(
            bid,
            first_token_us=first_token_us + bid.round_trip_us,
            finish_us=finish_us + bid.round_trip_us,
        )


def _is_able(wanted: Wanted, node: NodeId, offer: ModelOffer) -> bool:
    """Whether a node may have a request and its record says it could run it."""
    return wanted.partners.admits(node) and can_serve(offer, wanted.summary)
