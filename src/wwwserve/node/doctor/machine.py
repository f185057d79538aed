"""The machine under the node: its disk, how many files it may open, and its clock."""

import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from wwwserve.adapters.host import ClockState, read_clock_state
from wwwserve.adapters.storage import SqliteStore
from wwwserve.core.lanes import Lane
from wwwserve.node.doctor.subject import Subject
from wwwserve.node.findings import Finding, Level
from wwwserve.ports.store import StoreFailed
from wwwserve.values.limits import HANDSHAKES_MAX, LINKS_MAX, MIB

DISK_FREE_BYTES_LOW = 256 * MIB
"""Below it a disk may be full before anybody looks; the node itself needs a few MB."""
DISK_FREE_BYTES_MIN = 16 * MIB
"""Below it a write may fail at any moment, which stops the node."""
FILES_OF_ITS_OWN = 64
"""Files and sockets a node needs for itself: disk, listening, reading engines, log."""
FILES_PER_REQUEST = 2
"""One connection from the user, one to the engine."""
REQUESTS_LOW = 256
"""Requests at once below which the limit of files is worth a word."""
CLOCK_BEHIND_S = 60
"""A file written so far ahead of now was written by a clock that differs from this one."""
_LIMITS_LINE = "Max open files"


def check_disk(subject: Subject) -> Iterator[Finding]:
    """Whether what must be remembered can be written and read."""
    folder = subject.folder
    if not folder.path.is_dir():
        return
    free = shutil.disk_usage(folder.path).free
    if free < DISK_FREE_BYTES_LOW:
        yield Finding(
            "disk",
            Level.ERROR if free < DISK_FREE_BYTES_MIN else Level.WARNING,
            f"{free // MIB} MB free where {folder.path} is",
            "a node that cannot write what it must remember stops",
            f"free some, or move the folder: df -h {folder.path}",
        )
    else:
        yield Finding("disk", Level.OK, f"{free // MIB:,} MB free")
    yield from _check_writing(folder.store_folder if folder.store_folder.is_dir() else folder.path)
    if folder.store_folder.is_dir():
        yield from _check_reading(folder.store_folder)


def check_open_files(subject: Subject) -> Iterator[Finding]:
    """Whether the limit of open files leaves room for links and requests."""
    limit = _read_limit(subject)
    if limit is None:
        yield Finding("open files", Level.OK, "no limit")
        return
    rest = limit - LINKS_MAX - HANDSHAKES_MAX - FILES_OF_ITS_OWN
    requests = max(rest // FILES_PER_REQUEST, 0)
    whose = "the running node" if subject.info else "this shell"
    found = f"{limit:,} for {whose}: {LINKS_MAX} links and about {requests:,} requests at once"
    if requests >= REQUESTS_LOW:
        yield Finding("open files", Level.OK, found)
        return
    yield Finding(
        "open files",
        Level.WARNING,
        found,
        "above it connections are refused",
        "ulimit -n 8192 before wwwserve up (systemd: LimitNOFILE=8192)",
    )


def check_clock(subject: Subject) -> Iterator[Finding]:
    """Whether the system's clock is kept right, as far as the system tells."""
    why = "a policy's hours and the times in logs go by it; nothing else does"
    ahead_s = _compute_ahead_s(subject.folder.node_key_file)
    if ahead_s > CLOCK_BEHIND_S:
        found = f"the node's key was made {ahead_s} s from now: the clock has gone back"
        yield Finding("clock", Level.WARNING, found, why, "set it: timedatectl set-ntp true")
        return
    match read_clock_state():
        case ClockState.KEPT:
            yield Finding("clock", Level.OK, "kept right by a time server")
        case ClockState.FREE:
            fix = "timedatectl set-ntp true, or chronyd"
            yield Finding("clock", Level.NOTE, "nothing keeps it right, or tells so", why, fix)
        case ClockState.UNKNOWN:
            found = "not checked: this system does not tell whether a time server keeps it"
            yield Finding("clock", Level.NOTE, found, why, "compare `date -u` with another clock")


def _compute_ahead_s(file: Path) -> int:
    """How far in the future a file was written, by the clock as it is now."""
    return round(file.stat().st_mtime - time.time()) if file.exists() else 0


def _check_writing(folder: Path) -> Iterator[Finding]:
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"x")
            trial.flush()
    except OSError as error:
        yield Finding(
            "store",
            Level.ERROR,
            f"{folder} cannot be written: {error.strerror}",
            "a node that cannot write what it must remember stops",
            f"ls -ld {folder}; mount | grep {folder.anchor}",
        )


def _check_reading(folder: Path) -> Iterator[Finding]:
    store = SqliteStore(folder)
    if not store.has_lane(Lane.BOOK):
        return  # To read it would make it.
    try:
        entries = store.read(Lane.BOOK)
    except StoreFailed as error:
        yield Finding(
            "store",
            Level.ERROR,
            str(error),
            "the node does not start without what it remembers",
            f"restore {folder} from a backup, or move it away: it then meets others anew",
        )
    else:
        yield Finding("store", Level.OK, f"{len(entries)} entries in the address book")


def _read_limit(subject: Subject) -> int | None:
    """The running node's limit where the system tells it, else this process's; None: no limit."""
    if subject.info is not None:
        try:
            text = Path(f"/proc/{subject.info.pid}/limits").read_text(encoding="ascii")
        except OSError:
            text = ""
        for line in text.splitlines():
            if line.startswith(_LIMITS_LINE):
                soft = line.removeprefix(_LIMITS_LINE).split()[0]
                return int(soft) if soft.isdecimal() else None
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft_limit == resource.RLIM_INFINITY else soft_limit
