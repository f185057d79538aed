"""The diaries of simulated nodes, each in a folder that `wwwserve policy` reads as a node's own.

    FOLDER/STRATEGY-SEED/NODE/policy.jsonl

A real node's diary holds a day and so many bytes; these hold their run, however long it is.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from wwwserve.node import StateFolder
from wwwserve.sim import KeepLine
from wwwserve.values.refusals import BadInput

HELD_BYTES_MAX: Final = 64 * 1024
"""Bytes of one node's lines that wait to be written, so that no file stays open."""


def name_run(strategy: str, seed: int) -> str:
    """The folder of one run's diaries."""
    return f"{strategy}-{seed}"


@contextmanager
def open_diaries(folder: Path | None, nodes: Iterable[str]) -> Iterator[KeepLine | None]:
    """Where the lines of these nodes go, to folders of theirs in this one; None = nowhere.

    Diaries that an earlier run left there are replaced. Raises `BadInput` for a node's name that
    can name no folder, and, when the run is over, for a folder that did not take them all.
    """
    if folder is None:
        yield None
        return
    try:
        files = _DiaryFiles(folder, nodes)
    except OSError as error:
        raise _refuse(folder, error) from error
    yield files.keep
    files.flush()
    if files.failure is not None:
        raise _refuse(folder, files.failure) from files.failure


def _refuse(folder: Path, error: OSError) -> BadInput:
    found = f"{folder}: {error.strerror}"
    expected = "a folder that can be written, with room for some 2 kB for each request"
    return BadInput("--diaries", found, expected, "make room there, or name another folder")


class _DiaryFiles:
    """One run's diaries while it is played."""

    def __init__(self, folder: Path, nodes: Iterable[str]) -> None:
        self._held: dict[str, bytearray] = {}
        self._files: dict[str, Path] = {}
        self.failure: OSError | None = None
        """Why nothing is written any more. The run goes on: it is no fault of a peer."""
        for node in nodes:
            if Path(node).name != node or not node.isprintable():
                fix = "rename the node, or leave out --diaries"
                raise BadInput("nodes", node, "a name that a folder can have", fix)
            self._files[node] = file = StateFolder(folder / node).policy_diary_file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")
            self._held[node] = bytearray()

    def keep(self, node: str, line: bytes) -> None:
        """Write the next line of a node's diary, perhaps later."""
        held = self._held[node]
        held += line + b"\n"
        if len(held) >= HELD_BYTES_MAX:
            self._write(node)

    def flush(self) -> None:
        """Write everything."""
        for node in self._held:
            self._write(node)

    def _write(self, node: str) -> None:
        try:
            if self.failure is None:
                with self._files[node].open("ab") as out:
                    out.write(self._held[node])
        except OSError as error:
            self.failure = error
        self._held[node].clear()
