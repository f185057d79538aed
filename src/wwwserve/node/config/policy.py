"""When and for whom a node works."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from wwwserve.node.config.bounds import Share, ShortText, Slots, Tokens
from wwwserve.node.config.checks import validate_model_id, validate_node
from wwwserve.node.hours import HOURS_MAX, parse_hours
from wwwserve.node.local_time import find_zone
from wwwserve.values.limits import BODY_BYTES_MAX

POLICY_LIST_MAX = 4_096
"""Entries of one allow or deny list: no more nodes than a table of members holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """When and for whom this node works. The knobs of the paper keep their names."""

    hours: Annotated[tuple[str, ...], Meta(max_length=HOURS_MAX)] = ()
    """When other nodes' requests are taken, as in `Mon-Fri 18:00-08:00`; none = always. Own users
    are served at any time."""
    time_zone: ShortText = ""
    """IANA name of the zone in which `hours` are meant; empty = this machine's."""
    accept_frequency: Share = 1.0
    """Share of other nodes' admissible requests that is accepted."""
    offload_frequency: Share = 1.0
    """Share of own requests that may go to other nodes when this one is busy."""
    queue_frequency: Share = 1.0
    """Share of own requests that wait here when no place is found at once; the rest get a 503."""
    target_utilisation: Share = 0.7
    """Above this share of its slots the node counts as busy."""
    own_first: bool = True
    """Take others' requests only below the target and while no own request waits."""
    concurrent_max: Slots = 1_024
    """Other nodes' requests run here at once."""
    concurrent_per_peer_max: Slots = 512
    """Of these, for any one node."""
    prompt_tokens_max: Tokens = 1_000_000
    """Longest prompt taken from others."""
    completion_tokens_max: Tokens = 1_000_000
    """Longest answer taken from others."""
    body_bytes_max: Annotated[int, Meta(ge=1, le=BODY_BYTES_MAX)] = BODY_BYTES_MAX
    """Largest request body taken from others, in bytes."""
    allow_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: only these nodes' requests are taken. Whole names, as `wwwserve peers` prints."""
    deny_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """These nodes' requests are never taken, and nothing is sent to them."""
    allow_models: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: only these models are shared with others."""
    deny_models: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """These models are never shared with others."""
    offload_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: own requests are sent to these nodes only."""

    def __post_init__(self) -> None:
        """Refuse hours and zones that are none, and names of nodes and models that are none."""
        parse_hours("policy.hours", self.hours)
        find_zone("policy.time_zone", self.time_zone)
        for name in ("allow_nodes", "deny_nodes", "offload_nodes"):
            for text in getattr(self, name):
                validate_node(f"policy.{name}", text)
        for name in ("allow_models", "deny_models"):
            for text in getattr(self, name):
                validate_model_id(f"policy.{name}", text)
