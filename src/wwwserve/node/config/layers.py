"""Where settings come from: a file, the environment, flags; each read as it is, not yet checked."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wwwserve.node.config.sections import SECTIONS
from wwwserve.values.refusals import BadInput

ENVIRONMENT_PREFIX = "WWWSERVE_"
CONFIG_FILE_BYTES_MAX = 1024 * 1024
"""A larger file is not a configuration."""
LINE_DOTS_MAX = 200
"""Sixty addresses, say; more belong on several lines. For a key of many parts the parser takes
memory by the square of their number."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Some settings and where they came from."""

    origin: str
    """For a person: a file's path, `environment` or `flag`."""
    values: Mapping[str, object]
    """Sections with their keys, as in the file."""
    is_text: bool = False
    """Values are text to be read (environment, flags), lists parted by commas."""


def read_file_layer(path: Path) -> Layer:
    """The settings of one TOML file. Raises `BadInput`."""
    try:
        if path.stat().st_size > CONFIG_FILE_BYTES_MAX:
            raise _bad_file(path, f"over {CONFIG_FILE_BYTES_MAX} bytes")
        text = path.read_text(encoding="utf-8")
        if any(line.count(".") > LINE_DOTS_MAX for line in text.splitlines()):
            raise _bad_file(path, f"a line with over {LINE_DOTS_MAX} dots")
        values = tomllib.loads(text)
    except OSError as error:
        raise _bad_file(path, error.strerror or str(error)) from error
    except ValueError as error:
        # No TOML, no UTF-8, or a number of more digits than Python reads.
        raise _bad_file(path, str(error)) from error
    except RecursionError as error:
        raise _bad_file(path, "brackets nested too deeply") from error
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
        elif section.partition("_")[0] in SECTIONS and "_" in section:
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


def _bad_file(path: Path, why: str) -> BadInput:
    return BadInput(
        field=str(path),
        found=why,
        expected="a readable TOML file",
        fix="correct it, and see `wwwserve config check FILE`",
    )
