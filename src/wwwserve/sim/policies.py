"""From a plan's words to the policy a pretend node lives by."""

from collections.abc import Callable
from dataclasses import fields

import msgspec

from wwwserve.core.policy import WEEK_MINUTES
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.sim.plans import PolicyValue, Scenario
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import BadInput

_NODE_LISTS = ("allow_nodes", "deny_nodes", "offload_nodes")
_PAIRS = {
    "hours": ("start_minute", "end_minute"),
    "load_curve": ("utilisation_permille", "price_permille"),
}


def create_policy(
    values: dict[str, PolicyValue], find_node: Callable[[str], NodeId]
) -> PolicySettings:
    """A policy; `find_node` knows the nodes by their names in the plan. Raises `BadInput`."""
    known = [entry.name for entry in fields(PolicySettings)]
    for name in values:
        if name not in known:
            raise BadInput("policy", name, ", ".join(known), "correct the name")
    words: dict[str, object] = dict(values)
    for name in _NODE_LISTS:
        if name in words:
            words[name] = [find_node(node) for node in _as_names(values[name])]
    for name, keys in _PAIRS.items():
        if name in words:
            words[name] = [
                dict(zip(keys, pair, strict=True)) for pair in _as_pairs(name, values[name])
            ]
    try:
        policy = msgspec.convert(words, PolicySettings)
    except msgspec.ValidationError as error:
        raise BadInput("policy", str(values), str(error), "correct the value") from error
    _validate_hours(policy)
    return policy


def is_idleness_asked(scenario: Scenario, name: str) -> bool:
    """Whether a policy of a node, now or later, lets others in only while its machine is idle."""
    later = (fault.policy for fault in scenario.faults if fault.node == name)
    policies = (scenario.nodes[name].policy, *later)
    return any(policy.get("idle_only") for policy in policies)


def _validate_hours(policy: PolicySettings) -> None:
    for window in policy.hours:
        start, end = window.start_minute, window.end_minute
        if not (0 <= start < WEEK_MINUTES and start < end <= start + WEEK_MINUTES):
            expected = f"from 0 to {WEEK_MINUTES - 1}, and an end within a week after it"
            raise BadInput("policy.hours", f"{start}, {end}", expected, "correct the minutes")


def _as_names(value: PolicyValue) -> tuple[str, ...]:
    names = tuple(one for one in value if isinstance(one, str)) if isinstance(value, tuple) else ()
    if names == value:
        return names
    raise BadInput("policy", str(value), "a list of node names", "write it as a list")


def _as_pairs(name: str, value: PolicyValue) -> tuple[tuple[int, int], ...]:
    pairs: tuple[tuple[int, int], ...] = ()
    if isinstance(value, tuple):
        pairs = tuple(one for one in value if not isinstance(one, str))
    if pairs == value:
        return pairs
    raise BadInput(f"policy.{name}", str(value), "a list of pairs", "for example [[540, 1020]]")
