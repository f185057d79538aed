"""Export files of the ledger: records one after the other, each behind its length.

The file begins with a line that says what it is. Then come records, each behind 4 bytes of length
(big-endian): the genesis, every block, and an end that names the digest of all bytes before it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from wwwserve.ports.store import StoreFailed
from wwwserve.values.refusals import Refusal
from wwwserve.wire.chain import CHAIN_RECORD_BYTES_MAX

FIRST_LINE: Final = b"wwwserve ledger export 1\n"
LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class ExportedRecord:
    """One record of an export."""

    data: bytes
    digest: bytes
    """SHA-256 of all bytes before it, its length not counted."""
    is_last: bool


def write_export(path: Path, records: Iterable[bytes], make_end: Callable[[bytes], bytes]) -> None:
    """Write an export, whole or not at all; `make_end` gives the end for a digest.

    Raises `StoreFailed`.
    """
    draft = path.with_name(f"{path.name}.draft")
    try:
        with draft.open("wb") as file:
            digest = hashlib.sha256()
            for part in _frame(FIRST_LINE, records):
                digest.update(part)
                file.write(part)
            end = make_end(digest.digest())
            file.write(len(end).to_bytes(LENGTH_BYTES, "big") + end)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def read_export(path: Path) -> Iterator[ExportedRecord]:
    """The records of an export, in order. Raises `StoreFailed`, and `Refusal` if it is none."""
    try:
        with path.open("rb") as file:
            yield from _read(file, path.stat().st_size)
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}") from error


def _frame(first: bytes, records: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    for record in records:
        yield len(record).to_bytes(LENGTH_BYTES, "big") + record


def _read(file: BinaryIO, size: int) -> Iterator[ExportedRecord]:
    line = file.read(len(FIRST_LINE))
    if line != FIRST_LINE:
        raise Refusal("export-format", f"it does not begin with {FIRST_LINE.decode().strip()!r}")
    digest = hashlib.sha256(line)
    place = len(line)
    while place < size:
        head = file.read(LENGTH_BYTES)
        length = int.from_bytes(head, "big")
        if length > CHAIN_RECORD_BYTES_MAX:
            raise Refusal("export-length", f"a record of {length} bytes")
        data = file.read(length)
        place += len(head) + length
        if len(head) < LENGTH_BYTES or len(data) < length:
            raise Refusal("export-cut", "the file ends within a record")
        yield ExportedRecord(data, digest.digest(), is_last=place == size)
        digest.update(head + data)
