"""The pure half (values, wire, core, sim) cannot wait, reach out, or depend on the order of a set.

The import contract and the linter keep modules out; here the syntax trees are read for what needs
no import. Each rule is first shown to catch a sample that breaks it.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.tidy.sets import find_walked_sets
from tests.tidy.source import PURE_ROOMS, Source, list_sources, parse, tell

# `hash` and `id` differ between runs; the rest reach the world or hide what the code does.
BANNED_BUILTINS = {
    "breakpoint", "compile", "eval", "exec", "globals", "hash", "id", "input", "open", "print",
}  # fmt: skip
WAITING = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)


def find_builtins(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name) and node.id in BANNED_BUILTINS:
            yield source.at(node, f"`{node.id}` is not for the pure half")


def find_waiting(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, WAITING):
            yield source.at(node, "the pure half never waits; return an effect")


def find_walks(source: Source) -> Iterator[str]:
    for node in find_walked_sets(source.tree):
        yield source.at(node, f"`{ast.unparse(node)}` is a set; walk a dict or sort it first")


RULES = (find_builtins, find_waiting, find_walks)


def find_all(source: Source) -> Iterator[str]:
    for rule in RULES:
        yield from rule(source)


def test_the_pure_half_is_pure() -> None:
    sources = [source for source in list_sources("src") if source.room in PURE_ROOMS]
    assert sources
    assert tell(finding for source in sources for finding in find_all(source)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "key = hash(name)",
        "handlers = {1: print}",
        "async def handle(): ...",
        "def handle():\n    open('state')",
        "for peer in {1, 2}: ...",
        "for peer in set(peers): ...",
        "order = [peer for peer in frozenset(peers)]",
        "order = list({peer.key for peer in peers})",
        "order = tuple(set(a) | b)",
        "for key in a.keys() - b: ...",
        "text = ','.join({'a', 'b'})",
        "peers = {1, 2}\nfor peer in peers: ...",
        "def walk(peers: frozenset[int]):\n    return [*peers]",
        "def walk(peers: set[int] | None):\n    return next(iter(peers))",
        "def walk(items):\n    known = set()\n    for item in known: ...",
        "class State:\n    peers: set[int]\ndef walk(state):\n    for peer in state.peers: ...",
        "class State:\n    def __init__(self):\n        self.peers = set()\n"
        "    def walk(self):\n        return self.peers.pop()",
        "best = max({1, 2}, key=score)",
        "pairs = {peer: 0 for peer in {1, 2}}",
    ],
)
def test_impurity_is_caught(text: str) -> None:
    assert len(list(find_all(parse(text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "names = sorted({peer.name for peer in peers})",
        "total = sum(credits[key] for key in set(keys))",
        "known = {1, 2}\nfound = any(known_key == key for known_key in known)",
        "best = min({1, 2})",
        "seen = set(a) & set(b)",
        "for key in dict.fromkeys(keys): ...",
        "def one(peers: set[int]): ...\ndef two(peers: list[int]):\n    for peer in peers: ...",
        "last = [1].pop()",
    ],
)
def test_order_free_code_is_left_alone(text: str) -> None:
    assert tell(find_all(parse(text))) == ""
