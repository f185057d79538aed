"""What a provider decides: when, under what policy and with what resources the node takes part.

Shares are whole thousandths (`permille`), so that no float decides anything. The four knobs of the
paper (WWW.Serve, section 4.3: stake, offload, accept and target utilisation) keep their names;
stake comes with the ledger.
"""

from dataclasses import dataclass

from wwwserve.values.ids import NodeId
from wwwserve.values.limits import BODY_BYTES_MAX
from wwwserve.values.model_names import ModelId


@dataclass(frozen=True, slots=True)
class Window:
    """A part of each week, in minutes since Monday 00:00 of the provider's own time."""

    start_minute: int
    """From 0, below a week's 10080."""
    end_minute: int
    """Not included; above `start_minute` by a week at most, so it may lie in the week after."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """One provider's rules. Every field has a default that suits a first node."""

    hours: tuple[Window, ...] = ()
    """When other nodes' requests are taken; none = always. Own users are served at any time."""
    accept_permille: int = 1000
    """`accept_frequency`: share of other nodes' admissible requests that is accepted."""
    offload_permille: int = 1000
    """`offload_frequency`: share of own requests that may go to the network when busy here."""
    queue_permille: int = 1000
    """`queue_frequency`: share of own requests that wait here when no place is found at once;
    the others are refused with 503 and Retry-After."""
    target_utilisation_permille: int = 700
    """`target_utilisation`: above this share of its slots (or key-value cache) the node is busy."""
    own_first: bool = True
    """Other nodes' requests are admitted only below the target utilisation and while no own request
    waits; without it they may use every free slot."""
    concurrent_max: int = 1_024
    """Other nodes' requests run here at once."""
    concurrent_per_peer_max: int = 512
    """Of these, for any one node."""
    prompt_tokens_max: int = 1_000_000
    """Longest prompt taken from others."""
    completion_tokens_max: int = 1_000_000
    """Longest answer taken from others; a request without a limit counts as the model's own."""
    body_bytes_max: int = BODY_BYTES_MAX
    """Largest request body taken from others."""
    allow_nodes: tuple[NodeId, ...] = ()
    """If any: only these nodes' requests are taken."""
    deny_nodes: tuple[NodeId, ...] = ()
    """These nodes' requests are never taken, and nothing is sent to them."""
    allow_models: tuple[ModelId, ...] = ()
    """If any: only these models are shared with others."""
    deny_models: tuple[ModelId, ...] = ()
    """These models are never shared with others."""
    offload_nodes: tuple[NodeId, ...] = ()
    """If any: own requests are sent to these nodes only."""
