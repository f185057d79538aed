"""Durable lanes: one SQLite file for each, written by one thread that commits in groups.

A commit costs the same for one write as for a hundred, so the writer takes whatever has gathered
since its last commit. Each lane has its own file and thread: a slow lane delays no other. Files are
in write-ahead mode. `NORMAL` survives the death of the process at any instant, `FULL` also the loss
of power (sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous).

A user waits for each write to the feed lane, and to wake a thread takes longer than the write: it
hands a page or two to the system and waits for no disk. So while that lane's thread has nothing to
do, its caller writes at once. What waits for a disk stays the thread's: to move what has gathered
into the file, and the write after that, which begins the write-ahead log anew and syncs it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread

from wwwserve.core.lanes import Lane
from wwwserve.ports.store import StoreFailed

FORMAT = 1
"""Version of a lane's file; kept in SQLite's `user_version`."""
WRITES_QUEUED_MAX = 8_192
"""Writes waiting for one lane's disk. One more fails: a disk that far behind is as good as dead."""
COMMIT_WRITES_MAX = 512
"""Writes in one commit, so that the first of them does not wait long for the last."""
PROMPT_COMMITS_MAX = 1_000
"""Commits of the feed lane between two moves into its file: some 10 MiB of write-ahead log."""
PROMPT_BYTES_MAX = 64 * 1024
"""A larger write is left to the thread."""
LOCK_WAIT_SECONDS = 5.0
"""How long another process may hold a file (a backup, say) before a write fails."""

_OWNER_FOLDER = 0o700
_OWNER_FILE = 0o600
_SYNCHRONOUS = {
    Lane.BOOK: "NORMAL",
    Lane.OPERATOR: "FULL",
    Lane.FEED: "NORMAL",
    Lane.VOTES: "FULL",
    Lane.CHAIN: "FULL",
}
_PROMPT_LANES = frozenset({Lane.FEED})
_CREATE = "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
_READ = "SELECT key, value FROM entries ORDER BY key"
_READ_RANGE = "SELECT key, value FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_PUT = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_REMOVE = "DELETE FROM entries WHERE key = ?"

OnDurable = Callable[[StoreFailed | None], None]


class SqliteStore:
    """Lanes in the files of one folder. The caller sees to it that no other process writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[Lane, _Writer] = {}
        self._is_closed = False

    def has_lane(self, lane: Lane) -> bool:
        """Whether anything was ever written to a lane; looking leaves nothing behind."""
        return self._find_file(lane).exists()

    def read(self, lane: Lane) -> dict[bytes, bytes]:
        """Everything committed in a lane. Raises `StoreFailed`."""
        path = self._find_file(lane)
        try:
            with closing(_open(path, lane)) as connection:
                return dict(connection.execute(_READ))
        except (sqlite3.Error, OSError) as error:
            raise _describe(path, error) from error

    def read_range(
        self, lane: Lane, first: bytes, last: bytes, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """What is committed in a part of a lane. Raises `StoreFailed`."""
        path = self._find_file(lane)
        try:
            with closing(_open(path, lane)) as connection:
                return list(connection.execute(_READ_RANGE, (first, last, count_max)))
        except (sqlite3.Error, OSError) as error:
            raise _describe(path, error) from error

    def write(
        self, lane: Lane, changes: Mapping[bytes, bytes | None], on_durable: OnDurable
    ) -> None:
        """Queue a write for the lane's thread and return at once."""
        loop = asyncio.get_running_loop()
        if self._is_closed:
            loop.call_soon(on_durable, StoreFailed(f"the {lane.value} lane is closed"))
            return
        writer = self._writers.get(lane)
        if writer is None:
            writer = self._writers[lane] = _Writer(self._find_file(lane), lane)
        writer.put(_Write(tuple(changes.items()), loop, on_durable))

    async def close(self) -> None:
        """Finish every write begun, then free the files. Idempotent."""
        self._is_closed = True
        writers = list(self._writers.values())
        self._writers.clear()
        for writer in writers:
            writer.finish()
        for writer in writers:
            await asyncio.to_thread(writer.wait)
        # The last acknowledgements were handed to the loop before the threads ended.
        await asyncio.sleep(0)

    def _find_file(self, lane: Lane) -> Path:
        return self._folder / f"{lane.value}.sqlite"


@dataclass(frozen=True, slots=True)
class _Write:
    """One write on its way to the disk, and whom to tell."""

    changes: tuple[tuple[bytes, bytes | None], ...]
    loop: asyncio.AbstractEventLoop
    on_durable: OnDurable

    @property
    def is_small(self) -> bool:
        """Whether it is written in no time."""
        return sum(len(value or b"") for _, value in self.changes) <= PROMPT_BYTES_MAX

    def acknowledge(self, failure: StoreFailed | None) -> None:
        """Tell the writer's caller, on its own event loop."""
        # A loop that was closed meanwhile has nobody left to tell.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.on_durable, failure)


class _Writer:
    """The one thread that writes one lane's file, but for what its caller may write itself."""

    def __init__(self, path: Path, lane: Lane) -> None:
        self._path = path
        self._lane = lane
        self._queue: list[_Write] = []
        self._changed = Condition()
        self._is_finishing = False
        self._connection: sqlite3.Connection | None = None
        """The lane's file, for the caller of `put`; None while it is the thread's alone."""
        self._commits = 0
        """Since what had gathered was last moved into the file."""
        self._thread = Thread(target=self._run, name=f"store-{lane.value}", daemon=True)
        self._thread.start()

    def put(self, write: _Write) -> None:
        """Do a write now if that is quick, else queue it; at the bound it fails at once."""
        with self._changed:
            if self._connection is not None and self._is_prompt(write):
                failure = self._commit(self._connection, (write,))
                if failure is None:
                    write.loop.call_soon(write.on_durable, None)
                    return
                # A file that another process holds is waited for by the thread; it finds, and ends
                # with, whatever else is wrong.
            is_full = len(self._queue) >= WRITES_QUEUED_MAX
            if not is_full:
                self._queue.append(write)
                self._changed.notify()
        if is_full:
            write.acknowledge(
                StoreFailed(f"{self._path}: {WRITES_QUEUED_MAX} writes wait for a disk this slow")
            )

    def finish(self) -> None:
        """Let the thread end after what is queued."""
        with self._changed:
            self._is_finishing = True
            self._changed.notify()

    def wait(self) -> None:
        """Return once the thread has ended."""
        self._thread.join()

    def _is_prompt(self, write: _Write) -> bool:
        return not self._queue and self._commits < PROMPT_COMMITS_MAX and write.is_small

    def _run(self) -> None:
        failure: StoreFailed | None = None
        try:
            with closing(_open(self._path, self._lane)) as connection:
                while batch := self._take(connection):
                    failure = self._move_and_commit(connection, batch)
                    for write in batch:
                        write.acknowledge(failure)
                    if failure is not None:
                        break
        except (sqlite3.Error, OSError) as error:
            failure = _describe(self._path, error)
        # After a failure nothing may be written any more: order would be lost.
        while batch := self._take(None):
            for write in batch:
                write.acknowledge(failure)

    def _take(self, connection: sqlite3.Connection | None) -> list[_Write]:
        """Wait for writes; an empty list means that there will be none.

        Meanwhile the caller of `put` may use the connection of a lane that is to be prompt.
        """
        with self._changed:
            if connection is not None and self._lane in _PROMPT_LANES:
                connection.execute("PRAGMA busy_timeout = 0")
                self._connection = connection
            while not self._queue and not self._is_finishing:
                self._changed.wait()
            self._connection = None
            batch = self._queue[:COMMIT_WRITES_MAX]
            del self._queue[:COMMIT_WRITES_MAX]
            return batch

    def _move_and_commit(
        self, connection: sqlite3.Connection, batch: Sequence[_Write]
    ) -> StoreFailed | None:
        """Commit, and before that move what has gathered into the file, where nothing else does."""
        if self._lane in _PROMPT_LANES:
            try:
                connection.execute(f"PRAGMA busy_timeout = {round(LOCK_WAIT_SECONDS * 1_000)}")
                if self._commits >= PROMPT_COMMITS_MAX:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    self._commits = 0
            except sqlite3.Error as error:
                return _describe(self._path, error)
        return self._commit(connection, batch)

    def _commit(
        self, connection: sqlite3.Connection, batch: Sequence[_Write]
    ) -> StoreFailed | None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                for key, value in write.changes:
                    if value is None:
                        connection.execute(_REMOVE, (key,))
                    else:
                        connection.execute(_PUT, (key, value))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return _describe(self._path, error)
        self._commits += 1
        return None


def _open(path: Path, lane: Lane) -> sqlite3.Connection:
    """A connection to a lane's file, which is made if it is not there."""
    path.parent.mkdir(mode=_OWNER_FOLDER, parents=True, exist_ok=True)
    # For its owner only; SQLite gives the files beside it the same mode. One that is there is not
    # opened here: to close it again would end the locks that other connections of ours have on it.
    with suppress(FileExistsError):
        path.touch(mode=_OWNER_FILE, exist_ok=False)
    is_shared = lane in _PROMPT_LANES
    connection = sqlite3.connect(
        path,
        timeout=LOCK_WAIT_SECONDS,
        isolation_level=None,
        # Two threads use it, in turn.
        check_same_thread=not is_shared,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[lane]}")
        if is_shared:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        # On macOS a plain fsync leaves the drive's own cache unwritten; elsewhere: no effect.
        connection.execute(f"PRAGMA fullfsync = {_SYNCHRONOUS[lane] == 'FULL'}")
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table in a new file; refuse a file of a newer format."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == FORMAT:
        return
    if found > FORMAT:
        raise sqlite3.DatabaseError(
            f"format {found}, but this version reads {FORMAT}; use the version that wrote it"
        )
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_CREATE)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _describe(path: Path, error: Exception) -> StoreFailed:
    return StoreFailed(f"{path}: {error}. Free or repair the disk, or restore the file.")
