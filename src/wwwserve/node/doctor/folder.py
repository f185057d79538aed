"""The state folder: whether it is there, is whole, and keeps its secrets."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from wwwserve.adapters.host import NodeKey
from wwwserve.node.config import Config
from wwwserve.node.doctor.subject import make_command_end
from wwwserve.node.findings import Finding, Level
from wwwserve.node.state_folder import StateFolder
from wwwserve.values.ids import node_prefix
from wwwserve.values.refusals import BadInput

_OTHERS = 0o077


def check_folder(folder: StateFolder) -> Iterator[Finding]:
    """The folder and the files in it that only its owner may read."""
    if not folder.path.is_dir():
        yield Finding(
            "state folder",
            Level.ERROR,
            f"{folder.path} is not there",
            "a node keeps its key, its configuration and its memory in it",
            f"wwwserve init {make_command_end(folder)}",
        )
        return
    yield _check_private(folder.path, "state folder", "whoever can look into it finds the keys")
    yield _check_node_key(folder)
    for file, why in (
        (folder.api_keys_file, "it tells who may use the gateway, if not with which keys"),
        (folder.ask_key_file, "whoever reads it can use the gateway"),
        (folder.metrics_token_file, "whoever reads it can read the metrics"),
        (folder.run_file, "whoever reads it can run the node"),
    ):
        if file.exists():
            yield _check_private(file, file.name, why)
    if folder.run_file.exists() and not folder.is_held():
        yield Finding(
            folder.run_file.name,
            Level.NOTE,
            "left behind by a node that was killed",
            "it is not taken for a running node, and the next start replaces it",
            f"wwwserve up {make_command_end(folder)}",
        )


def check_config_file(folder: StateFolder, config: Config) -> Iterator[Finding]:
    """Where the configuration is, and who else may read it if an engine's key stands in it."""
    file = folder.config_file
    if not file.exists():
        yield Finding(
            "configuration",
            Level.NOTE,
            f"{file} is not there: every setting has its default",
            fix=f"wwwserve init {make_command_end(folder)} writes one that explains all of them",
        )
        return
    yield Finding("configuration", Level.OK, str(file))
    if any(engine.api_key for engine in config.engines):
        yield _check_private(
            file, file.name, "an engine's key stands in it (api_key_env would keep it out)"
        )


def _check_node_key(folder: StateFolder) -> Finding:
    if not folder.node_key_file.exists():
        return Finding(
            "node key",
            Level.ERROR,
            f"{folder.node_key_file} is not there",
            "a node is its key: without one it cannot start",
            f"restore it from a backup, or wwwserve init {make_command_end(folder)}",
        )
    try:
        key = NodeKey.load(folder.node_key_file)
    except BadInput as error:
        why = "whoever has the key is this node, so a doubtful one is not used"
        return Finding("node key", Level.ERROR, error.found, why, error.fix)
    return Finding("node key", Level.OK, f"node {node_prefix(key.node_id)}, for its owner only")


def _check_private(path: Path, check: str, why: str) -> Finding:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    wanted = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
    if status.st_uid != os.geteuid():
        found = f"{path} belongs to user {status.st_uid}, not to user {os.geteuid()}"
        return Finding(check, Level.ERROR, found, why, f"chown {os.geteuid()} {path}")
    if mode & _OTHERS:
        found = f"{path} has mode {mode:04o}: others on this machine can get at it"
        return Finding(check, Level.ERROR, found, why, f"chmod {wanted:o} {path}")
    return Finding(check, Level.OK, f"{path}, for its owner only")
