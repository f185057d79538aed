"""The whole configuration of one node."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wwwserve.node.config.checks import validate_model_id
from wwwserve.node.config.doors import AdminConfig, GatewayConfig
from wwwserve.node.config.engines import EngineConfig, ModelConfig
from wwwserve.node.config.logs import LogsConfig
from wwwserve.node.config.network import LinksConfig, NetworkConfig
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
    engine: EngineConfig = field(default_factory=EngineConfig)
    logs: LogsConfig = field(default_factory=LogsConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    models: tuple[ModelConfig, ...] = ()
    """What the engine serves; empty = whatever it says it serves."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names users may ask for, each standing for several models, the best first."""

    def __post_init__(self) -> None:
        """Refuse what only shows when sections are seen together."""
        if len(self.models) > RECORD_MODELS_MAX:
            raise _too_long("models", len(self.models), RECORD_MODELS_MAX)
        ids = [model.id for model in self.models]
        for repeated in {model_id for model_id in ids if ids.count(model_id) > 1}:
            raise BadInput("models.id", repeated, "each model once", "remove one of them")
        for name, members in self.groups.items():
            _validate_group(name, members)


def _validate_group(name: str, members: tuple[str, ...]) -> None:
    if name == AUTO or "/" in name or not name.strip():
        raise BadInput(
            "groups", name, f"a name without '/' other than {AUTO!r}", 'for example "small"'
        )
    if not 1 <= len(members) <= RECORD_MODELS_MAX:
        raise _too_long(f"groups.{name}", len(members), RECORD_MODELS_MAX)
    for member in members:
        validate_model_id(f"groups.{name}", member)


def _too_long(name: str, found: int, most: int) -> BadInput:
    return BadInput(name, f"{found} entries", f"1 to {most}", "leave some out")
