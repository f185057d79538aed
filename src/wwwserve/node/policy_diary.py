"""What this node's policy decided and counted, as lines of a file that stays short.

    policy.jsonl, policy.1.jsonl     JSON, one record a line (`core.policy.Record`), the newer first

Both together hold a day, or as much of it as `DIARY_BYTES_MAX` has room for; the day's counts are
carried over whatever is dropped. What is taken, may be spent or is set aside is with the system
before the event loop turns to anything new, so a killed process loses none of it, and a power cut
the last seconds. It is not written within the event itself, for whose effects a user waits. Other
records wait for it, or for a moment: what is over counts until then as the most it may have come
to.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from wwwserve.core.deciding import (
    IncomeSetAside,
    PolicyInForce,
    PolicyMemory,
    RequestDecided,
    SpendingCounted,
    StakeDecided,
    UseCounted,
)
from wwwserve.core.policy import (
    Carried,
    InForce,
    Life,
    Record,
    Remembered,
    SetAside,
    Spent,
    Used,
    encode_record,
    make_record,
    read_record,
)
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.node.state_folder import StateFolder
from wwwserve.ports.clock import Clock
from wwwserve.values.limits import MIB
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

DIARY_BYTES_MAX: Final = 64 * MIB
"""Bytes of both files, some hundred thousand decisions; of more, the older half is dropped."""
DIARY_FILE_US: Final = 24 * 3600 * SECOND
"""How long one file is written; the other holds as long a time before it."""
HELD_BYTES_MAX: Final = 64 * 1024
"""Bytes of decisions that wait to be written."""
HELD_S: Final = 0.2
"""How long they may wait."""
LINE_BYTES_MAX: Final = DIARY_BYTES_MAX // 2
"""A longer line is none of a diary's. The longest carries a day: some 100 bytes for each sixtieth
of it and each node that is told apart, so less than 25 MiB."""
DIARY_FACTS: Final = (
    RequestDecided,
    UseCounted,
    SpendingCounted,
    PolicyInForce,
    StakeDecided,
    IncomeSetAside,
)
"""The kinds of facts that become records."""
_OWNER_FILE = 0o600
_DECIDED = b'{"type":"decided"'


class PolicyDiary:
    """One node's diary; give it every fact of `DIARY_FACTS` once it has begun."""

    def __init__(self, folder: StateFolder, clock: Clock, read_wall_us: Callable[[], int]) -> None:
        self._file = folder.policy_diary_file
        self._clock = clock
        self._read_wall_us = read_wall_us
        self._remembered = Remembered()
        self._settings = PolicySettings()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._timer: asyncio.Handle | None = None
        self._is_hurried = False
        """Whether the timer rings as soon as this event is done."""
        self._out: BinaryIO | None = None
        self._file_from = 0
        """When the file that is written was begun, by this process's clock."""

    def begin(self, settings: PolicySettings) -> PolicyMemory:
        """A process begins with these settings; the answer is what its policy is to remember."""
        for record in read_records(self._file, is_counting_only=True):
            self._remembered.read(record)
        self._settings = settings
        self._file_from = self._clock.now()
        life = Life(self._clock.now(), self._read_wall_us())
        self._write(life)
        self._write(InForce(life.at, settings))
        self._flush()
        remembered = self._remembered
        return PolicyMemory(
            remembered.list_use(),
            remembered.list_spending(),
            remembered.set_aside,
            remembered.orders,
        )

    def on_fact(self, fact: object) -> None:
        """Write a record, if the fact is the policy's."""
        record = make_record(fact)
        if record is None:
            return
        if isinstance(record, InForce):
            self._settings = record.settings
        self._write(record, is_urgent=_is_urgent(record))

    def close(self) -> None:
        """Nothing is told any more."""
        self._flush()
        self._close_file()

    def _write(self, record: Record, *, is_urgent: bool = False) -> None:
        self._remembered.read(record)
        line = encode_record(record)
        self._held.append(line)
        self._held_bytes += len(line)
        if self._held_bytes >= HELD_BYTES_MAX:
            self._flush()
        elif is_urgent and not self._is_hurried:
            self._cancel()
            self._timer = asyncio.get_running_loop().call_soon(self._flush)
            self._is_hurried = True
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HELD_S, self._flush)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._is_hurried = None, False

    def _flush(self) -> None:
        self._cancel()
        if not self._held:
            return
        # The first line ends whatever a crash may have cut short before it.
        content = b"\n" + b"\n".join(self._held)
        self._held, self._held_bytes = [], 0
        try:
            self._append(content)
        except OSError:
            # A full disk stops the node by way of its lanes, and what is in memory counts on.
            return

    def _append(self, content: bytes) -> None:
        if self._out is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._out = os.fdopen(os.open(self._file, flags, _OWNER_FILE), "ab", buffering=0)
        self._out.write(content)
        is_old = self._clock.now() - self._file_from >= DIARY_FILE_US
        if self._out.tell() >= DIARY_BYTES_MAX // 2 or is_old:
            self._turn_the_page()

    def _close_file(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None

    def _turn_the_page(self) -> None:
        """Go on in a new file that knows what is counted, whatever becomes of the older one."""
        life = self._remembered.life
        assert life is not None, "a diary begins with a life"
        now = self._clock.now()
        self._close_file()
        self._file.replace(get_older(self._file))
        self._file_from = now
        remembered = self._remembered
        carried = Carried(
            life,
            remembered.list_use(),
            remembered.list_spending(),
            remembered.set_aside,
            remembered.orders,
        )
        in_force = InForce(now, self._settings)
        self._append(b"\n".join((b"", encode_record(carried), encode_record(in_force))))


def _is_urgent(record: Record) -> bool:
    """Whether something counts from now on that a killed process must not forget."""
    match record:
        case Used(counted):
            return not counted.is_over
        case Spent(is_over=is_over):
            return not is_over
        case SetAside():
            return True
        case _:
            return False


def read_diary(
    folder: StateFolder, on_unread: Callable[[bytes], None] = lambda _line: None
) -> Iterator[Record]:
    """All records of a node's diary, the oldest first. Raises `BadInput` if it has none."""
    if not folder.policy_diary_file.exists():
        raise BadInput(
            field=str(folder.policy_diary_file),
            found="no diary",
            expected="one, which a node writes while it runs, and a simulated one if asked",
            fix=f"run the node first: wwwserve up --home {folder.path}; "
            "of a simulated one, name DIR/STRATEGY-SEED/NODE",
        )
    return read_records(folder.policy_diary_file, on_unread=on_unread)


def read_records(
    file: Path,
    *,
    is_counting_only: bool = False,
    on_unread: Callable[[bytes], None] = lambda _line: None,
) -> Iterator[Record]:
    """The records in a file and the one before it; a line that is none is told to `on_unread`.

    `is_counting_only` leaves out decisions, of which there are most.
    """
    for each in (get_older(file), file):
        if not each.exists():
            continue
        with each.open("rb") as lines:
            while line := lines.readline(LINE_BYTES_MAX):
                # What is written begins with an end of line, so there are empty ones.
                if line == b"\n" or (is_counting_only and line.startswith(_DECIDED)):
                    continue
                try:
                    record = read_record(line)
                except ValueError:
                    on_unread(line)  # A crash cut it short.
                else:
                    yield record


def get_older(file: Path) -> Path:
    """Where the part before a file is kept."""
    return file.with_name("policy.1.jsonl")
