"""The whole configuration of one node."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wwwserve.node.config.checks import validate_model_id
from wwwserve.node.config.doors import AdminConfig, GatewayConfig
from wwwserve.node.config.engines import (
    EngineConfig,
    ModelConfig,
    validate_engines,
    validate_models,
)
from wwwserve.node.config.logs import LogsConfig
from wwwserve.node.config.money import LedgerConfig, PriceConfig, StakeConfig, WalletConfig
from wwwserve.node.config.network import LinksConfig, NetworkConfig
from wwwserve.node.config.objectives import ObjectiveConfig, validate_objectives
from wwwserve.node.config.policy import PolicyConfig
from wwwserve.values.limits import RECORD_MODELS_MAX
from wwwserve.values.model_names import AUTO
from wwwserve.values.refusals import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything an operator decides about one node."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    links: LinksConfig = field(default_factory=LinksConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    engines: tuple[EngineConfig, ...] = (EngineConfig(),)
    """At least one; `[engine]` in the file is one engine's short form."""
    logs: LogsConfig = field(default_factory=LogsConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    price: PriceConfig = field(default_factory=PriceConfig)
    """`[policy.price]` in the file."""
    stake: StakeConfig = field(default_factory=StakeConfig)
    """`[policy.stake]` in the file."""
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    wallet: WalletConfig = field(default_factory=WalletConfig)
    models: tuple[ModelConfig, ...] = ()
    """What the engines serve; one that none of them is about serves whatever it says."""
    objectives: tuple[ObjectiveConfig, ...] = ()
    """What users may hope for, by the names that keys and requests choose."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names users may ask for, each standing for several models, the best first."""

    def __post_init__(self) -> None:
        """Refuse what only shows when sections are seen together."""
        validate_engines(self.engines)
        validate_models(self.models, self.engines)
        validate_objectives(self.objectives)
        for name, members in self.groups.items():
            _validate_group(name, members)


def _validate_group(name: str, members: tuple[str, ...]) -> None:
    if name == AUTO or "/" in name or not name.strip():
        raise BadInput(
            "groups", name, f"a name without '/' other than {AUTO!r}", 'for example "small"'
        )
    if not 1 <= len(members) <= RECORD_MODELS_MAX:
        found, expected = f"{len(members)} entries", f"1 to {RECORD_MODELS_MAX}"
        raise BadInput(f"groups.{name}", found, expected, "leave some out")
    for member in members:
        validate_model_id(f"groups.{name}", member)
