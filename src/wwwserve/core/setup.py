"""What a peer is born with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wwwserve.core.deciding import NO_MEMORY, PolicyMemory
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.pricing import PRICE_TABLE_DEFAULT, PriceTable
from wwwserve.core.sessions import ServedModel
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.parameters import Parameters
from wwwserve.wire import Signer


@dataclass(frozen=True, slots=True)
class WalletChoices:
    """What this node's own account is born with; without a ledger it means nothing."""

    stored: Mapping[bytes, bytes] = field(default_factory=dict)
    """The `FEED` lane as it was on disk."""
    is_clean_boot: bool = True
    """False if the machine went down since the lane was last written, and not in order: then the
    newest writes may be lost."""
    reserve: int = 0
    """Micro-credits that requests never spend."""


@dataclass(frozen=True, slots=True)
class PeerSetup:
    """Everything `core.Peer` needs, from the host or from the simulator's seed."""

    signer: Signer
    parameters: Parameters
    entropy_seed: bytes
    """True randomness in a real node, the seed's in the simulator."""
    addresses: tuple[str, ...] = ()
    """Where this node accepts links, as others should dial it."""
    models: tuple[ServedModel, ...] = ()
    groups: Mapping[str, tuple[ModelId, ...]] = field(default_factory=dict)
    """Named groups of models; a user may ask for a group by name."""
    policy: PolicySettings = field(default_factory=PolicySettings)
    bootstrap: tuple[tuple[str, NodeId | None], ...] = ()
    """Addresses to meet at the start, with the node expected there if known."""
    restored: Mapping[bytes, bytes] = field(default_factory=dict)
    """The `BOOK` lane as it was on disk."""
    seats: Mapping[NodeId, int] | None = None
    """In a network without a ledger: by how many seats candidates are drawn; None = all alike."""
    genesis_id: bytes = b""
    """Names the network's ledger, 32 bytes; empty: requests are not paid."""
    prices: PriceTable = PRICE_TABLE_DEFAULT
    """What is asked of other nodes."""
    wallet: WalletChoices = field(default_factory=WalletChoices)
    memory: PolicyMemory = NO_MEMORY
    """What the policy remembers of its last life, and the guests that it may ask."""
    region: str = ""
    software: str = ""

    @property
    def node_id(self) -> NodeId:
        """This node's key."""
        return self.signer.node_id
