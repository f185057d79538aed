"""The import contract bites: a toy package of our layout passes it, and each wrong import is named.

The toy is made from the contract's own list of rooms and machines, one empty package for each, and
the real linter reads it with the real settings.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.tidy.source import PACKAGE, ROOT

MEMBERS = {
    "adapters": ("engines", "host", "storage", "transports"),
    "frontends": ("admin", "gateway"),
}
# Importing module, imported module. Each line breaks one rule; together they are linted once.
WRONG = (
    ("adapters.engines", "adapters.host"),
    ("core.entropy", "asyncio"),
    ("core.events", "core.effects"),
    ("core.gossip", "core.routing"),
    ("core.peer", "ports"),
    ("core.policy", "os"),
    ("frontends.admin", "adapters.storage"),
    ("frontends.gateway", "frontends.admin"),
    ("node", "bench"),
    ("node", "sim"),
    ("ports", "adapters"),
    ("sim", "adapters.transports"),
    ("sim", "node"),
    ("sim", "socket"),
    ("values", "random"),
    ("values", "wire"),
    ("wire", "time"),
)
UNPLANNED = ("surprise", "core.surprise")


def list_modules() -> list[str]:
    """Every room and machine the contract places, and the members of the open rooms."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    modules = [f"{room}.{member}" for room, members in MEMBERS.items() for member in members]
    for contract in contracts:
        if contract["type"] == "layers":
            container = contract["containers"][0].removeprefix(PACKAGE).lstrip(".")
            names = " ".join(contract["layers"]).translate(str.maketrans("|()", "   ")).split()
            modules += [f"{container}.{name}".lstrip(".") for name in names]
    return modules


def build(folder: Path, *, extra: tuple[str, ...] = ()) -> None:
    (folder / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    (folder / PACKAGE).mkdir()
    (folder / PACKAGE / "__init__.py").touch()
    for module in sorted([*list_modules(), *extra]):
        package = folder.joinpath(PACKAGE, *module.split("."))
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()


def qualify(module: str) -> str:
    return module if module in sys.stdlib_module_names else f"{PACKAGE}.{module}"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_our_layout_keeps_the_contract(tmp_path: Path) -> None:
    build(tmp_path)
    result = lint(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a toy in which everything is wrong at once."""
    folder = tmp_path_factory.mktemp("broken")
    build(folder, extra=UNPLANNED)
    for source, target in WRONG:
        path = folder.joinpath(PACKAGE, *source.split("."), "__init__.py")
        # Inside a function, where a late import might hope to pass.
        line = f"def import_{target.replace('.', '_')}():\n    import {qualify(target)}\n"
        path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
    return lint(folder).stdout


@pytest.mark.parametrize(("source", "target"), WRONG)
def test_a_wrong_import_is_named(complaints: str, source: str, target: str) -> None:
    assert f"{qualify(source)} -> {qualify(target)} (l." in complaints


@pytest.mark.parametrize("module", UNPLANNED)
def test_an_unplanned_package_is_named(complaints: str, module: str) -> None:
    assert f"- {qualify(module)}\n" in complaints
