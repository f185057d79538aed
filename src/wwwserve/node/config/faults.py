"""All that is wrong with the policy in a configuration file, not only the first of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from wwwserve.node.config.file import LoadedConfig, parse_config
from wwwserve.node.config.layers import Layer, read_file_layer
from wwwserve.values.refusals import BadInput

_POLICY = "policy"
_WITHIN = ("price", "stake")
"""Sections within it."""


def list_policy_faults(path: Path) -> tuple[LoadedConfig | None, list[BadInput]]:
    """The policy in a file, or else everything that is wrong with it. Raises `BadInput`.

    Only `[policy]` and what is in it is looked at; a file that is no TOML raises.
    """
    layer = read_file_layer(path)
    table = layer.values.get(_POLICY, {})
    parts = _list_parts(table) if isinstance(table, Mapping) else ()
    faults = [fault for part in parts if isinstance(fault := _try(layer.origin, part), BadInput)]
    if faults:
        return None, faults
    whole = _try(layer.origin, table)
    return (None, [whole]) if isinstance(whole, BadInput) else (whole, [])


def _list_parts(table: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Each setting by itself."""
    for name, value in table.items():
        if name in _WITHIN and isinstance(value, Mapping):
            yield from ({name: {key: one}} for key, one in value.items())
        else:
            yield {name: value}


def _try(origin: str, table: object) -> LoadedConfig | BadInput:
    try:
        return parse_config([Layer(origin, {_POLICY: table})])
    except BadInput as error:
        return error
