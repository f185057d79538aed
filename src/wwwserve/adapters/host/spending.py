"""What each API key has spent, in a file of one line for each charge.

A line is written in one go and is there as soon as the system has it, so a killed process loses
nothing it charged; a power cut may lose the lines of the last seconds. What ran at that moment and
was not charged yet is lost in both cases: at most the cost of the requests that were open. When the
file has grown long it is written anew with one line for each key and period.
"""

import os
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from wwwserve.ports.keys import BudgetPeriod, KeyRules
from wwwserve.ports.spending import BudgetLeft
from wwwserve.values.credits import MICROCREDITS_MAX

SPENDING_BYTES_MAX: Final = 1024 * 1024
"""A longer file is written anew: some ten thousand charges."""
_OWNER_ONLY: Final = 0o600
_TOTAL: Final = "total"


class _Line(msgspec.Struct, frozen=True):
    """One charge, or the sum of some."""

    key: str
    """`KeyRules.key_id`: a key made anew under an old name begins with nothing spent."""
    period: str
    """`2025-11-23`, `2025-11` or `total`, by UTC."""
    microcredits: int


def _read_utc() -> datetime:
    return datetime.now(UTC)


class FileSpending:
    """`ports.spending.Spending` over one file, written by the node and read by commands."""

    __slots__ = ("_bytes", "_path", "_read_clock", "_spent")

    def __init__(self, path: Path, read_clock: Callable[[], datetime] = _read_utc) -> None:
        """Read what was spent before; lines that a crash cut short are left out."""
        self._path = path
        self._read_clock = read_clock
        self._spent: dict[str, tuple[str, int]] = {}
        """Period and sum by key; of an earlier period nothing is kept."""
        content = path.read_bytes() if path.exists() else b""
        self._bytes = len(content)
        for line in _read_lines(content):
            self._add(line)

    def find_left(self, rules: KeyRules) -> BudgetLeft | None:
        """See `Spending`."""
        if not rules.budget:
            return None
        now = self._read_clock()
        period, spent = self._spent.get(rules.key_id, ("", 0))
        if period != name_period(rules.budget_period, now):
            spent = 0
        renews = find_renewal(rules.budget_period, now)
        if renews is None:
            return BudgetLeft(rules.budget, spent, "", 0)
        wait_s = int((renews - now).total_seconds()) + 1
        return BudgetLeft(rules.budget, spent, renews.strftime("%Y-%m-%d %H:%M UTC"), wait_s)

    def charge(self, rules: KeyRules, microcredits: int) -> None:
        """See `Spending`."""
        if not rules.budget or not microcredits:
            return
        period = name_period(rules.budget_period, self._read_clock())
        line = _Line(rules.key_id, period, microcredits)
        self._add(line)
        if self._bytes > SPENDING_BYTES_MAX:
            self._write_anew()
        else:
            self._bytes += _append(self._path, line)

    def _add(self, line: _Line) -> None:
        period, spent = self._spent.get(line.key, (line.period, 0))
        # Periods of one kind follow each other in the order of their names.
        if line.period != period:
            spent = 0
        self._spent[line.key] = line.period, min(spent + line.microcredits, MICROCREDITS_MAX)

    def _write_anew(self) -> None:
        lines = (_Line(key, period, spent) for key, (period, spent) in self._spent.items())
        content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        draft.replace(self._path)
        # Counted from here, so that many keys do not have it written anew with each charge.
        self._bytes = 0


def name_period(period: BudgetPeriod, now: datetime) -> str:
    """The name of the period that holds now."""
    match period:
        case BudgetPeriod.DAY:
            return now.strftime("%Y-%m-%d")
        case BudgetPeriod.MONTH:
            return now.strftime("%Y-%m")
        case BudgetPeriod.TOTAL:
            return _TOTAL


def find_renewal(period: BudgetPeriod, now: datetime) -> datetime | None:
    """When the next period begins; None: never."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case BudgetPeriod.DAY:
            return midnight + timedelta(days=1)
        case BudgetPeriod.MONTH:
            # No month has 32 days, and two have more than that.
            return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        case BudgetPeriod.TOTAL:
            return None


def _read_lines(content: bytes) -> Iterable[_Line]:
    for text in content.splitlines():
        try:
            yield msgspec.json.decode(text, type=_Line)
        except ValueError:
            continue


def _append(path: Path, line: _Line) -> int:
    # It ends whatever a crash may have cut short before it.
    content = b"\n" + msgspec.json.encode(line)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _OWNER_ONLY)
    try:
        return os.write(descriptor, content)
    finally:
        os.close(descriptor)
