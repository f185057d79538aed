"""Which of the places heard of a request goes to, or that it goes to none of them now.

A request of which nothing is hoped goes where it weighs least. One with an objective goes to the
place that weighs least of those where it is in time and makes nobody else late. Where there is no
such place, its class says what becomes of it (`OnMiss`).
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec.structs import replace

from wwwserve.core.facts import Alternative, StartReason
from wwwserve.core.placing import NO_AIM, Aim, Bid, OnMiss
from wwwserve.core.requests.rules import DEFERRED_US
from wwwserve.core.requests.state import OpenRequest
from wwwserve.core.sessions import ServedModel
from wwwserve.values.moments import Moment
from wwwserve.wire import Quote, RequestSummary


class Choice(msgspec.Struct, frozen=True):
    """Another node, chosen to run a request, and what it was chosen from."""

    bid: Bid
    """What its quote really means."""
    quote: Quote
    """By which it was chosen, and what it asks for."""
    alternatives: tuple[Alternative, ...]
    reason: StartReason = StartReason.LEAST_WEIGHT


class Place(msgspec.Struct, frozen=True):
    """An own engine, chosen to run a request, and what it was chosen from."""

    served: ServedModel
    tokens: int
    """What the request is expected to come to in the engine's cache; 0 where nobody asks."""
    alternatives: tuple[Alternative, ...] = ()
    reason: StartReason = StartReason.LEAST_WEIGHT


def make_aim(request: OpenRequest, now: Moment) -> Aim:
    """What the places for a request are held against now."""
    objective = request.objective
    if objective is None:
        return NO_AIM
    return Aim(request.due_at - now, objective.is_first_token, objective.second_value)


def choose(
    request: OpenRequest, ranked: Sequence[Bid], aim: Aim, now: Moment, *, is_first: bool
) -> Bid | None:
    """The place to go to, of one bid or more, the lightest first; None: to none of them now.

    `is_first`: whether nobody waits who could still be in time.
    """
    objective = request.objective
    if objective is None:
        return ranked[0]
    good = next((bid for bid in ranked if aim.is_met(bid)), None)
    if good is not None:
        return good
    match objective.on_miss:
        case OnMiss.SERVE:
            return ranked[0]
        case OnMiss.REFUSE:
            return None
        case OnMiss.WAIT:
            if now - request.arrived_at >= DEFERRED_US:
                return ranked[0]
            return _choose_late(ranked, aim) if is_first else None
        case _:
            assert_never(objective.on_miss)


def _choose_late(ranked: Sequence[Bid], aim: Aim) -> Bid | None:
    """Of who is late anyway: it uses what nobody else needs."""
    if not is_hopeless(ranked, aim):
        return None
    return next((bid for bid in ranked if not bid.harmed), None)


def is_hopeless(bids: Sequence[Bid], aim: Aim) -> bool:
    """Whether a request will be late wherever it goes."""
    return all(aim.compute_lateness_us(bid) for bid in bids)


def describe_bid(bid: Bid) -> Alternative:
    """A place as it is told when a decision is explained."""
    return Alternative(
        node=bid.node,
        finish_us=bid.finish_us,
        first_token_us=bid.first_token_us,
        burden_us=bid.burden_us,
        harmed=bid.harmed,
        round_trip_us=bid.round_trip_us,
        cost=bid.cost,
        weight_us=bid.weight_us,
    )


def compute_remaining(request: OpenRequest, now: Moment) -> RequestSummary:
    """A request's summary as it is to be told now: with the time its user has left."""
    summary = request.summary
    if summary.deadline_us:
        summary = replace(summary, deadline_us=max(request.deadline_at - now, 1))
    objective = request.objective
    if objective is None or objective.is_first_token:
        # By when a first token is hoped for says nothing of who may run beside it.
        return summary
    return replace(summary, due_us=max(request.due_at - now, 1))
