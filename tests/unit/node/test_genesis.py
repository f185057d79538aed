"""A network's ledger begins as its founder chose, and a node knows which ledger it belongs to.

Genesis records are made and read in state folders of their own; each is started as a real ledger.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from wwwserve.core.ledger import Ledger
from wwwserve.node import (
    Config,
    Layer,
    LedgerKind,
    StateFolder,
    find_genesis,
    keep_genesis,
    make_genesis,
    parse_config,
    read_genesis,
)
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import BadInput
from wwwserve.wire import Ticket, encode, ticket_text
from wwwserve.wire.ledger import Circulation, Door, Genesis, compute_genesis_id

FOUNDER = NodeId(b"\x05" * 32)
MEMBER = NodeId(b"\x06" * 32)
KINDS = [LedgerKind.DEV, LedgerKind.PRIVATE, LedgerKind.OPEN]


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    home = StateFolder(tmp_path / "home")
    home.create()
    return home


def bind(genesis_id: bytes, *, network: str = "main") -> Config:
    """The configuration of a node with a ticket to a ledger."""
    ticket = ticket_text(Ticket(1, network, MEMBER, ("192.0.2.7:8778",), genesis_id))
    sections = {"network": {"tickets": [ticket], "name": network}}
    return parse_config([Layer("config.toml", sections)]).config


def make(kind: LedgerKind = LedgerKind.DEV, **more: object) -> Genesis:
    return make_genesis(kind, FOUNDER, Config(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_ledger_can_begin_and_adds_up(kind: LedgerKind) -> None:
    genesis = make(kind, members=(MEMBER,))
    ledger = Ledger.from_genesis(genesis)
    assert genesis.supply == 30 * 10_000 * CREDIT, "30 days of the trade that is expected"
    accounts = ledger.accounts.values()
    held = sum(account.avail + account.bond for account in accounts) + ledger.log.pool
    assert held == genesis.supply
    assert ledger.seats[FOUNDER] == 8
    assert ledger.seats[MEMBER] == 1
    assert ledger.accounts[MEMBER].avail == ledger.accounts[FOUNDER].avail
    assert ledger.accounts[MEMBER].avail % CREDIT == 0
    assert genesis.sequencer == FOUNDER


def test_the_kinds_differ_in_doors_circulation_and_pace() -> None:
    dev, private, opened = (make(kind) for kind in KINDS)
    assert dev.doors[0] is Door.DEV
    assert dev.parameters.epoch_ms == 30_000
    assert private.doors == (Door.SPONSOR,)
    assert private.circulation is Circulation.PRIVATE
    assert opened.doors[0] is Door.EARN
    assert opened.circulation is Circulation.OPEN
    # What is signed must be able to enter the log while it lives.
    for genesis in (dev, private, opened):
        assert genesis.parameters.feed_life_ms <= 2 * genesis.parameters.epoch_ms


def test_two_networks_of_one_founder_are_two_networks() -> None:
    assert compute_genesis_id(make()) != compute_genesis_id(make())


def test_a_stated_supply_is_the_supply_and_too_little_is_refused() -> None:
    assert make(supply=1_234_567_890).supply == 1_234_567_890
    with pytest.raises(BadInput) as caught:
        make(supply=100 * CREDIT)
    assert caught.value.field == "--supply"
    assert "at least 800.2 cr" in caught.value.expected


def test_a_kept_genesis_is_read_back_and_no_secret(folder: StateFolder) -> None:
    genesis = make()
    keep_genesis(folder, genesis)
    assert read_genesis(folder) == genesis
    assert folder.genesis_file.stat().st_mode & 0o777 == 0o644
    known = find_genesis(folder, Config())
    assert known is not None
    assert known.record == encode(genesis)
    assert known.genesis_id == compute_genesis_id(genesis)


def test_a_node_without_a_ledger_has_none(folder: StateFolder) -> None:
    assert find_genesis(folder, Config()) is None
    assert find_genesis(folder, bind(b"")) is None


def test_a_ticket_tells_the_ledger_before_its_record_is_here(folder: StateFolder) -> None:
    known = find_genesis(folder, bind(b"\x07" * 32))
    assert known is not None
    assert (known.genesis_id, known.record) == (b"\x07" * 32, None)


def test_a_ticket_to_another_ledger_is_refused_with_the_way_out(folder: StateFolder) -> None:
    keep_genesis(folder, make())
    with pytest.raises(BadInput) as caught:
        find_genesis(folder, bind(b"\x07" * 32))
    assert caught.value.field == "network.tickets"
    assert "--home DIR --join" in caught.value.fix


def test_tickets_to_two_ledgers_are_refused() -> None:
    tickets = [
        ticket_text(Ticket(1, "main", MEMBER, ("192.0.2.7:8778",), genesis))
        for genesis in (b"\x07" * 32, b"")
    ]
    with pytest.raises(BadInput, match="several ledgers"):
        parse_config([Layer("config.toml", {"network": {"tickets": tickets}})])


def test_a_genesis_of_another_network_is_refused(folder: StateFolder) -> None:
    keep_genesis(folder, make())
    config = parse_config([Layer("config.toml", {"network": {"name": "other"}})]).config
    with pytest.raises(BadInput) as caught:
        find_genesis(folder, config)
    assert caught.value.field == "network.name"
    assert "'main'" in caught.value.fix


@pytest.mark.parametrize("content", [b"", b"\x90", b"x" * 2_000_000])
def test_a_file_that_is_no_genesis_is_named(folder: StateFolder, content: bytes) -> None:
    folder.genesis_file.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        find_genesis(folder, Config())
    assert caught.value.field == str(folder.genesis_file)


def test_a_ledger_with_numbers_out_of_range_is_no_genesis(folder: StateFolder) -> None:
    genesis = make()
    bad = replace(genesis, parameters=replace(genesis.parameters, epoch_ms=1))
    folder.genesis_file.write_bytes(encode(bad))
    with pytest.raises(BadInput, match="epoch_ms"):
        read_genesis(folder)
