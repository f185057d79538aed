"""Every store keeps its promises: whole writes, in order, each lane alone, there after a restart.

One suite runs on every implementation; a store is "restarted" by making a second one over what the
first left behind. What only a disk can do (fail, be killed) follows for the file store: the kill
test runs a real process and ends it with `kill -9` in the middle of its writing.
"""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from wwwserve.adapters.storage import MemoryStore, SqliteStore
from wwwserve.adapters.storage.sqlite import PROMPT_COMMITS_MAX
from wwwserve.core.lanes import Lane
from wwwserve.ports.store import Store, StoreFailed

Restart = Callable[[], MemoryStore | SqliteStore]

KILLED_AFTER_WRITES = 200
WRITING_PROCESS = """
import asyncio, sys
from pathlib import Path
from wwwserve.adapters.storage import SqliteStore
from wwwserve.core.lanes import Lane

async def write_for_ever():
    store = SqliteStore(Path(sys.argv[1]))
    room = asyncio.Semaphore(64)
    def acknowledge(number):
        print(number, flush=True)
        room.release()
    for number in range(10**9):
        await room.acquire()
        key = number.to_bytes(8, "big")
        changes = {key: b"value", b"twin" + key: b"value"}
        store.write(Lane[sys.argv[2]], changes, lambda failed, number=number: acknowledge(number))

asyncio.run(write_for_ever())
"""


@pytest.fixture(params=["memory", "sqlite"])
def restart(request: pytest.FixtureRequest, tmp_path: Path) -> Restart:
    if request.param == "sqlite":
        return lambda: SqliteStore(tmp_path / "state")
    lanes: dict[Lane, dict[bytes, bytes]] = {}
    return lambda: MemoryStore(lanes)


async def write(store: Store, lane: Lane, changes: Mapping[bytes, bytes | None]) -> None:
    """Write and wait until it is durable; raises what the store reports."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_durable(failed: StoreFailed | None) -> None:
        if failed is None:
            done.set_result(None)
        else:
            done.set_exception(failed)

    store.write(lane, changes, on_durable)
    await done


async def test_a_new_store_is_empty(restart: Restart) -> None:
    store = restart()
    assert not any(store.read(lane) for lane in Lane)
    await store.close()


@pytest.mark.parametrize("lane", list(Lane))
async def test_what_was_acknowledged_is_there_after_a_restart(restart: Restart, lane: Lane) -> None:
    store = restart()
    await write(store, lane, {b"a": b"1", b"b": b"", bytes(range(256)): b"\0\xff" * 5_000})
    await write(store, lane, {b"a": b"2", b"b": None, b"never there": None})
    await store.close()
    again = restart()
    assert again.read(lane) == {b"a": b"2", bytes(range(256)): b"\0\xff" * 5_000}
    await again.close()


async def test_a_part_of_a_lane_is_read_in_the_order_of_its_keys(restart: Restart) -> None:
    store = restart()
    keys = [b"a", b"b\0", b"b\0\1", b"b\xff", b"b", b"c"]
    await write(store, Lane.CHAIN, {key: b"value " + key for key in keys})
    await write(store, Lane.CHAIN, {b"b\0": None})
    found = store.read_range(Lane.CHAIN, b"b", b"c", 10)
    assert found == [(key, b"value " + key) for key in (b"b", b"b\0\1", b"b\xff")]
    assert store.read_range(Lane.CHAIN, b"b", b"c", 2) == found[:2]
    assert store.read_range(Lane.CHAIN, b"b\0", b"b\xff", 2) == found[1:2]
    assert store.read_range(Lane.FEED, b"", b"\xff", 2) == []
    await store.close()


async def test_lanes_are_separate(restart: Restart) -> None:
    store = restart()
    await write(store, Lane.BOOK, {b"key": b"book"})
    await write(store, Lane.VOTES, {b"key": b"votes"})
    await write(store, Lane.BOOK, {b"key": None})
    assert store.read(Lane.BOOK) == {}
    assert store.read(Lane.VOTES) == {b"key": b"votes"}
    await store.close()


async def test_writes_happen_and_are_acknowledged_in_order(restart: Restart) -> None:
    store = restart()
    acknowledged: list[int] = []
    for number in range(2_000):
        value = None if number % 3 == 2 else str(number).encode()
        store.write(
            Lane.BOOK,
            {b"same": value, str(number).encode(): b""},
            lambda _failed, number=number: acknowledged.append(number),  # type: ignore[misc]
        )
    await store.close()
    assert acknowledged == list(range(2_000))
    values = restart().read(Lane.BOOK)
    assert values[b"same"] == b"1999"
    assert len(values) == 2_001


async def test_closing_waits_for_what_was_begun_and_refuses_the_rest(restart: Restart) -> None:
    store = restart()
    told: list[StoreFailed | None] = []
    store.write(Lane.BOOK, {b"key": b"value"}, told.append)
    await store.close()
    assert told == [None]
    with pytest.raises(StoreFailed, match="closed"):
        await write(store, Lane.BOOK, {b"late": b"value"})
    assert restart().read(Lane.BOOK) == {b"key": b"value"}
    await store.close()


async def test_a_disk_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.write_text("a file where the folder should be")
    store = SqliteStore(place)
    with pytest.raises(StoreFailed, match="state"):
        store.read(Lane.BOOK)
    for _ in range(2):
        with pytest.raises(StoreFailed, match="state"):
            await write(store, Lane.BOOK, {b"key": b"value"})
    await store.close()


async def test_only_its_owner_can_read_what_is_on_disk(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state")
    await write(store, Lane.OPERATOR, {b"key": b"value"})
    files = sorted((tmp_path / "state").iterdir())
    assert [file.name for file in files] == [
        f"operator.sqlite{end}" for end in ("", "-shm", "-wal")
    ]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
    await store.close()


async def test_nothing_is_written_after_a_failure(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await write(store, Lane.BOOK, {b"before": b"1"})
    with closing(sqlite3.connect(tmp_path / "book.sqlite")) as connection:
        connection.execute("ALTER TABLE entries RENAME TO gone")
    for key in (b"during", b"after"):
        with pytest.raises(StoreFailed, match="entries"):
            await write(store, Lane.BOOK, {key: b"1"})
    await store.close()
    with closing(sqlite3.connect(tmp_path / "book.sqlite")) as connection:
        assert connection.execute("SELECT key FROM gone").fetchall() == [(b"before",)]


async def test_what_gathers_beside_the_feed_lane_is_moved_into_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    for number in range(3 * PROMPT_COMMITS_MAX):
        await write(store, Lane.FEED, {b"same": b"%d" % number})
    gathered = (tmp_path / "feed.sqlite-wal").stat().st_size
    assert gathered < 2 * PROMPT_COMMITS_MAX * 4_200, "a page or two for each commit of one turn"
    await store.close()
    assert SqliteStore(tmp_path).read(Lane.FEED) == {b"same": b"%d" % (3 * PROMPT_COMMITS_MAX - 1)}


async def test_nobody_waits_in_the_event_loop_for_a_file_that_another_holds(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await write(store, Lane.FEED, {b"first": b"1"})
    told: list[StoreFailed | None] = []
    with closing(sqlite3.connect(tmp_path / "feed.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.write(Lane.FEED, {b"second": b"2"}, told.append)
        store.write(Lane.FEED, {b"third": b"3"}, told.append)
        await asyncio.sleep(0)
        assert not told
        other.execute("COMMIT")
    await store.close()
    assert told == [None, None]
    assert SqliteStore(tmp_path).read(Lane.FEED).keys() == {b"first", b"second", b"third"}


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"\0" * 8_192])
async def test_a_damaged_file_is_reported_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "book.sqlite"
    file.write_bytes(content)
    store = SqliteStore(tmp_path)
    with pytest.raises(StoreFailed, match=r"book\.sqlite"):
        store.read(Lane.BOOK)
    await store.close()
    assert file.read_bytes() == content


async def test_a_file_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "book.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreFailed, match="format 99"):
        SqliteStore(tmp_path).read(Lane.BOOK)


@pytest.mark.slow
@pytest.mark.parametrize("lane", [Lane.BOOK, Lane.FEED, Lane.CHAIN])
def test_kill_9_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path, lane: Lane) -> None:
    command = [sys.executable, "-c", WRITING_PROCESS, str(tmp_path), lane.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(KILLED_AFTER_WRITES)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    values = SqliteStore(tmp_path).read(lane)
    numbers = sorted(int.from_bytes(key, "big") for key in values if not key.startswith(b"twin"))
    assert acknowledged == list(range(len(acknowledged)))
    assert numbers == list(range(len(numbers))), "writes survive in order, without a gap"
    assert len(numbers) >= len(acknowledged)
    assert len(values) == 2 * len(numbers), "each write is there whole"
