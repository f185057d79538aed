"""Reading a scenario from TOML, and changing one field of it from a command line.

A scenario is plain data (`sim.plans`), so whatever can be written in a file can also be set by its
path: `nodes.node-1.engine.slots=8`. A `*` in a path stands for every name in its place.
"""

import tomllib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import msgspec

from wwwserve.sim.objectives import parse_objective
from wwwserve.sim.plans import Scenario
from wwwserve.values.refusals import BadInput


def parse_scenario(text: str) -> Scenario:
    """Read a scenario from TOML. Raises `BadInput` naming the field."""
    try:
        scenario = msgspec.convert(tomllib.loads(text), Scenario)
    except tomllib.TOMLDecodeError as error:
        raise BadInput("scenario", str(error), "TOML", "correct the file") from error
    except msgspec.ValidationError as error:
        raise BadInput(
            "scenario", str(error), "the fields of a scenario", "correct the field"
        ) from error
    return _validate(scenario)


def _validate(scenario: Scenario) -> Scenario:
    for name in scenario.objectives:
        parse_objective(name)
    return scenario


def apply_settings(scenario: Scenario, settings: Sequence[str]) -> Scenario:
    """The scenario with `key=value`s applied. Raises `BadInput` for an unknown key or bad value."""
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise BadInput("--set", setting, "key=value", "for example duration_us=60000000")
        scenario = _apply(scenario, key.strip(), value.strip())
    return scenario


def list_keys(scenario: Scenario) -> list[str]:
    """Every key `apply_settings` knows, in the scenario's order."""
    return _list_paths(_as_tree(scenario), "")


def _apply(scenario: Scenario, key: str, value: str) -> Scenario:
    tree = _as_tree(scenario)
    *folders, name = key.split(".")
    places = list(_find_places(tree, folders))
    for place in places:
        if name not in place and folders[-1:] != ["policy"]:
            raise _create_key_fault(key, tree)
        place[name] = _parse_value(value)
    if not places:
        raise _create_key_fault(key, tree)
    try:
        return _validate(msgspec.convert(tree, Scenario))
    except msgspec.ValidationError as error:
        raise BadInput("--set", f"{key}={value}", str(error), "correct the value") from error


def _find_places(place: object, folders: Sequence[str]) -> Iterator[dict[str, object]]:
    """The tables a path leads to: one, none, or as many as its `*` stand for."""
    if not isinstance(place, dict):
        return
    if not folders:
        yield place
        return
    first, *rest = folders
    for folder in place if first == "*" else [first]:
        yield from _find_places(place.get(folder), rest)


def _create_key_fault(key: str, tree: dict[str, object]) -> BadInput:
    known = _list_paths(tree, "")
    close = get_close_matches(key, known, n=3, cutoff=0.4)
    close += [path for path in known if path.endswith("." + key) and path not in close][:3]
    return BadInput(
        "--set",
        key,
        "a field of the scenario by its path, for example " + ", ".join(close or known[:3]),
        "wwwserve sim replay 1 shows such paths",
    )


def _as_tree(scenario: Scenario) -> dict[str, object]:
    """The scenario as nested tables with every field present, defaults included."""
    tree = _expand(scenario)
    assert isinstance(tree, dict), "a scenario is a table"
    return tree


def _expand(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {name: _expand(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_expand(item) for item in value]
    return value


def _list_paths(tree: dict[str, object], before: str) -> list[str]:
    paths: list[str] = []
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            paths += _list_paths(value, f"{before}{key}.")
        else:
            paths.append(before + key)
    return paths


def _parse_value(text: str) -> object:
    """A TOML value, or a bare word as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
