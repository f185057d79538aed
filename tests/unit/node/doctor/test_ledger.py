"""What stops a node from paying and being paid is found by what it says itself, with what to do."""

from pathlib import Path

import pytest

from tests.unit.node.doctor.subjects import Settings, make_subject
from wwwserve.node import Finding, Level
from wwwserve.node.doctor.ledger import BEHIND_BLOCKS_MAX, LOW_MS, check_ledger
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.wire import Ticket, ticket_text

LEDGER: Settings = {"height": 100, "told_height": 100}
WALLET: Settings = {"is_ready": True, "spendable": 3 * CREDIT}


def look(
    path: Path, *, ledger: Settings | None = None, wallet: Settings | None = None, entry: str = ""
) -> list[Finding]:
    """What is found about a running node's ledger, and about its wallet."""
    status: Settings = {
        "ledger": LEDGER | (ledger or {}),
        "wallet": WALLET | (wallet or {}),
        "entry": entry,
    }
    return list(check_ledger(make_subject(path, status=status)))


def test_a_network_without_a_ledger_has_nothing_to_be_said(tmp_path: Path) -> None:
    assert list(check_ledger(make_subject(tmp_path))) == []
    assert list(check_ledger(make_subject(tmp_path, status={}))) == []


def test_a_node_in_order_is_told_so(tmp_path: Path) -> None:
    ledger, wallet = look(tmp_path)
    assert (ledger.level, wallet.level) == (Level.OK, Level.OK)
    assert "block 100; one sequencer" in ledger.found
    assert wallet.found == "3 cr to spend"


@pytest.mark.parametrize(
    ("ledger", "level", "found", "fix"),
    [
        ({"fork": ("a", "b")}, Level.ERROR, "two histories: a and b", "new network"),
        ({"is_stalled": True}, Level.WARNING, "no block comes after 100", "sequencer runs"),
        (
            {"told_height": 100 + BEHIND_BLOCKS_MAX + 1},
            Level.WARNING,
            f"{BEHIND_BLOCKS_MAX + 1} behind",
            "in a minute",
        ),
        ({"told_height": 100 + BEHIND_BLOCKS_MAX}, Level.OK, "block 100", ""),
    ],
)
def test_a_log_that_does_not_go_on_is_found(
    tmp_path: Path, ledger: Settings, level: Level, found: str, fix: str
) -> None:
    finding, _ = look(tmp_path, ledger=ledger)
    assert finding.level is level
    assert found in finding.found
    assert fix in finding.fix


def test_a_fork_is_said_though_nothing_else_moves_either(tmp_path: Path) -> None:
    finding, _ = look(tmp_path, ledger={"fork": ("a", "b"), "is_stalled": True})
    assert finding.level is Level.ERROR


@pytest.mark.parametrize(
    ("wallet", "level", "found"),
    [
        ({"is_ready": False, "waits_for": "the log"}, Level.WARNING, "cannot sign: the log"),
        ({"is_ready": False}, Level.WARNING, "cannot sign: not yet"),
        ({"spendable": 0}, Level.WARNING, "nothing to spend"),
        ({"forecast_ms": LOW_MS - 1}, Level.NOTE, "3 cr to spend, gone in 23 hours"),
        ({"forecast_ms": LOW_MS}, Level.OK, "3 cr to spend"),
    ],
)
def test_a_wallet_that_cannot_pay_is_found(
    tmp_path: Path, wallet: Settings, level: Level, found: str
) -> None:
    _, finding = look(tmp_path, wallet=wallet)
    assert finding.level is level
    assert found in finding.found
    assert finding.fix or level is Level.OK


def test_a_door_that_is_not_passed_is_told_once_and_not_as_a_wallet_that_waits(
    tmp_path: Path,
) -> None:
    wallet = {"is_ready": False, "waits_for": "an account", "spendable": 0}
    _, finding = look(tmp_path, wallet=wallet, entry="waits for a sponsor")
    assert finding.level is Level.WARNING
    assert "waits for a sponsor" in finding.found
    assert "ledger.door" in finding.fix


def test_a_ledger_that_is_known_by_its_ticket_alone_is_waited_for(tmp_path: Path) -> None:
    ticket = Ticket(1, "main", NodeId(b"\x01" * 32), ("192.0.2.7:8778",), b"\x07" * 32)
    network = {"tickets": [ticket_text(ticket)]}
    stopped = list(check_ledger(make_subject(tmp_path, network=network)))
    assert [finding.level for finding in stopped] == [Level.NOTE]
    assert "no node runs" in stopped[0].found
    (waiting,) = check_ledger(make_subject(tmp_path, status={}, network=network))
    assert waiting.level is Level.WARNING
    assert "first record is not here" in waiting.found


def test_a_first_record_that_is_none_is_an_error(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    subject.folder.genesis_file.write_bytes(b"no record")
    (finding,) = check_ledger(subject)
    assert finding.level is Level.ERROR
    assert "does not start" in finding.why
