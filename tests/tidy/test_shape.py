"""Files and functions stay small enough to read at once, and are named for what they do.

Lengths and names are read from the syntax trees of the whole checkout; each rule is first shown to
catch a sample that breaks it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.source import ROOT, Source, list_sources, parse, tell

FOLDERS = ("src", "tests", "tools")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# A name that fits everything says nothing, and such a module only ever grows.
EMPTY_NAMES = {"common", "helper", "helpers", "manager", "misc", "shared", "stuff", "util", "utils"}
# Shorter than this cannot say both what is proven and how.
TEST_DOCSTRING_CHARACTERS_MIN = 40
# `data` and `fakes` hold no tests; the others use them.
TEST_FOLDERS = {
    "conformance", "conversations", "data", "fakes", "fuzz", "integration", "property",
    "simulation", "tidy", "unit",
}  # fmt: skip


def find_long_files(source: Source) -> Iterator[str]:
    if source.line_count > FILE_LINES_MAX:
        yield f"{source.path}: {source.line_count} lines; at most {FILE_LINES_MAX}"


def find_long_functions(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                message = f"`{node.name}` has {lines} lines; at most {FUNCTION_LINES_MAX}"
                yield source.at(node, message)


def find_empty_names(source: Source) -> Iterator[str]:
    for part in source.module.split("."):
        if EMPTY_NAMES & set(part.split("_")):
            yield f"{source.path}: `{part}` says nothing; name it for what it does"


def find_silent_tests(source: Source) -> Iterator[str]:
    docstring = ast.get_docstring(source.tree) or ""
    if source.path.name.startswith("test_") and len(docstring) < TEST_DOCSTRING_CHARACTERS_MIN:
        yield f"{source.path}: open with what the tests prove and how"


RULES = (find_long_files, find_long_functions, find_empty_names, find_silent_tests)


def find_all(source: Source) -> Iterator[str]:
    for rule in RULES:
        yield from rule(source)


def test_code_is_readable() -> None:
    sources = [source for folder in FOLDERS for source in list_sources(folder)]
    assert sources
    assert tell(finding for source in sources for finding in find_all(source)) == ""


def test_every_test_folder_is_a_known_kind() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    strays = folders - TEST_FOLDERS - {"__pycache__"}
    assert not strays, f"say in CONTRIBUTING.md and in the Makefile when these run: {strays}"


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("wwwserve.core.long", "pass\n" * (FILE_LINES_MAX + 1)),
        ("wwwserve.core.wide", "def f():\n" + "    pass\n" * FUNCTION_LINES_MAX),
        ("wwwserve.core.utils", ""),
        ("wwwserve.core.link_manager", ""),
        ("tests.unit.test_silent", "import ast"),
        ("tests.unit.test_terse", '"""Tests."""'),
    ],
)
def test_a_bad_shape_is_caught(module: str, text: str) -> None:
    assert len(list(find_all(parse(text, module)))) == 1


def test_a_good_shape_is_left_alone() -> None:
    text = '"""Lines are framed and frames are lines: both ways, for any bytes."""\ndef f(): ...\n'
    assert tell(find_all(parse(text, "tests.unit.test_good"))) == ""
    assert parse(text, "tests.unit.test_good").path == Path("src/tests/unit/test_good.py")
