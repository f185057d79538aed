"""A disk that cannot be written, few files and a wrong clock are found out, each with what to do.

Folders and files are real; limits are those of this process, lowered for the test.
"""

import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.node.doctor.subjects import get_bad, get_one, make_info, make_subject
from wwwserve.node import Level
from wwwserve.node.doctor import machine
from wwwserve.node.doctor.machine import check_clock, check_disk, check_open_files


@pytest.fixture
def few_files() -> Iterator[None]:
    """A limit of 256 open files, as on macOS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_disk_with_room_is_good(tmp_path: Path) -> None:
    finding = get_one(check_disk(make_subject(tmp_path)), "disk")
    assert finding.found.endswith("MB free")


@pytest.mark.parametrize(
    ("bound", "level"),
    [("DISK_FREE_BYTES_LOW", Level.WARNING), ("DISK_FREE_BYTES_MIN", Level.ERROR)],
)
def test_a_disk_that_is_nearly_full_is_found_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, level: Level
) -> None:
    monkeypatch.setattr(machine, "DISK_FREE_BYTES_LOW", 1 << 60)
    monkeypatch.setattr(machine, bound, 1 << 60)
    finding = get_one(check_disk(make_subject(tmp_path)), "disk")
    assert finding.level is level
    assert "df -h" in finding.fix


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow: as on a full disk, and for the superuser, too.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        (finding,) = get_bad(check_disk(subject))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (finding.check, finding.level) == ("store", Level.ERROR)
    assert str(subject.folder.path) in finding.fix


def test_a_store_of_a_newer_version_is_an_error(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    folder = subject.folder.store_folder
    folder.mkdir()
    assert not get_bad(check_disk(subject)), "an empty one is a new one"
    (folder / "operator.sqlite").touch()
    assert not get_bad(check_disk(subject))
    assert [file.name for file in folder.iterdir()] == ["operator.sqlite"], "nothing is left behind"
    with closing(sqlite3.connect(folder / "book.sqlite")) as lane:
        lane.execute("PRAGMA user_version = 99")
    (finding,) = get_bad(check_disk(subject))
    assert "format 99" in finding.found
    assert "backup" in finding.fix


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    before = sorted(subject.folder.path.iterdir())
    list(check_disk(subject))
    assert sorted(subject.folder.path.iterdir()) == before


def test_few_files_are_few_requests(tmp_path: Path, few_files: None) -> None:
    (finding,) = check_open_files(make_subject(tmp_path))
    assert finding.level is Level.WARNING
    assert "256 for this shell" in finding.found
    assert "ulimit -n" in finding.fix


def test_the_limit_is_the_running_nodes_own(tmp_path: Path) -> None:
    subject = make_subject(tmp_path, info=make_info(pid=os.getpid()))
    (finding,) = check_open_files(subject)
    assert "for the running node" in finding.found


def test_a_clock_that_went_back_is_noticed(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    (finding,) = check_clock(subject)
    assert finding.level in (Level.OK, Level.NOTE), "whatever this machine says of itself"
    ahead = time.time() + 3_600
    os.utime(subject.folder.node_key_file, (ahead, ahead))
    (finding,) = check_clock(subject)
    assert finding.level is Level.WARNING
    assert "gone back" in finding.found
