"""What moved a node's credits, as one line each in a file that stays short.

    history.jsonl, history.1.jsonl    JSON, one entry a line, the newer file first

The log of the ledger holds everything; this is the operator's short memory of it. A line is there
once the system has it: a killed process loses none, a power cut may lose the last second.
"""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from wwwserve.core.ledger_facts import (
    Fined,
    HoldSettled,
    Joined,
    OpRefused,
    StakeChanged,
    Transferred,
    Unbonded,
)
from wwwserve.node.state_folder import StateFolder
from wwwserve.values.ids import NodeId, node_text

HISTORY_BYTES_MAX = 1024 * 1024
"""Bytes of one file, some five thousand entries; then it becomes the older one of two."""
_OWNER_FILE = 0o600


class HistoryEntry(msgspec.Struct, frozen=True):
    """One line."""

    at: str
    """ISO 8601, by this machine's calendar."""
    what: str
    microcredits: int
    """What it changed for this node; 0 where nothing changed hands."""
    peer: str = ""
    """Whole name of the other side, if there is one."""
    record: str = ""
    """Id of the hold or feed block, hexadecimal: `wwwserve ledger show` finds it."""


class History:
    """Writes the history of one account; give it every fact."""

    def __init__(self, folder: StateFolder, own: NodeId, read_clock: Callable[[], str]) -> None:
        """`read_clock` gives the calendar's moment as ISO 8601."""
        self._file = folder.history_file
        self._own = own
        self._read_clock = read_clock

    def on_fact(self, fact: object) -> None:
        """Write a line, if the fact is about this account's credits."""
        entry = self._make_entry(fact)
        if entry is not None:
            self._append(entry)

    def _make_entry(self, fact: object) -> HistoryEntry | None:
        match fact:
            case HoldSettled():
                return self._make_hold_entry(fact)
            case Transferred(source, target, amount) if self._own in (source, target):
                is_out = source == self._own
                peer = target if is_out else source
                what = "sent" if is_out else "received"
                return self._entry(what, -amount if is_out else amount, peer)
            case Joined(account, door, granted) if account == self._own:
                return self._entry(f"came in by door {door.name.lower()}", granted)
            case StakeChanged(account, seats) if account == self._own:
                return self._entry(f"stake is now {seats} {'seat' if seats == 1 else 'seats'}", 0)
            case Unbonded(account, amount) if account == self._own:
                return self._entry("stake came free", amount)
            case Fined(account, _, taken, _) if account == self._own:
                return self._entry("fined for two words at one number", -taken)
            case OpRefused(feed_id, _, rule, _):
                return self._entry(f"refused by the ledger: {rule}", 0, record=feed_id)
            case _:
                return None

    def _make_hold_entry(self, fact: HoldSettled) -> HistoryEntry | None:
        if fact.payer == self._own:
            return self._entry("paid for a request", -fact.paid, fact.payee, fact.hold_id)
        if fact.payee == self._own:
            return self._entry("earned with a request", fact.paid, fact.payer, fact.hold_id)
        return None

    def _entry(
        self, what: str, microcredits: int, peer: NodeId | None = None, record: bytes = b""
    ) -> HistoryEntry:
        name = node_text(peer) if peer is not None else ""
        return HistoryEntry(self._read_clock(), what, microcredits, name, record.hex())

    def _append(self, entry: HistoryEntry) -> None:
        try:
            if self._file.exists() and self._file.stat().st_size >= HISTORY_BYTES_MAX:
                self._file.replace(_get_older(self._file))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            descriptor = os.open(self._file, flags, _OWNER_FILE)
            with os.fdopen(descriptor, "ab") as file:
                # It ends whatever a crash may have cut short before it.
                file.write(b"\n" + msgspec.json.encode(entry))
        except OSError:
            # The log has it all the same, and a full disk stops the node by way of its lanes.
            return


def read_calendar() -> str:
    """This machine's moment, with its zone."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def read_history(folder: StateFolder, last: int) -> list[HistoryEntry]:
    """The last so many entries, the newest last; a line that a crash cut short is left out."""
    entries: deque[HistoryEntry] = deque(maxlen=last)
    for file in (_get_older(folder.history_file), folder.history_file):
        if not file.exists():
            continue
        for line in file.read_bytes()[: 2 * HISTORY_BYTES_MAX].splitlines():
            # The first line is empty, and one that a crash cut short is no JSON.
            with suppress(ValueError):
                entries.append(msgspec.json.decode(line, type=HistoryEntry))
    return list(entries)


def _get_older(file: Path) -> Path:
    return file.with_name("history.1.jsonl")
