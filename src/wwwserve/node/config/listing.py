"""A configuration as rows to print, and the difference between two of them."""

from collections.abc import Iterator
from dataclasses import fields

import msgspec

from wwwserve.node.config.engines import EngineConfig
from wwwserve.node.config.file import LoadedConfig
from wwwserve.node.config.sections import (
    ENGINE,
    ENGINES,
    GROUPS,
    MODELS,
    OBJECTIVES,
    SECTIONS,
    get_attribute,
    is_secret,
)
from wwwserve.ports.peer_handle import ConfigChange

DEFAULT_ORIGIN = "default"
_SHOWN_SECRET = "(set)"  # noqa: S105 - what is shown instead of one


def list_values(loaded: LoadedConfig) -> list[tuple[str, object, str]]:
    """Every setting as (dotted key, value as it may be printed, origin), in the file's order."""
    return [
        (key, _hide(key, value), loaded.origins.get(key, DEFAULT_ORIGIN))
        for key, value, _ in _list_rows(loaded)
    ]


def list_changes(old: LoadedConfig, new: LoadedConfig) -> tuple[ConfigChange, ...]:
    """The settings in which two configurations differ, in the file's order.

    What only one of them has room for (an engine, a group) counts as unset in the other.
    """
    before = {key: (value, default) for key, value, default in _list_rows(old)}
    after = {key: (value, default) for key, value, default in _list_rows(new)}
    changes: list[ConfigChange] = []
    for key in dict.fromkeys((*after, *before)):
        old_value = before[key][0] if key in before else after[key][1]
        new_value = after[key][0] if key in after else before[key][1]
        if old_value != new_value:
            changes.append(ConfigChange(key, _hide(key, old_value), _hide(key, new_value)))
    return tuple(changes)


def _list_rows(loaded: LoadedConfig) -> Iterator[tuple[str, object, object]]:
    """Every setting with its value and its default, in plain form."""
    config = loaded.config
    for section, kind in SECTIONS.items():
        if section == ENGINE:
            yield from _list_engines(loaded)
        else:
            yield from _list_section(section, getattr(config, get_attribute(section)), kind())
    yield MODELS, msgspec.to_builtins(config.models), ()
    yield OBJECTIVES, msgspec.to_builtins(config.objectives), ()
    for name, ids in config.groups.items():
        yield f"{GROUPS}.{name}", list(ids), []


def _list_engines(loaded: LoadedConfig) -> Iterator[tuple[str, object, object]]:
    """One engine by the short form's keys; several by their names."""
    unset = EngineConfig(name="-")
    for engine in loaded.config.engines:
        section = f"{ENGINES}.{engine.name}"
        if f"{section}.name" in loaded.origins:
            yield from _list_section(section, engine, unset)
        else:
            yield from _list_section(ENGINE, engine, EngineConfig())


def _list_section(
    section: str, values: object, defaults: object
) -> Iterator[tuple[str, object, object]]:
    for entry in fields(values):  # type: ignore[arg-type]  # one of the sections
        value, default = getattr(values, entry.name), getattr(defaults, entry.name)
        key = f"{section}.{entry.name}"
        yield key, msgspec.to_builtins(value), msgspec.to_builtins(default)


def _hide(key: str, value: object) -> object:
    return _SHOWN_SECRET if value and is_secret(key) else value
