"""Which GPU an engine's plan stands for, and what can be expected of it."""

from collections.abc import Sequence

from msgspec.structs import replace

from wwwserve.enginemodel import (
    Demand,
    EngineProfile,
    compute_saturated_us,
    create_plain_profile,
    find_profile,
    speed_up,
)
from wwwserve.sim.plans import EnginePlan, Scenario
from wwwserve.values.moments import SECOND

SATURATED_BACKLOGS = 4
"""Backlogs an engine is saturated with where one would tell little."""
MANY_HELD = 50
"""Requests at once from which one backlog is enough."""
SEATS_EACH = 100
"""Seats of a node that does as much as the others; so a weak one differs from a weaker one."""
PLAIN_SLOTS = 4
"""Slots of a plan that names no profile and no number."""
_WHOLE_PERMILLE = 1000
_HOUR_US = 3600 * SECOND


def get_profile(plan: EnginePlan) -> EngineProfile:
    """The engine a plan describes. Raises `BadInput` for a profile nobody has heard of."""
    if plan.profile:
        named = find_profile(plan.profile)
        profile = replace(named, max_num_seqs=plan.slots or named.max_num_seqs)
    else:
        slots = plan.slots or PLAIN_SLOTS
        profile = create_plain_profile(
            slots=slots,
            prefill_tokens_per_s=plan.prefill_tokens_per_s,
            decode_tokens_per_s=plan.decode_tokens_per_s,
            kv_capacity_tokens=slots * plan.context_tokens,
        )
    return speed_up(profile, plan.speedup * _WHOLE_PERMILLE / plan.pace_permille)


def get_reference(scenario: Scenario) -> EngineProfile:
    """The engine whose unloaded times count. Raises `BadInput` for a profile nobody knows."""
    if scenario.reference:
        return find_profile(scenario.reference)
    return get_profile(next(iter(scenario.nodes.values())).engine)


def compute_context_tokens(plan: EnginePlan, profile: EngineProfile) -> int:
    """Longest prompt and answer of one request: what was set, or what the cache holds."""
    return min(plan.context_tokens, profile.kv_capacity_tokens)


def compute_pooled_us(scenario: Scenario, demands: Sequence[Demand]) -> int:
    """Mean time between such requests at which all engines together would just be saturated."""
    return pool_throughputs(compute_throughputs(scenario, demands))


def pool_throughputs(throughputs: Sequence[int]) -> int:
    """Mean time between requests, in microseconds, of so many in an hour by each engine."""
    return _HOUR_US // max(1, sum(throughputs))


def compute_throughputs(scenario: Scenario, demands: Sequence[Demand]) -> list[int]:
    """How many such requests each node's engine does in an hour when more wait than it can run."""
    profiles = [get_profile(node.engine) for node in scenario.nodes.values()]
    saturated_us = dict.fromkeys(profiles, 0)
    for profile in saturated_us:
        saturated_us[profile] = _measure_saturated_us(profile, demands)
    return [_HOUR_US // saturated_us[profile] for profile in profiles]


def _measure_saturated_us(profile: EngineProfile, demands: Sequence[Demand]) -> int:
    """The mean of several backlogs where an engine holds few requests at once: lengths vary."""
    contexts = sum(demand.prompt_tokens + demand.output_tokens for demand in demands)
    held = profile.kv_capacity_tokens * len(demands) // contexts
    backlogs = SATURATED_BACKLOGS if held < MANY_HELD else 1
    size = len(demands) // backlogs or 1
    spans = [
        compute_saturated_us(profile, demands[index * size : (index + 1) * size] or demands)
        for index in range(backlogs)
    ]
    return sum(spans) // len(spans)


def share_seats(scenario: Scenario, throughputs: Sequence[int]) -> dict[str, int]:
    """The seats of each node: the plan's, or in proportion to what its engine does saturated.

    The proportional ones add up to about `SEATS_EACH` for each node, and nobody has none. Where
    there is a ledger, it says them.
    """
    if scenario.ledger is not None:
        return dict.fromkeys(scenario.nodes, scenario.ledger.seats_each)
    whole = max(1, sum(throughputs))
    return {
        name: plan.seats or max(1, SEATS_EACH * len(throughputs) * done // whole)
        for (name, plan), done in zip(scenario.nodes.items(), throughputs, strict=True)
    }


def seat_nodes(scenario: Scenario, throughputs: Sequence[int]) -> Scenario:
    """The scenario with the seats of each node written out."""
    seats = share_seats(scenario, throughputs)
    nodes = {name: replace(plan, seats=seats[name]) for name, plan in scenario.nodes.items()}
    return replace(scenario, nodes=nodes)
