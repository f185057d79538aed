"""One operator's choices: every setting of a node, with its unit, bound, default and reason.

Values of these classes have been checked: whatever makes one, from a file or in a test, raises
`BadInput` naming the field if a node could not run with it. Each module holds the sections that
change together, `whole` joins them, `sections` names them, `layers` and `file` read them, and
`template` is the file a new node starts with: a new setting has its place there, too.
"""

from wwwserve.node.config.doors import AdminConfig, GatewayConfig, validate_exposure
from wwwserve.node.config.engines import EngineConfig, EngineKind, ModelConfig
from wwwserve.node.config.file import LoadedConfig, load_config, parse_config
from wwwserve.node.config.layers import Layer
from wwwserve.node.config.listing import DEFAULT_ORIGIN, list_changes, list_values
from wwwserve.node.config.logs import LogFormat, LogLevel, LogsConfig
from wwwserve.node.config.money import (
    DoorChoice,
    LedgerConfig,
    PriceConfig,
    StakeConfig,
    WalletConfig,
)
from wwwserve.node.config.network import AUTO, LinksConfig, NetworkConfig
from wwwserve.node.config.objectives import ObjectiveConfig
from wwwserve.node.config.policy import PolicyConfig
from wwwserve.node.config.template import make_config_text
from wwwserve.node.config.whole import Config

__all__ = [
    "AUTO",
    "DEFAULT_ORIGIN",
    "AdminConfig",
    "Config",
    "DoorChoice",
    "EngineConfig",
    "EngineKind",
    "GatewayConfig",
    "Layer",
    "LedgerConfig",
    "LinksConfig",
    "LoadedConfig",
    "LogFormat",
    "LogLevel",
    "LogsConfig",
    "ModelConfig",
    "NetworkConfig",
    "ObjectiveConfig",
    "PolicyConfig",
    "PriceConfig",
    "StakeConfig",
    "WalletConfig",
    "list_changes",
    "list_values",
    "load_config",
    "make_config_text",
    "parse_config",
    "validate_exposure",
]
