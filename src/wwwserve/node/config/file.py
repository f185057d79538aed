"""Reading an operator's choices: defaults, then the file, then the environment, then flags.

Each layer is a tree of plain values with the name of where it came from. A later layer replaces
single settings of an earlier one. An unknown key is an error that names the nearest known one, so
that a misspelled setting is never silently the default.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import get_type_hints

import msgspec

from wwwserve.node.config.doors import AdminConfig, GatewayConfig
from wwwserve.node.config.engines import EngineConfig, ModelConfig
from wwwserve.node.config.kinds import describe_type, is_list
from wwwserve.node.config.logs import LogsConfig
from wwwserve.node.config.network import LinksConfig, NetworkConfig
from wwwserve.node.config.policy import PolicyConfig
from wwwserve.node.config.whole import Config
from wwwserve.values.refusals import BadInput

ENVIRONMENT_PREFIX = "WWWSERVE_"
CONFIG_FILE_BYTES_MAX = 1024 * 1024
"""A larger file is not a configuration."""
DEFAULT_ORIGIN = "default"
SECRETS = frozenset({"engine.api_key"})
"""Settings that are never printed."""

_SECTIONS: Mapping[str, type] = {
    "network": NetworkConfig,
    "links": LinksConfig,
    "gateway": GatewayConfig,
    "admin": AdminConfig,
    "engine": EngineConfig,
    "logs": LogsConfig,
    "policy": PolicyConfig,
}
MODELS = "models"
GROUPS = "groups"
_GROUP_TYPE = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """Some settings and where they came from."""

    origin: str
    """For a person: a file's path, `environment` or `flag`."""
    values: Mapping[str, object]
    """Sections with their keys, as in the file."""
    is_text: bool = False
    """Values are text to be read (environment, flags), lists parted by commas."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked configuration, and where each value that is no default came from."""

    config: Config
    origins: Mapping[str, str]
    """By dotted key; a key that is absent has its default."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """One value as some layer gave it."""

    value: object
    origin: str
    is_text: bool


def load_config(
    path: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = ()
) -> LoadedConfig:
    """Read a node's configuration; `overrides` are `section.key=value` flags.

    A `path` that does not exist counts as empty, since every setting has a default. Raises
    `BadInput`.
    """
    layers = [] if path is None or not path.exists() else [read_file_layer(path)]
    return parse_config([*layers, read_environment(environ), read_overrides(overrides)])


def parse_config(layers: Iterable[Layer]) -> LoadedConfig:
    """Merge layers, the last one winning, and check the result. Raises `BadInput`."""
    settings: dict[str, _Setting] = {}
    for layer in layers:
        settings.update(_list_settings(layer))
    tree: dict[str, object] = {name: {} for name in (*_SECTIONS, GROUPS)}
    for key, setting in settings.items():
        if key == MODELS:
            tree[MODELS] = _read_models(setting)
            continue
        section, _, name = key.partition(".")
        table = tree[section]
        assert isinstance(table, dict), "made above"
        kind = _GROUP_TYPE if section == GROUPS else _get_types(_SECTIONS[section])[name]
        table[name] = _read_value(key, setting, kind)
    try:
        config = msgspec.convert(tree, Config)
    except BadInput as error:
        _name_origin(error, settings.get(error.field))
        raise
    return LoadedConfig(config, {key: setting.origin for key, setting in settings.items()})


def read_file_layer(path: Path) -> Layer:
    """The settings of one TOML file. Raises `BadInput`."""
    try:
        if path.stat().st_size > CONFIG_FILE_BYTES_MAX:
            raise _bad_file(path, f"over {CONFIG_FILE_BYTES_MAX} bytes")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _bad_file(path, error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _bad_file(path, str(error)) from error
    return Layer(str(path), values)


def read_environment(environ: Mapping[str, str]) -> Layer:
    """The settings among the environment's variables: `WWWSERVE_SECTION__KEY`.

    Variables without the double underscore belong to others (`WWWSERVE_HOME`), unless they look
    like a setting written with a single one, which raises `BadInput`.
    """
    tree: dict[str, dict[str, str]] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        section, mark, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if mark:
            tree.setdefault(section, {})[key] = text
        elif section.partition("_")[0] in _SECTIONS and "_" in section:
            raise BadInput(
                field=variable,
                found="one underscore between section and key",
                expected="two",
                fix=f"{ENVIRONMENT_PREFIX}{section.replace('_', '__', 1).upper()}",
            )
    return Layer("environment", tree, is_text=True)


def read_overrides(overrides: Sequence[str]) -> Layer:
    """The settings given as `section.key=value` flags. Raises `BadInput`."""
    tree: dict[str, dict[str, str]] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        section, dot, name = key.strip().partition(".")
        if not (equals and dot and name):
            raise BadInput(
                "--set", override, "section.key=value", "for example --set gateway.port=8080"
            )
        tree.setdefault(section, {})[name] = text.strip()
    return Layer("flag", tree, is_text=True)


def list_values(loaded: LoadedConfig) -> list[tuple[str, object, str]]:
    """Every setting as (dotted key, value as it may be printed, origin), in the file's order."""
    rows: list[tuple[str, object, str]] = []
    for section in _SECTIONS:
        values = getattr(loaded.config, section)
        for entry in fields(values):
            key = f"{section}.{entry.name}"
            value = getattr(values, entry.name)
            shown = "(set)" if key in SECRETS and value else msgspec.to_builtins(value)
            rows.append((key, shown, loaded.origins.get(key, DEFAULT_ORIGIN)))
    models = msgspec.to_builtins(loaded.config.models)
    rows.append((MODELS, models, loaded.origins.get(MODELS, DEFAULT_ORIGIN)))
    rows.extend(
        (f"{GROUPS}.{name}", list(ids), loaded.origins[f"{GROUPS}.{name}"])
        for name, ids in loaded.config.groups.items()
    )
    return rows


def _list_settings(layer: Layer) -> Iterable[tuple[str, _Setting]]:
    for section, table in layer.values.items():
        if section == MODELS and not layer.is_text:
            yield MODELS, _Setting(table, layer.origin, is_text=False)
            continue
        if section not in _SECTIONS and section != GROUPS:
            raise _unknown_section(section, layer.origin)
        if not isinstance(table, Mapping):
            raise BadInput(
                section, repr(table)[:80], "a section with keys", f"write [{section}] above them"
            )
        for name, value in table.items():
            if section != GROUPS:
                _validate_key(section, name, layer.origin)
            yield f"{section}.{name}", _Setting(value, layer.origin, layer.is_text)


def _read_models(setting: _Setting) -> list[dict[str, object]]:
    if not (isinstance(setting.value, list) and all(isinstance(v, dict) for v in setting.value)):
        raise BadInput(
            MODELS, repr(setting.value)[:80], "tables", "write [[models]] above each model"
        )
    types = _get_types(ModelConfig)
    models: list[dict[str, object]] = []
    for number, table in enumerate(setting.value, start=1):
        where = f"{MODELS}[{number}]"
        for name in table:
            if name not in types:
                raise _unknown(f"{where}.{name}", name, list(types), setting.origin)
        if "id" not in table:
            raise BadInput(f"{where}.id", "nothing", "org/name", 'for example id = "Qwen/Qwen3-8B"')
        models.append(
            {
                name: _read_value(
                    f"{where}.{name}", _Setting(value, setting.origin, is_text=False), types[name]
                )
                for name, value in table.items()
            }
        )
    return models


def _read_value(key: str, setting: _Setting, kind: object) -> object:
    """The value in plain form, once it is known to fit its type."""
    value = setting.value
    if setting.is_text and isinstance(value, str) and is_list(kind):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=not setting.is_text))
    except msgspec.ValidationError:
        shown = "a value of another kind" if key in SECRETS else repr(setting.value)[:80]
        error = BadInput(key, shown, describe_type(kind), f"change {key}")
        _name_origin(error, setting)
        raise error from None


def _get_types(section: type) -> Mapping[str, object]:
    return get_type_hints(section, include_extras=True)


def _validate_key(section: str, name: str, origin: str) -> None:
    known = list(_get_types(_SECTIONS[section]))
    if name not in known:
        elsewhere = [other for other in _SECTIONS if name in _get_types(_SECTIONS[other])]
        candidates = [f"{section}.{key}" for key in known]
        nearest = f"{elsewhere[0]}.{name}" if elsewhere else ""
        raise _unknown(f"{section}.{name}", f"{section}.{name}", candidates, origin, nearest)


def _unknown_section(section: str, origin: str) -> BadInput:
    if section == MODELS:
        return BadInput(
            MODELS,
            f"a value from {origin}",
            "tables in the file",
            "write [[models]] in config.toml",
        )
    return _unknown(section, section, [*_SECTIONS, MODELS, GROUPS], origin)


def _unknown(key: str, name: str, known: Sequence[str], origin: str, nearest: str = "") -> BadInput:
    close = [nearest] if nearest else get_close_matches(name, known, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return BadInput(key, f"an unknown key (from {origin})", "a known one", fix)


def _name_origin(error: BadInput, setting: _Setting | None) -> None:
    if setting is not None:
        error.fix = f"{error.fix} (it is set by {setting.origin})"


def _bad_file(path: Path, why: str) -> BadInput:
    return BadInput(
        field=str(path),
        found=why,
        expected="a readable TOML file",
        fix="correct it, and see `wwwserve config check FILE`",
    )
