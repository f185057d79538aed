"""The sections of a configuration file and their keys, and what is said of a key nobody knows."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import get_type_hints

from wwwserve.node.config.doors import AdminConfig, GatewayConfig
from wwwserve.node.config.engines import EngineConfig, ModelConfig
from wwwserve.node.config.logs import LogsConfig
from wwwserve.node.config.money import LedgerConfig, PriceConfig, StakeConfig, WalletConfig
from wwwserve.node.config.network import LinksConfig, NetworkConfig
from wwwserve.node.config.objectives import ObjectiveConfig
from wwwserve.node.config.policy import PolicyConfig
from wwwserve.values.refusals import BadInput

ENGINE = "engine"
"""The short form for the one engine of most nodes."""
SECTIONS: Mapping[str, type] = {
    "network": NetworkConfig,
    "links": LinksConfig,
    "gateway": GatewayConfig,
    "admin": AdminConfig,
    ENGINE: EngineConfig,
    "logs": LogsConfig,
    "policy": PolicyConfig,
    "policy.price": PriceConfig,
    "policy.stake": StakeConfig,
    "ledger": LedgerConfig,
    "wallet": WalletConfig,
}
"""By name in the file. One within another is named by both; a configuration keeps it by the last
part of its name."""
ENGINES = "engines"
MODELS = "models"
OBJECTIVES = "objectives"
TABLES: Mapping[str, tuple[type, str, str]] = {
    ENGINES: (EngineConfig, "name", 'for example name = "large"'),
    MODELS: (ModelConfig, "id", 'for example id = "Qwen/Qwen3-8B"'),
    OBJECTIVES: (ObjectiveConfig, "name", 'for example name = "chat"'),
}
"""Sections of several tables: of what type, which key each table must have, and an example of it.
They can stand in the file only."""
GROUPS = "groups"
_SECRET_KEYS = frozenset({"api_key"})


def is_secret(key: str) -> bool:
    """Whether the value of a setting, by its dotted key, is never printed."""
    return key.rpartition(".")[2] in _SECRET_KEYS


def get_attribute(section: str) -> str:
    """By what name a configuration keeps a section."""
    return section.rpartition(".")[2]


def split_key(key: str) -> tuple[str, str]:
    """The section and the name of a dotted key; the name is empty for a section's own."""
    inner = [name for name in SECTIONS if "." in name and key.startswith(f"{name}.")]
    if inner:
        return inner[0], key.removeprefix(f"{inner[0]}.")
    section, _, name = key.partition(".")
    return section, name


def list_keys(section: str, table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The dotted keys in a section's table, those of sections within it included."""
    for name, value in table.items():
        inner = _list_inner(section, name, value)
        yield from {f"{section}.{name}": value}.items() if inner is None else inner.items()


def _list_inner(section: str, name: str, value: object) -> Mapping[str, object] | None:
    """The keys of a section within this one, if the name leads to it.

    In a file that is a table under its name; elsewhere each key has the names of both before it.
    """
    for inner in SECTIONS:
        outer, dot, last = inner.partition(".")
        if not dot or outer != section:
            continue
        if name == last and isinstance(value, Mapping):
            return {f"{inner}.{key}": each for key, each in value.items()}
        for mark in (".", "__"):
            if name.startswith(f"{last}{mark}"):
                return {f"{inner}.{name.removeprefix(f'{last}{mark}')}": value}
    return None


@cache
def get_types(section: type) -> Mapping[str, object]:
    """The keys of a section with their types, bounds included."""
    return get_type_hints(section, include_extras=True)


def validate_key(section: str, name: str, origin: str) -> None:
    """Refuse a key its section does not have; the message names the nearest of any section."""
    known = list(get_types(SECTIONS[section]))
    if name not in known:
        elsewhere = [other for other in SECTIONS if name in get_types(SECTIONS[other])]
        candidates = [f"{section}.{key}" for key in known]
        nearest = f"{elsewhere[0]}.{name}" if elsewhere else ""
        raise make_unknown(f"{section}.{name}", f"{section}.{name}", candidates, origin, nearest)


def make_unknown_section(section: str, origin: str) -> BadInput:
    """What to say of a section that is none, or that cannot come from there."""
    if section in TABLES:
        return BadInput(
            field=section,
            found=f"a value from {origin}",
            expected="tables in the file",
            fix=f"write [[{section}]] in config.toml",
        )
    return make_unknown(section or '""', section, [*SECTIONS, *TABLES, GROUPS], origin)


def make_unknown(
    key: str, name: str, known: Sequence[str], origin: str, nearest: str = ""
) -> BadInput:
    """What to say of a key that is none: the nearest known one, or all of them."""
    close = [nearest] if nearest else get_close_matches(name, known, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return BadInput(key, f"an unknown key (from {origin})", "a known one", fix)
