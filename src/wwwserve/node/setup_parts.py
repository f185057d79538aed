"""From an operator's choices to what `core.Peer` is born with. Pure: no file, no environment."""

from collections.abc import Mapping
from dataclasses import replace

from wwwserve.core.policy_settings import PolicySettings
from wwwserve.node.config import Config, PolicyConfig
from wwwserve.node.hours import parse_hours
from wwwserve.values.ids import NodeId, parse_node_id
from wwwserve.values.model_names import ModelId, parse_model_id
from wwwserve.values.parameters import MAIN, Parameters
from wwwserve.wire import parse_ticket

_PERMILLE = 1000


def make_parameters(config: Config) -> Parameters:
    """The network-wide numbers, under this network's name."""
    return replace(MAIN, network=config.network.name)


def make_policy(policy: PolicyConfig) -> PolicySettings:
    """The policy in whole thousandths and parsed names."""
    return PolicySettings(
        hours=parse_hours("policy.hours", policy.hours),
        accept_permille=_permille(policy.accept_frequency),
        offload_permille=_permille(policy.offload_frequency),
        queue_permille=_permille(policy.queue_frequency),
        target_utilisation_permille=_permille(policy.target_utilisation),
        own_first=policy.own_first,
        concurrent_max=policy.concurrent_max,
        concurrent_per_peer_max=policy.concurrent_per_peer_max,
        prompt_tokens_max=policy.prompt_tokens_max,
        completion_tokens_max=policy.completion_tokens_max,
        body_bytes_max=policy.body_bytes_max,
        allow_nodes=_nodes(policy.allow_nodes),
        deny_nodes=_nodes(policy.deny_nodes),
        allow_models=_models(policy.allow_models),
        deny_models=_models(policy.deny_models),
        offload_nodes=_nodes(policy.offload_nodes),
    )


def make_groups(config: Config) -> Mapping[str, tuple[ModelId, ...]]:
    """Group names with the canonical ids they stand for."""
    return {name: _models(ids) for name, ids in config.groups.items()}


def list_addresses(config: Config, bound: str) -> tuple[str, ...]:
    """Where others should dial this node, given where it listens; empty: nowhere."""
    if not bound:
        return ()
    return config.links.advertise or (bound,)


def make_bootstrap(config: Config) -> tuple[tuple[str, NodeId | None], ...]:
    """Whom to meet at the start: tickets first, since they say who must answer."""
    tickets = [parse_ticket(text) for text in config.network.tickets]
    known = [(address, NodeId(ticket.node)) for ticket in tickets for address in ticket.addresses]
    return (*known, *((address, None) for address in config.network.bootstrap))


def _permille(share: float) -> int:
    return round(share * _PERMILLE)


def _nodes(texts: tuple[str, ...]) -> tuple[NodeId, ...]:
    return tuple(parse_node_id(text) for text in texts)


def _models(texts: tuple[str, ...]) -> tuple[ModelId, ...]:
    return tuple(parse_model_id(text) for text in texts)
