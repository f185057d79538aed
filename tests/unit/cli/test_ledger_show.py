"""Any record of the ledger is found on disk and shown, by whatever names it.

A small log with real keys lies in a state folder; the commands read it as they do beside a node.
"""

import asyncio
import json
from pathlib import Path

import pytest

from tests.fakes.ledger_log import ALICE, BOB, SEQUENCER, Log, make_log
from wwwserve.adapters.storage import SqliteStore
from wwwserve.cli.app import run
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger import Ledger
from wwwserve.node import StateFolder
from wwwserve.values.ids import node_text
from wwwserve.wire.ledger import Claim, Hold

Json = dict[str, object]


@pytest.fixture(scope="module")
def log() -> Log:
    return make_log()


@pytest.fixture(scope="module")
def home(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = StateFolder(tmp_path_factory.mktemp("home"))

    state = Ledger.from_genesis(log.genesis).take_snapshot()
    entries = log.list_entries() | {b"s" + key: value for key, value in state.items()}

    async def write() -> None:
        store = SqliteStore(folder.store_folder)
        failures: list[object] = []
        store.write(Lane.CHAIN, entries, failures.append)
        await store.close()
        assert failures == [None]

    asyncio.run(write())
    return folder.path


@pytest.fixture
def show(home: Path, capsys: pytest.CaptureFixture[str]) -> "Show":
    return Show(home, capsys)


class Show:
    """The command, and what it printed."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.capsys = capsys

    def json(self, record: str) -> Json:
        assert run(["ledger", "show", record, "--home", str(self.home), "--json"]) == 0
        shown: Json = json.loads(self.capsys.readouterr().out)
        return shown

    def text(self, record: str) -> str:
        assert run(["ledger", "show", record, "--home", str(self.home)]) == 0
        return self.capsys.readouterr().out

    def refuse(self, record: str) -> str:
        assert run(["ledger", "show", record, "--home", str(self.home)]) == 2
        return self.capsys.readouterr().err


def find_ops(show: Show, name: str) -> list[tuple[Json, Json]]:
    """Feed blocks with an op of that name, and the op."""
    found = []
    for height in range(1, 7):
        feeds = show.json(str(height))["feeds"]
        assert isinstance(feeds, list)
        for feed in feeds:
            found += [(feed, op) for op in feed["ops"] if op["op"] == name]
    return found


def test_a_block_is_found_by_height_and_by_id(show: Show, log: Log) -> None:
    by_height = show.json("3")
    assert by_height["record"] == "block"
    assert by_height["leader"] == node_text(SEQUENCER.node_id)
    assert show.json(str(by_height["id"])) == by_height
    assert "Block 3" in show.text("3")
    assert "to 6" in show.refuse("7")


def test_a_feed_block_is_found_by_its_id(show: Show) -> None:
    feed, _ = find_ops(show, "Transfer")[0]
    found = show.json(str(feed["id"]))
    assert found["record"] == "feed"
    assert {**found, "record": None} == {**feed, "record": None}
    assert "Transfer, target" in show.text(str(feed["id"]))


def test_a_hold_is_found_with_its_claim_and_what_that_was_worth(show: Show) -> None:
    claim = next(op for _, op in find_ops(show, Claim.__name__))
    hold = next(op for _, op in find_ops(show, Hold.__name__))
    found = show.json(str(claim["hold_id"]))
    assert found["record"] == "hold"
    assert not found["is_open"]
    assert found["ended"] == {
        "by": "Claim",
        "depth": claim["depth"],
        "worth": hold["first"] + (claim["depth"] - 1) * hold["unit"],  # type: ignore[operator]
        "height": found["ended"]["height"],  # type: ignore[index]
    }
    assert "payee" in show.text(str(claim["hold_id"]))


@pytest.mark.parametrize("length", [8, 12, 16, 33])
def test_an_id_is_known_by_the_beginning_that_commands_and_logs_show(
    show: Show, length: int
) -> None:
    claim = next(op for _, op in find_ops(show, Claim.__name__))
    feed, _ = find_ops(show, "Transfer")[0]
    block = show.json("1")
    for whole in (str(claim["hold_id"]), str(feed["id"]), str(block["id"])):
        assert show.json(whole[:length]) == show.json(whole)


@pytest.mark.parametrize("length", [6, 8, 13, 52])
def test_an_account_is_found_by_its_key_or_the_beginning_of_it(
    show: Show, log: Log, length: int
) -> None:
    for key in (ALICE, BOB):
        name = node_text(key.node_id)
        found = show.json(name[:length])
        assert found["record"] == "account"
        assert found["node"] == name
        assert found["avail"] == log.ledger.accounts[key.node_id].avail
    assert "free" in show.text(node_text(ALICE.node_id))


@pytest.mark.parametrize("record", ["zz", "zzzzzzzz", "00" * 32, "0", "ß", "x" * 500])
def test_what_names_nothing_says_what_would(show: Show, record: str) -> None:
    told = show.refuse(record)
    assert "RECORD" in told
    assert "Try: " in told


def test_a_stopped_node_still_says_where_its_ledger_stands(
    home: Path, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ledger", "status", "--home", str(home), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["height"], shown["accounts"], shown["is_running"]) == (6, 4, False)
    assert shown["byzantine_tolerance"] is False
    assert run(["ledger", "status", "--home", str(home)]) == 0
    told = capsys.readouterr().out
    assert "no Byzantine tolerance yet" in told
    assert "does not run" in told


def test_without_a_ledger_the_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("status", "export"):
        more = [str(tmp_path / "file")] if command == "export" else []
        assert run(["ledger", command, *more, "--home", str(tmp_path)]) == 1
        assert "no ledger" in capsys.readouterr().err
