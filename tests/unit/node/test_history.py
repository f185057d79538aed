"""What moved a node's credits is kept, stays short, and survives a crash amid a line."""

from pathlib import Path

import pytest

from wwwserve.core.ledger_facts import Ending, EpochTurned, HoldSettled, Joined, Transferred
from wwwserve.node import StateFolder, history, read_history
from wwwserve.node.history import History
from wwwserve.values.ids import NodeId, node_text
from wwwserve.wire.ledger import Door

OWN, OTHER, THIRD = (NodeId(bytes([number]) * 32) for number in (1, 2, 3))
HOLD = b"\x09" * 32


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path)


@pytest.fixture
def keeper(folder: StateFolder) -> History:
    return History(folder, OWN, lambda: "2025-11-23T10:00:00+00:00")


def test_only_what_concerns_the_account_is_kept(folder: StateFolder, keeper: History) -> None:
    for fact in (
        HoldSettled(HOLD, OWN, OTHER, 30, 10, Ending.CLAIMED),
        HoldSettled(HOLD, OTHER, OWN, 40, 0, Ending.CLAIMED),
        HoldSettled(HOLD, OTHER, THIRD, 50, 0, Ending.CLAIMED),
        Transferred(OWN, THIRD, 7),
        Transferred(THIRD, OWN, 8),
        Joined(OWN, Door.DEV, 200),
        Joined(OTHER, Door.DEV, 200),
        EpochTurned(3),
    ):
        keeper.on_fact(fact)
    entries = read_history(folder, 10)
    assert [(entry.microcredits, entry.peer) for entry in entries] == [
        (-30, node_text(OTHER)),
        (40, node_text(OTHER)),
        (-7, node_text(THIRD)),
        (8, node_text(THIRD)),
        (200, ""),
    ]
    assert entries[0].record == HOLD.hex()
    assert [entry.microcredits for entry in read_history(folder, 2)] == [8, 200]
    assert folder.history_file.stat().st_mode & 0o777 == 0o600


def test_a_line_cut_short_costs_only_itself(folder: StateFolder, keeper: History) -> None:
    keeper.on_fact(Transferred(OTHER, OWN, 1))
    with folder.history_file.open("ab") as file:
        file.write(b'\n{"at":"2025')
    keeper.on_fact(Transferred(OTHER, OWN, 2))
    assert [entry.microcredits for entry in read_history(folder, 10)] == [1, 2]


def test_the_files_stay_short_and_keep_the_newest(
    folder: StateFolder, keeper: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "HISTORY_BYTES_MAX", 2_000)
    for number in range(1, 201):
        keeper.on_fact(Transferred(OTHER, OWN, number))
    assert sum(file.stat().st_size for file in folder.path.iterdir()) < 5_000
    kept = [entry.microcredits for entry in read_history(folder, 1_000)]
    assert kept == list(range(201 - len(kept), 201))
    assert len(kept) >= 10


def test_nothing_moved_yet(folder: StateFolder) -> None:
    assert read_history(folder, 10) == []
