"""Which GPU an engine's plan stands for, and what can be expected of it."""

from collections import Counter
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

PLAIN_SLOTS = 4
"""Slots of a plan that names no profile and no number."""
_HOUR_US = 3600 * SECOND


def get_profile(plan: EnginePlan) -> EngineProfile:
    """The engine a plan describes. Raises `BadInput` for a profile nobody has heard of."""
    if plan.profile:
        named = find_profile(plan.profile)
        slotted = replace(named, max_num_seqs=plan.slots or named.max_num_seqs)
        return speed_up(slotted, plan.speedup)
    slots = plan.slots or PLAIN_SLOTS
    return create_plain_profile(
        slots=slots,
        prefill_tokens_per_s=plan.prefill_tokens_per_s * plan.speedup,
        decode_tokens_per_s=plan.decode_tokens_per_s * plan.speedup,
        kv_capacity_tokens=slots * plan.context_tokens,
    )


def compute_context_tokens(plan: EnginePlan, profile: EngineProfile) -> int:
    """Longest prompt and answer of one request: what was set, or what the cache holds."""
    return min(plan.context_tokens, profile.kv_capacity_tokens)


def compute_pooled_us(scenario: Scenario, demands: Sequence[Demand]) -> int:
    """Mean time between such requests at which all engines together would just be saturated."""
    profiles = Counter(get_profile(node.engine) for node in scenario.nodes.values())
    per_hour = sum(
        count * (_HOUR_US // compute_saturated_us(profile, demands))
        for profile, count in profiles.items()
    )
    return _HOUR_US // max(1, per_hour)
