"""The API keys of a node's gateway, in a file that holds only their hashes.

A key is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess, and looking the
hash up takes the same time whatever the presented key shares with a real one.
"""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import msgspec

from wwwserve.ports.keys import BudgetPeriod, KeyRules
from wwwserve.values.refusals import BadInput

KEY_PREFIX: Final = "sk-www-"
KEY_BYTES: Final = 32
KEYS_MAX: Final = 10_000
"""Keys in one file; one more is refused."""
KEY_FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Above it the file is not one of ours, and is not read."""
KEY_LENGTH_MAX: Final = 512
"""Characters of a presented key that are looked at; a longer one is nobody's."""
CHECK_PERIOD_NS: Final = 1_000_000_000
"""How often the file is looked at for changes: a revoked key works this long at most."""
NAME_LENGTH_MAX: Final = 64
KEY_ID_LENGTH: Final = 16
"""Of a hash: enough that no two of a ring's keys share it."""
FILE_FORMAT: Final = 1
_OWNER_ONLY: Final = 0o600


class _StoredKey(msgspec.Struct, frozen=True):
    hash: str
    name: str
    requests_per_minute_max: int = 0
    tokens_per_minute_max: int = 0
    concurrent_max: int = 0
    models: tuple[str, ...] = ()
    priority: int = 0
    objective: str = ""
    budget: int = 0
    budget_period: BudgetPeriod = BudgetPeriod.TOTAL


class _File(msgspec.Struct, frozen=True):
    format: int = FILE_FORMAT
    keys: tuple[_StoredKey, ...] = ()


class FileKeyRing:
    """`ports.keys.KeyRing` over one file, which commands may change while the node runs."""

    __slots__ = ("_by_hash", "_checked_ns", "_is_open", "_path", "_seen")

    def __init__(self, path: Path, *, is_open: bool = False) -> None:
        """Read the file, if there is one. Raises `BadInput` when it cannot be understood.

        `is_open`: serve requests without any key, too.
        """
        self._path = path
        self._is_open = is_open
        self._seen = _look(path)
        self._checked_ns = time.monotonic_ns()
        self._by_hash = _index(_read(path))

    @property
    def count(self) -> int:
        """How many keys there are."""
        return len(self._by_hash)

    def is_open(self) -> bool:
        """See `ports.keys.KeyRing`."""
        return self._is_open

    def set_open(self, *, is_open: bool) -> None:
        """From now on, requests without any key are served, or are not."""
        self._is_open = is_open

    def find(self, key: str) -> KeyRules | None:
        """See `ports.keys.KeyRing`. Notices a changed file within `CHECK_PERIOD_NS`."""
        if len(key) > KEY_LENGTH_MAX:
            return None
        self._reload_changed()
        return self._by_hash.get(_hash(key))

    def add(self, rules: KeyRules) -> str:
        """Make a key with these rules and give it, for the only time.

        Raises `BadInput` when the name is taken or unfit, or there are too many keys.
        """
        with self._lock():
            return self._add(rules)

    def list_rules(self) -> tuple[KeyRules, ...]:
        """The rules of all keys, in the order they were made."""
        return tuple(_index(_read(self._path)).values())

    def revoke(self, name: str) -> None:
        """Make a key worthless. Raises `BadInput` when none has this name."""
        with self._lock():
            keys = _read(self._path)
            kept = tuple(stored for stored in keys if stored.name != name)
            if len(kept) == len(keys):
                fix = "list them with `wwwserve keys list`"
                raise BadInput("key name", name[:NAME_LENGTH_MAX], "the name of a key", fix)
            self._write(kept)

    def _add(self, rules: KeyRules) -> str:
        name = rules.name
        keys = _read(self._path)
        if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
            expected = f"1 to {NAME_LENGTH_MAX} printable characters"
            raise BadInput("key name", name[:NAME_LENGTH_MAX], expected, "for example 'laptop'")
        if any(stored.name == name for stored in keys):
            fix = f"choose another name, or revoke it first: wwwserve keys revoke {name}"
            raise BadInput("key name", name, "a name no key has yet", fix)
        if len(keys) >= KEYS_MAX:
            fix = "revoke keys nobody uses"
            raise BadInput("keys", str(len(keys)), f"at most {KEYS_MAX} keys", fix)
        key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        kept = {name: value for name, value in asdict(rules).items() if name != "key_id"}
        self._write((*keys, _StoredKey(hash=_hash(key), **kept)))
        return key

    def _reload_changed(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._checked_ns < CHECK_PERIOD_NS:
            return
        self._checked_ns = now_ns
        seen = _look(self._path)
        if seen == self._seen:
            return
        try:
            self._by_hash = _index(_read(self._path))
        except BadInput:
            # Keys that were good stay good; the next command on the file says what is wrong.
            return
        self._seen = seen

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other commands from writing between our reading and our writing."""
        lock = self._path.with_name(f".{self._path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, keys: tuple[_StoredKey, ...]) -> None:
        """Replace the file, whole or not at all, readable by its owner only."""
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(_File(keys=keys))) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)
        self._by_hash = _index(keys)
        self._seen = _look(self._path)


def _hash(key: str) -> str:
    # Whatever bytes came in a header must hash, so that a strange key is a wrong one.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _look(path: Path) -> tuple[int, int, int]:
    """What changes when the file is replaced or written; zeros when there is none."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _read(path: Path) -> tuple[_StoredKey, ...]:
    try:
        if path.stat().st_size > KEY_FILE_BYTES_MAX:
            raise _unreadable(path, f"more than {KEY_FILE_BYTES_MAX} bytes")
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unreadable(path, error.strerror or "an unreadable file") from error
    try:
        stored = msgspec.json.decode(content, type=_File)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error
    if stored.format != FILE_FORMAT:
        raise _unreadable(path, f"format {stored.format}")
    return stored.keys


def _unreadable(path: Path, found: str) -> BadInput:
    fix = "restore it from a backup, or move it away and make new keys"
    return BadInput(str(path), found, f"a key file of format {FILE_FORMAT}", fix)


def _index(keys: tuple[_StoredKey, ...]) -> dict[str, KeyRules]:
    return {
        stored.hash: KeyRules(
            name=stored.name,
            requests_per_minute_max=stored.requests_per_minute_max,
            tokens_per_minute_max=stored.tokens_per_minute_max,
            concurrent_max=stored.concurrent_max,
            models=stored.models,
            priority=stored.priority,
            objective=stored.objective,
            budget=stored.budget,
            budget_period=stored.budget_period,
            key_id=stored.hash[:KEY_ID_LENGTH],
        )
        for stored in keys
    }
