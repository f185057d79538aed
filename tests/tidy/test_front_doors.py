"""Other packages enter a package by its front, so that its inside can be rebuilt unnoticed.

In `values`, `wire`, `core`, `ports`, `adapters` and `frontends` each member is a door: a stranger
imports `wwwserve.core.gossip` and never `wwwserve.core.gossip.machine`. The other rooms (`node`,
`sim`, `bench`, `cli`, `enginemodel`) are one house with one door. Names with a leading underscore
never leave their module.
"""

from collections.abc import Iterator, Set

import pytest

from tests.tidy.imports import is_within, list_imports
from tests.tidy.source import PACKAGE, Source, list_sources, parse, tell

ROOMS_OF_DOORS = {"adapters", "core", "frontends", "ports", "values", "wire"}


def find_door(module: str) -> str:
    """Give the package a stranger to `module` would have to import instead."""
    parts = module.split(".")
    depth = 3 if len(parts) > 1 and parts[1] in ROOMS_OF_DOORS else 2
    return ".".join(parts[:depth])


def find_trespass(source: Source, modules: Set[str]) -> Iterator[str]:
    for found in list_imports(source, modules):
        if not is_within(found.module, PACKAGE):
            continue
        door = find_door(found.module)
        if found.module != door and not is_within(source.module, door):
            yield source.at(found.node, f"import `{door}`, the front of `{found.module}`")
        if found.name.startswith("_") and not found.name.startswith("__"):
            yield source.at(found.node, f"`{found.name}` is private to `{found.module}`")


def test_packages_are_entered_by_the_front() -> None:
    sources = list_sources("src")
    modules = {source.module for source in sources}
    assert tell(finding for source in sources for finding in find_trespass(source, modules)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "from wwwserve.core.gossip.machine import Gossip",
        "import wwwserve.core.gossip.machine",
        "from wwwserve.core.gossip import machine",
        "from wwwserve.adapters.transports.tcp import TcpTransport",
        "from wwwserve.node.runner import Runner",
        "from wwwserve.values.ids import _fold",
        "def late():\n    from wwwserve.sim.world import World",
    ],
)
def test_a_trespass_is_caught(text: str) -> None:
    source = parse(text, "wwwserve.cli.up")
    assert len(list(find_trespass(source, {"wwwserve.core.gossip.machine"}))) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("wwwserve.cli.up", "from wwwserve.node import Node"),
        ("wwwserve.cli.up", "from wwwserve import __version__"),
        ("wwwserve.core.peer", "from wwwserve.core.gossip import Gossip"),
        ("wwwserve.core.gossip", "from wwwserve.core.gossip.machine import Gossip"),
        ("wwwserve.core.gossip.rules", "from wwwserve.values.ids import NodeId"),
        ("wwwserve.node.streams.pump", "from wwwserve.node.config import Config"),
    ],
)
def test_the_front_door_is_open(module: str, text: str) -> None:
    assert tell(find_trespass(parse(text, module), set())) == ""
