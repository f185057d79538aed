"""What a run was like for those who run the nodes: their own users, their work, their accounts.

Times become seconds and credits become fractions only here, where people read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from wwwserve.sim.measures import Spread, compute_spread, count_tpot_us
from wwwserve.sim.profiles import get_profile
from wwwserve.sim.runs import RunResult
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.credits import CREDIT
from wwwserve.values.moments import SECOND

RANKED_MIN = 3
"""Nodes below which an order of them says nothing."""
_HOUR_US = 3_600 * SECOND
_THOUSAND = 1_000


@dataclass(frozen=True, slots=True)
class Users:
    """What the users of one node had."""

    requests: int
    completed: int
    offloaded: float
    """Share of the completed that another node answered."""
    e2e_s: Spread
    ttft_s: Spread
    tpot_s: Spread


@dataclass(frozen=True, slots=True)
class Profits:
    """What the nodes' accounts gained, by node; nothing where nothing is paid."""

    credits: dict[str, float]
    """What each has at the end: free, held, staked."""
    profit: dict[str, float]
    """How much more that is than at the beginning."""
    profit_per_1k_tokens: dict[str, float]
    """Of the prompts and answers of other nodes' requests that it answered."""
    profit_per_hour: dict[str, float]
    """Of the whole run."""


def measure_users(result: RunResult) -> dict[str, Users]:
    """What the users of each node had, for all nodes that have any."""
    return {
        name: _measure_some(asked)
        for index, name in enumerate(result.node_names)
        if (asked := [one for one in result.requests if one.origin == index])
    }


def measure_profits(result: RunResult) -> Profits:
    """The nodes' accounts."""
    gained = {name: end - begin for name, (begin, end) in result.accounts.items()}
    hours = max(1, result.ended_us) / _HOUR_US
    tokens = {
        name: sum(
            one.prompt_tokens + one.completion_tokens
            for one in result.requests
            if one.is_offloaded and one.executor == index
        )
        for index, name in enumerate(result.node_names)
    }
    return Profits(
        credits={name: end / CREDIT for name, (_, end) in result.accounts.items()},
        profit={name: amount / CREDIT for name, amount in gained.items()},
        profit_per_1k_tokens={
            name: amount / CREDIT * _THOUSAND / tokens[name] if tokens[name] else 0.0
            for name, amount in gained.items()
        },
        profit_per_hour={name: amount / CREDIT / hours for name, amount in gained.items()},
    )


def measure_idle_use(result: RunResult) -> dict[str, float]:
    """Of the slot time that a node's own users leave, the share in which it works for others."""
    span_us = max(1, result.arrivals_end_us - result.scenario.join_us)
    shares: dict[str, float] = {}
    for index, (name, plan) in enumerate(result.scenario.nodes.items()):
        ran = [one for one in result.requests if one.executor == index and one.first_output_us]
        own_us, others_us = (
            sum(one.ended_us - one.first_output_us for one in ran if one.is_offloaded is is_other)
            for is_other in (False, True)
        )
        idle_us = get_profile(plan.engine).max_num_seqs * span_us - own_us
        shares[name] = others_us / idle_us if idle_us > 0 else 0.0
    return shares


def correlate_stake(result: RunResult) -> float | None:
    """How well work for others follows seats in its order (Spearman), among nodes without users.

    None for fewer than `RANKED_MIN` of those, or if either does not differ.
    """
    plans = result.scenario.nodes
    served = {
        name: sum(one.executor == index for one in result.requests)
        for index, name in enumerate(result.node_names)
        if plans[name].share == 0
    }
    if len(served) < RANKED_MIN or not result.seats:
        return None
    seats = _rank([result.seats[name] for name in served])
    work = _rank(list(served.values()))
    return _correlate(seats, work)


def _measure_some(asked: Sequence[UserRequest]) -> Users:
    completed = [one for one in asked if one.outcome is Outcome.ANSWERED]
    return Users(
        requests=len(asked),
        completed=len(completed),
        offloaded=sum(one.is_offloaded for one in completed) / max(1, len(completed)),
        e2e_s=compute_spread([one.e2e_us for one in completed]),
        ttft_s=compute_spread([one.ttft_us for one in completed]),
        tpot_s=compute_spread([count_tpot_us(one) for one in completed]),
    )


def _rank(values: Sequence[int]) -> list[float]:
    """The place of each value from below; equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    place = 0
    for _, group in groupby(order, key=values.__getitem__):
        alike = list(group)
        for index in alike:
            ranks[index] = place + (len(alike) - 1) / 2
        place += len(alike)
    return ranks


def _correlate(ones: Sequence[float], others: Sequence[float]) -> float | None:
    mean = (len(ones) - 1) / 2
    pairs = [(one - mean, other - mean) for one, other in zip(ones, others, strict=True)]
    spread = sum(one * one for one, _ in pairs) * sum(other * other for _, other in pairs)
    if not spread:
        return None
    return float(sum(one * other for one, other in pairs) / spread**0.5)
