"""Reading an operator's choices: defaults, then the file, then the environment, then flags.

Each layer is a tree of plain values with the name of where it came from. A later layer replaces
single settings of an earlier one. An unknown key is an error that names the nearest known one, so
that a misspelled setting is never silently the default.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wwwserve.node.config.kinds import describe_type, is_list
from wwwserve.node.config.layers import (
    Layer,
    read_environment,
    read_file_layer,
    read_overrides,
)
from wwwserve.node.config.sections import (
    ENGINE,
    ENGINES,
    GROUPS,
    SECTIONS,
    TABLES,
    get_attribute,
    get_types,
    is_secret,
    list_keys,
    make_unknown,
    make_unknown_section,
    split_key,
    validate_key,
)
from wwwserve.node.config.whole import Config
from wwwserve.values.refusals import BadInput

_GROUP_TYPE = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked configuration, and where each value that is no default came from."""

    config: Config
    origins: Mapping[str, str]
    """By dotted key, `engines.NAME.key` for one of several engines; a key that is absent has its
    default."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """One value as some layer gave it."""

    value: object
    origin: str
    is_text: bool = False


_Tables = list[dict[str, object]]


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
    if ENGINES in settings:
        _refuse_both_forms(settings)
    tables = {key: _read_tables(key, settings[key]) for key in TABLES if key in settings}
    tree: dict[str, dict[str, object]] = {
        get_attribute(section): {} for section in (*SECTIONS, GROUPS)
    }
    for key, setting in settings.items():
        section, name = split_key(key)
        if name:
            kind = _GROUP_TYPE if section == GROUPS else get_types(SECTIONS[section])[name]
            tree[get_attribute(section)][name] = _read_value(key, setting, kind)
    one_engine: _Tables = [tree.pop(ENGINE)]
    try:
        config = msgspec.convert({ENGINES: one_engine, **tree, **tables}, Config)
    except BadInput as error:
        _name_origin(error, settings.get(error.field))
        raise
    return LoadedConfig(config, _list_origins(settings, tables))


def _list_settings(layer: Layer) -> Iterable[tuple[str, _Setting]]:
    for section, table in layer.values.items():
        if section in TABLES and not layer.is_text:
            yield section, _Setting(table, layer.origin)
            continue
        if section not in SECTIONS and section != GROUPS:
            raise make_unknown_section(section, layer.origin)
        if not isinstance(table, Mapping):
            raise _make_no_section(section, table)
        for key, value in list_keys(section, table):
            if section != GROUPS:
                validate_key(*split_key(key), layer.origin)
            yield key, _Setting(value, layer.origin, layer.is_text)


def _make_no_section(section: str, value: object) -> BadInput:
    fix = f"write [{section}] above them"
    if section == ENGINE and isinstance(value, list):
        fix = f"write [[{ENGINES}]] above each engine, or [{ENGINE}] if there is one"
    return BadInput(section, _describe(value), "a section with keys", fix)


def _refuse_both_forms(settings: Mapping[str, _Setting]) -> None:
    """One engine is written `[engine]`, several are `[[engines]]`: both would be two truths."""
    for key, setting in settings.items():
        if key.startswith(f"{ENGINE}."):
            raise BadInput(
                field=ENGINES,
                found=f"[[{ENGINES}]], and {key} (from {setting.origin})",
                expected=f"one of the two: [{ENGINE}] for one engine, [[{ENGINES}]] for several",
                fix=f"give the engine of [{ENGINE}] a table and a name under [[{ENGINES}]], "
                f"and set {key} there",
            )


def _read_tables(section: str, setting: _Setting) -> _Tables:
    """The tables of a section that may have several, each checked by itself."""
    value = setting.value
    if not (isinstance(value, list) and all(isinstance(table, dict) for table in value)):
        kind = section.removesuffix("s")
        raise BadInput(
            section, _describe(value), "tables", f"write [[{section}]] above each {kind}"
        )
    return [
        _read_table(section, f"{section}[{number}]", table, setting.origin)
        for number, table in enumerate(value, start=1)
    ]


def _read_table(
    section: str, where: str, table: Mapping[str, object], origin: str
) -> dict[str, object]:
    kind, required, example = TABLES[section]
    types = get_types(kind)
    for name in table:
        if name not in types:
            raise make_unknown(f"{where}.{name}", name, list(types), origin)
    if required not in table:
        raise BadInput(f"{where}.{required}", "nothing", "one for each", example)
    values = {
        name: _read_value(f"{where}.{name}", _Setting(value, origin), types[name])
        for name, value in table.items()
    }
    try:
        msgspec.convert(values, kind)
    except BadInput as error:
        # It speaks of its section; which of the tables it was, is known only here.
        error.field = f"{where}.{error.field.rpartition('.')[2]}"
        raise
    return values


def _read_value(key: str, setting: _Setting, kind: object) -> object:
    """The value in plain form, once it is known to fit its type."""
    value = setting.value
    if setting.is_text and isinstance(value, str) and is_list(kind):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=not setting.is_text))
    except msgspec.ValidationError:
        shown = "a value of another kind" if is_secret(key) else _show(setting.value)
        error = BadInput(key, shown, describe_type(kind), f"change {key}")
        _name_origin(error, setting)
        raise error from None


def _list_origins(
    settings: Mapping[str, _Setting], tables: Mapping[str, _Tables]
) -> dict[str, str]:
    origins = {key: setting.origin for key, setting in settings.items() if key != ENGINES}
    for table in tables.get(ENGINES, ()):
        for name in table:
            origins[f"{ENGINES}.{table['name']}.{name}"] = settings[ENGINES].origin
    return origins


def _describe(value: object) -> str:
    """A misplaced value, without what it holds: that may be an engine's key."""
    match value:
        case Mapping():
            return "a single table"
        case list():
            return "a list"
        case _:
            return _show(value)


def _show(value: object) -> str:
    """A value as it may have been written, if it is short."""
    try:
        return repr(value)[:80]
    except ValueError:
        return "a number of more digits than Python writes"


def _name_origin(error: BadInput, setting: _Setting | None) -> None:
    if setting is not None:
        error.fix = f"{error.fix} (it is set by {setting.origin})"
