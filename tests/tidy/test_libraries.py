"""A third-party library is imported only where pyproject.toml says, so it stays replaceable.

The table `[tool.wwwserve.libraries]` is held against every import of the sources, against
docs/dependencies.md, and the pinned requirements against their loose inputs.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence

import pytest

from tests.tidy.imports import is_within, list_imports
from tests.tidy.source import PACKAGE, ROOT, Source, list_sources, parse, tell

Homes = Mapping[str, Sequence[str]]

REQUIREMENTS = ROOT / "requirements"
# What is resolved from which inputs; the same table makes the files in tools/pin_requirements.py.
EVERYTHING = "dev"
PARTS = ("run", "local", "build")


def read_homes() -> Homes:
    with (ROOT / "pyproject.toml").open("rb") as file:
        homes: Homes = tomllib.load(file)["tool"]["wwwserve"]["libraries"]
    return homes


def find_strays(source: Source, homes: Homes) -> Iterator[str]:
    for found in list_imports(source, set()):
        library = found.module.split(".")[0]
        if library in homes:
            places = [f"{PACKAGE}.{home}" for home in homes[library]]
            if not any(is_within(source.module, place) for place in places):
                yield source.at(found.node, f"`{library}` belongs to {', '.join(places)}")
        elif library != PACKAGE and library not in sys.stdlib_module_names:
            yield source.at(found.node, f"`{library}` has no home in pyproject.toml")


def read_pins(name: str) -> dict[str, str]:
    """Give the exact release of each package in a pinned file."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE))


def read_inputs(name: str) -> list[str]:
    """Give the packages a loose input asks for, spelled as pins spell them."""
    text = (REQUIREMENTS / f"{name}.in").read_text(encoding="utf-8")
    names = re.findall(r"^([A-Za-z0-9_.-]+)", text, re.MULTILINE)
    return [re.sub(r"[-_.]+", "-", name).lower() for name in names]


def test_libraries_stay_at_home() -> None:
    homes = read_homes()
    findings = [stray for source in list_sources("src") for stray in find_strays(source, homes)]
    assert tell(findings) == ""


@pytest.mark.parametrize(
    "text",
    [
        "import aiohttp",
        "from aiohttp.web import Application",
        "def late():\n    import sqlite3",
        "import numpy",
    ],
)
def test_a_stray_library_is_caught(text: str) -> None:
    homes = {"aiohttp": ["frontends"], "sqlite3": ["adapters.storage"]}
    assert len(list(find_strays(parse(text, "wwwserve.node.runner"), homes))) == 1
    assert tell(find_strays(parse("import aiohttp", "wwwserve.frontends.gateway"), homes)) == ""


def test_every_library_has_its_reason() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    names = {*read_homes(), *(name for part in (*PARTS, "dev") for name in read_inputs(part))}
    assert tell(name for name in sorted(names) if f"`{name}`" not in page) == ""


@pytest.mark.parametrize("part", [*PARTS, EVERYTHING])
def test_pins_answer_their_inputs_and_are_hashed(part: str) -> None:
    pins = read_pins(part)
    assert set(read_inputs(part)) <= set(pins)
    text = (REQUIREMENTS / f"{part}.txt").read_text(encoding="utf-8")
    assert "://" not in text, "where files come from is the business of whoever installs them"
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("part", PARTS)
def test_what_runs_is_what_was_tested(part: str) -> None:
    assert read_pins(part).items() <= read_pins(EVERYTHING).items()
