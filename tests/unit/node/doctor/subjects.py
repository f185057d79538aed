"""Nodes to be examined: real state folders, any configuration, running or not."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from wwwserve.adapters.host import FileKeyRing, NodeKey
from wwwserve.node import Finding, Layer, Level, RunInfo, StateFolder, parse_config
from wwwserve.node.doctor.subject import StatusSeen, Subject
from wwwserve.ports.keys import KeyRules

Settings = dict[str, Any]


def make_folder(path: Path) -> StateFolder:
    """The folder of a node that could run."""
    folder = StateFolder(path / "home")
    folder.create()
    NodeKey.create(folder.node_key_file)
    FileKeyRing(folder.api_keys_file).add(KeyRules("first"))
    return folder


def make_subject(
    path: Path,
    *,
    info: RunInfo | None = None,
    status: Settings | None = None,
    **sections: object,
) -> Subject:
    """A node with these sections in its configuration; with `status`, a running one."""
    doors: Settings = {
        "gateway": {"port": 0},
        "admin": {"port": 0},
        "links": {"listen": "127.0.0.1:0"},
        "engine": {"url": "http://127.0.0.1:9"},
    }
    config = parse_config([Layer("test", {**doors, **sections})]).config
    seen = None if status is None else msgspec.convert(status, StatusSeen)
    folder = StateFolder(path / "home")
    return Subject(folder if folder.path.exists() else make_folder(path), config, {}, info, seen)


def make_info(**fields: Any) -> RunInfo:
    """How a running node is reached."""
    start: Settings = {
        "pid": 1,
        "node": "n",
        "gateway": "http://127.0.0.1:1",
        "admin": "http://127.0.0.1:2",
        "admin_token": "the-token-that-runs-the-node",
        "links": ("127.0.0.1:3",),
    }
    return RunInfo(**{**start, **fields})


def get_bad(findings: Iterable[Finding]) -> list[Finding]:
    """Warnings and errors."""
    return [one for one in findings if one.level in (Level.WARNING, Level.ERROR)]


def get_one(findings: Iterable[Finding], check: str) -> Finding:
    """The only finding of a check."""
    (found,) = (one for one in findings if one.check == check)
    return found


def list_levels(findings: Iterable[Finding]) -> Iterator[tuple[str, Level]]:
    """What was looked at, and how it is."""
    return ((one.check, one.level) for one in findings)
