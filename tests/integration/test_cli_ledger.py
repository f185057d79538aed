"""The commands of ledger and wallet as a person types them, with no node running.

Real processes and files; what a running node answers is in test_paid_network.py.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wwwserve.node import StateFolder, read_genesis
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId, node_text
from wwwserve.wire import Ticket, ticket_text
from wwwserve.wire.ledger import Circulation, compute_genesis_id

WAIT_SECONDS = 60
OTHER = NodeId(b"\x05" * 32)

Wwwserve = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def wwwserve(home: Path) -> Wwwserve:
    """Run one command on a state folder of this test's own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "wwwserve.cli", *arguments],
            env={**os.environ, "WWWSERVE_HOME": str(home), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )

    return run


def read_json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_ledger_is_begun_once_and_its_holders_are_stated(wwwserve: Wwwserve, home: Path) -> None:
    made = read_json(wwwserve("init", "--ledger", "private", "--supply", "5000.5", "--json"))
    assert "genesis" in made["made"]
    ledger = made["ledger"]
    assert ledger["supply"] == 5_000 * CREDIT + CREDIT // 2
    (founder,) = ledger["accounts"]
    assert founder["node"] == made["node"] == ledger["sequencer"]
    assert founder["is_treasury"]
    assert founder["amount"] + founder["seats"] * 50 * CREDIT + ledger["pool"] == ledger["supply"]
    assert ledger["byzantine_tolerance"] is False
    genesis = read_genesis(StateFolder(home))
    assert genesis is not None
    assert compute_genesis_id(genesis).hex() == ledger["genesis"]
    assert genesis.circulation is Circulation.PRIVATE
    before = (home / "genesis").read_bytes()
    again = wwwserve("init", "--ledger", "open", "--json")
    assert read_json(again)["made"] == []
    assert "stays" in again.stderr
    assert (home / "genesis").read_bytes() == before


def test_a_person_is_told_what_the_new_ledger_is(wwwserve: Wwwserve) -> None:
    told = wwwserve("init", "--ledger", "dev").stdout
    for word in ("300000 cr", "the founder", "the pool", "dev", "no Byzantine tolerance yet"):
        assert word in told


def test_a_node_without_a_ledger_is_as_before(wwwserve: Wwwserve, home: Path) -> None:
    made = read_json(wwwserve("init", "--json"))
    assert "ledger" not in made
    assert not (home / "genesis").exists()


def test_joining_keeps_the_ticket_the_network_and_the_door(wwwserve: Wwwserve) -> None:
    ticket = ticket_text(Ticket(1, "club", OTHER, ("192.0.2.7:8778",), b"\x07" * 32))
    made = read_json(wwwserve("init", "--join", ticket, "--door", "earn", "--json"))
    assert "genesis" not in made["made"]
    settings = read_json(wwwserve("config", "show", "--json"))["settings"]
    values = {setting["key"]: setting["value"] for setting in settings}
    assert values["network.tickets"] == [ticket]
    assert values["network.name"] == "club"
    assert values["ledger.door"] == "earn"
    told = wwwserve("init", "--ledger", "dev")
    assert told.returncode == 2
    assert "0707070707070707" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ledger", "dev", "--join", "TICKET"), "--ledger"),
        (("--ledger", "gold"), "--ledger"),
        (("--supply", "100"), "--supply"),
        (("--ledger", "dev", "--supply", "10"), "--supply"),
        (("--ledger", "dev", "--supply", "lots"), "--supply"),
        (("--ledger", "dev", "--door", "earn"), "--door"),
        (("--join", "wwwserve1broken"), "invite ticket"),
    ],
)
def test_wishes_that_cannot_be_make_nothing(
    wwwserve: Wwwserve, home: Path, arguments: tuple[str, ...], said: str
) -> None:
    ticket = ticket_text(Ticket(1, "main", OTHER, ("192.0.2.7:8778",), b"\x07" * 32))
    done = wwwserve("init", *(ticket if word == "TICKET" else word for word in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("send", "short", "1"), "KEY"),
        (("send", node_text(OTHER), "0"), "AMOUNT"),
        (("send", node_text(OTHER), "1e3"), "AMOUNT"),
        (("send", node_text(OTHER), "-1"), "-1"),
        (("stake", "0"), "SEATS"),
        (("allow", "short", "1"), "KEY"),
    ],
)
def test_a_wrong_order_is_one_clear_line(
    wwwserve: Wwwserve, arguments: tuple[str, ...], said: str
) -> None:
    done = wwwserve("wallet", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_have_budgets_and_show_what_is_spent(wwwserve: Wwwserve) -> None:
    read_json(wwwserve("keys", "add", "bob", "--budget", "2.5", "--budget-period", "day", "--json"))
    read_json(wwwserve("keys", "add", "carol", "--json"))
    bob, carol = read_json(wwwserve("keys", "list", "--json"))["keys"]
    assert (bob["budget"], bob["budget_period"], bob["spent"]) == (2_500_000, "day", 0)
    assert (carol["budget"], carol["spent"]) == (0, None)
    assert "0 cr of 2.5 cr a day" in wwwserve("keys", "list").stdout
    for arguments in (("--budget", "0"), ("--budget", "x"), ("--budget-period", "day")):
        done = wwwserve("keys", "add", "dave", *arguments)
        assert done.returncode == 2
        assert "--budget" in done.stderr


def test_a_node_that_never_ran_has_no_ledger_and_no_history(wwwserve: Wwwserve) -> None:
    wwwserve("init", "--ledger", "dev")
    assert "no ledger" in wwwserve("ledger", "status").stderr
    assert read_json(wwwserve("wallet", "history", "--json")) == {"entries": []}
    assert "wwwserve up" in wwwserve("wallet").stderr
