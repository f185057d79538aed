"""From a plan's words to the policy a pretend node lives by."""

from collections.abc import Callable
from dataclasses import fields

import msgspec

from wwwserve.core.policy_settings import PolicySettings
from wwwserve.sim.plans import PolicyValue
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import BadInput

_NODE_LISTS = ("allow_nodes", "deny_nodes", "offload_nodes")


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
    try:
        return msgspec.convert(words, PolicySettings)
    except msgspec.ValidationError as error:
        raise BadInput("policy", str(values), str(error), "correct the value") from error


def _as_names(value: PolicyValue) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    raise BadInput("policy", str(value), "a list of node names", "write it as a list")
