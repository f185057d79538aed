"""What a file imports, as full module names; a name taken from a module is resolved where known."""

import ast
from collections.abc import Iterator, Set
from dataclasses import dataclass

from tests.tidy.source import Source


@dataclass(frozen=True, slots=True)
class Import:
    """One imported thing: the module it is or comes from, and its own name if it is not one."""

    node: ast.stmt
    module: str
    name: str


def list_imports(source: Source, modules: Set[str]) -> Iterator[Import]:
    """Give every import of a file, also those inside functions; `modules` are the known ones."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node, alias.name, "")
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules:
                    yield Import(node, inner, "")
                else:
                    yield Import(node, node.module, alias.name)


def is_within(module: str, package: str) -> bool:
    """Whether a module is a package or lies inside it."""
    return module == package or module.startswith(f"{package}.")
