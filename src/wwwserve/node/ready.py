"""What a running node tells whoever started it, once it serves."""

from dataclasses import dataclass, field

from wwwserve.values.ids import NodeId


@dataclass(frozen=True, slots=True)
class ReadyInfo:
    """Where a node can be reached."""

    node: NodeId
    gateway_url: str
    """`http://host:port`, without `/v1`."""
    admin_url: str
    """`http://host:port` of the operator's API."""
    admin_token: str = field(repr=False)
    """What the operator's API wants to see in `x-wwwserve-admin-token`."""
    link_addresses: tuple[str, ...]
    """Where links are accepted, as others dial it; empty when it only dials out."""
    models: tuple[str, ...]
    """Canonical ids served here."""
