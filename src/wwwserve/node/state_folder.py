"""The folder in which one node keeps everything: its key, its configuration, its memory.

    config.toml   what the operator chose
    node.key      who the node is (0600)
    genesis       the first record of its network's ledger, if there is one; no secret
    api_keys.json who may use its gateway: hashes only (0600)
    ask.key       the API key of `wwwserve ask` (0600)
    metrics.token what a scraper of the metrics shows (0600)
    history.jsonl what moved its credits, the last of it (0600)
    policy.jsonl  what its policy decided and counted, of the last day (0600)
    spending.jsonl what each API key has spent (0600)
    state/        what it must remember
    run.json      how commands reach it while it runs (0600)
    lock          held by the one node that uses the folder

The folder is readable by its owner only.
"""

import fcntl
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wwwserve.values.refusals import BadInput

HOME_VARIABLE = "WWWSERVE_HOME"
RUN_FILE_BYTES_MAX = 64 * 1024
TOKEN_BYTES = 32
TOKEN_LENGTH_MAX = 512
"""Characters of a token an operator may have written; a longer one is cut off."""
LOCK_TRIES = 5
"""A command that looks whether a node runs holds the lock for an instant; a node tries again."""
LOCK_RETRY_SECONDS = 0.05
_OWNER_FOLDER = 0o700
_OWNER_FILE = 0o600
_SHOWN_FILE = 0o644


class RunInfo(msgspec.Struct, frozen=True):
    """How to reach the node that runs on a state folder; what `run.json` holds."""

    pid: int
    node: str
    """Its whole printable name."""
    gateway: str
    """`http://host:port`, without `/v1`."""
    admin: str
    admin_token: str
    links: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # The token runs the node; it must not end up in a log by accident.
        return f"RunInfo(pid={self.pid}, node={self.node!r}, admin={self.admin!r})"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Where one node lives on this machine."""

    path: Path

    @property
    def config_file(self) -> Path:
        """What the operator chose."""
        return self.path / "config.toml"

    @property
    def node_key_file(self) -> Path:
        """The node's private key."""
        return self.path / "node.key"

    @property
    def genesis_file(self) -> Path:
        """The first record of the network's ledger, in its one form; absent: nothing is paid."""
        return self.path / "genesis"

    @property
    def history_file(self) -> Path:
        """What moved the node's credits; an older part lies beside it."""
        return self.path / "history.jsonl"

    @property
    def policy_diary_file(self) -> Path:
        """What the policy decided and counted; an older part lies beside it."""
        return self.path / "policy.jsonl"

    @property
    def spending_file(self) -> Path:
        """What each API key has spent of its budget."""
        return self.path / "spending.jsonl"

    @property
    def api_keys_file(self) -> Path:
        """The gateway's keys, hashed."""
        return self.path / "api_keys.json"

    @property
    def ask_key_file(self) -> Path:
        """The API key of the `ask` command."""
        return self.path / "ask.key"

    @property
    def metrics_token_file(self) -> Path:
        """The token of whoever reads the metrics, and may do nothing else."""
        return self.path / "metrics.token"

    @property
    def store_folder(self) -> Path:
        """The durable lanes."""
        return self.path / "state"

    @property
    def run_file(self) -> Path:
        """How to reach the running node."""
        return self.path / "run.json"

    @property
    def lock_file(self) -> Path:
        """Held while a node runs; its text is that node's process id."""
        return self.path / "lock"

    def create(self) -> None:
        """Make the folder if it is not there, readable by its owner only. Raises `BadInput`."""
        try:
            self.path.mkdir(mode=_OWNER_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                field="state folder",
                found=f"{self.path}: {error.strerror}",
                expected="a folder this user may write",
                fix=f"name another one with --home or {HOME_VARIABLE}",
            ) from error

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every other node off this folder; raises `BadInput` naming the one that has it.

        The lock goes with the process, however it ends.
        """
        self.create()
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, _OWNER_FILE)
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        for _ in range(LOCK_TRIES):
            if _try_lock(descriptor, fcntl.LOCK_EX):
                return
            time.sleep(LOCK_RETRY_SECONDS)
        holder = self.lock_file.read_text(encoding="ascii", errors="replace").strip()[:20]
        raise BadInput(
            field="state folder",
            found=f"{self.path}, in use by process {holder or 'unknown'}",
            expected="a folder no other node uses",
            fix="stop that node, or name another folder with --home",
        )

    def is_held(self) -> bool:
        """Whether a node runs on this folder at this moment."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR)
        except OSError:
            return False
        try:
            return not _try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def write_run_info(self, info: RunInfo) -> None:
        """Tell commands how to reach the node, all at once."""
        self.write_private(self.run_file, msgspec.json.encode(info))

    def read_run_info(self) -> RunInfo | None:
        """How to reach the node that runs here, or None if none does.

        What a killed node left behind is not taken for a running one: the lock tells.
        """
        try:
            if self.run_file.stat().st_size > RUN_FILE_BYTES_MAX or not self.is_held():
                return None
            return msgspec.json.decode(self.run_file.read_bytes(), type=RunInfo)
        except (OSError, ValueError):
            return None

    def remove_run_info(self) -> None:
        """Forget how to reach the node: it is stopping."""
        self.run_file.unlink(missing_ok=True)

    def get_metrics_token(self) -> str:
        """The scraper's token, made if there is none yet: a scraper's settings outlive a node."""
        file = self.metrics_token_file
        if file.exists():
            text = file.read_text(encoding="ascii", errors="replace")[:TOKEN_LENGTH_MAX].strip()
            if text:
                return text
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self.write_private(file, f"{token}\n".encode())
        return token

    def write_private(self, path: Path, content: bytes) -> None:
        """Write a file of this folder for its owner only; it is there whole, or as it was."""
        self._write(path, content, _OWNER_FILE)

    def write_shown(self, path: Path, content: bytes) -> None:
        """The same for a file that is no secret."""
        self._write(path, content, _SHOWN_FILE)

    def _write(self, path: Path, content: bytes, mode: int) -> None:
        draft = path.with_name(f"{path.name}.draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def find_state_folder(home: Path | None, environ: Mapping[str, str]) -> StateFolder:
    """The folder to use: `--home`, else `WWWSERVE_HOME`, else the platform's data folder."""
    if home is not None:
        return StateFolder(home.expanduser().absolute())
    if named := environ.get(HOME_VARIABLE):
        return StateFolder(Path(named).expanduser().absolute())
    return StateFolder(_find_data_folder(environ) / "wwwserve")


def _find_data_folder(environ: Mapping[str, str]) -> Path:
    if named := environ.get("XDG_DATA_HOME"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path.home() / ".local" / "share"
