"""Where a node's ledger stands: as the running node says, or as it lies on the disk."""

from functools import partial

import msgspec

from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.adapters.storage import SqliteStore
from wwwserve.cli.admin_client import AdminClient, Json
from wwwserve.cli.genesis_text import ONE_SEQUENCER
from wwwserve.cli.terminal import CommandFailed
from wwwserve.core.lanes import Lane
from wwwserve.node import LedgerBook, RunInfo, StateFolder
from wwwserve.ports.store import StoreFailed
from wwwserve.values.credits import credits_text
from wwwserve.values.ids import NodeId, node_text
from wwwserve.values.refusals import Refusal


class LedgerShown(msgspec.Struct):
    """What commands read of a ledger's status."""

    network_id: str
    sequencer: str
    height: int
    head: str
    time_ms: int
    epoch: int
    accounts: int
    holds: int
    supply: int
    is_sequencer: bool = False
    told_height: int = 0
    is_stalled: bool = False
    fork: list[str] | None = None
    is_running: bool = True


class _Status(msgspec.Struct):
    ledger: dict[str, object] | None = None
    entry: str = ""


async def read_running(info: RunInfo) -> Json:
    """The ledger as the running node has it. Raises `CommandFailed` if it has none."""
    async with AdminClient(info) as admin:
        status = msgspec.convert(await admin.get("/status"), _Status)
    if status.ledger is None:
        raise _make_none(status.entry or "the network of this node has none")
    return {**status.ledger, "is_running": True, "byzantine_tolerance": False}


def read_stopped(folder: StateFolder) -> Json:
    """The ledger as it lies in a state folder. Raises `CommandFailed` if there is none."""
    book = open_book(folder)
    log, constitution = book.ledger.log, book.ledger.constitution
    halt = log.halt
    return {
        "network_id": constitution.network_id.hex(),
        "sequencer": node_text(NodeId(constitution.sequencer)),
        "height": log.height,
        "head": log.head.hex(),
        "time_ms": log.time_ms,
        "epoch": log.epoch,
        "accounts": len(book.ledger.accounts),
        "holds": len(book.ledger.holds),
        "supply": constitution.supply,
        "fork": None if halt is None else [halt.first.hex(), halt.second.hex()],
        "is_running": False,
        "byzantine_tolerance": False,
    }


def open_book(folder: StateFolder) -> LedgerBook:
    """The log in a state folder. Raises `CommandFailed` if there is none, or it is damaged."""
    store = SqliteStore(folder.store_folder)
    if not store.has_lane(Lane.CHAIN):
        raise _make_none(f"none in {folder.store_folder}")
    verifier = LibsodiumVerifier()
    try:
        return LedgerBook(partial(store.read_range, Lane.CHAIN), verifier, verifier)
    except LookupError as error:
        raise _make_none(f"none in {folder.store_folder}") from error
    except StoreFailed as error:
        raise CommandFailed(str(error), "see that the file can be read") from error
    except Refusal as refusal:
        fix = "wwwserve ledger export and audit name the place; take it from another node"
        raise CommandFailed(f"the ledger here is damaged: {refusal}", fix) from refusal


def describe_status(shown: Json) -> list[tuple[str, str]]:
    """Names with their values, one a line."""
    ledger = msgspec.convert(shown, LedgerShown)
    where = f"block {ledger.height}, {ledger.head[:16]}"
    behind = ledger.told_height - ledger.height
    if behind > 0:
        blocks = "1 block" if behind == 1 else f"{behind} blocks"
        where += f"; {blocks} behind what others tell"
    by_whom = "this node" if ledger.is_sequencer else ledger.sequencer
    rows = [
        ("ledger", ledger.network_id),
        ("stands at", where),
        ("ledger clock", f"{ledger.time_ms / 1_000:,.0f} s, epoch {ledger.epoch}"),
        ("accounts", str(ledger.accounts)),
        ("open holds", str(ledger.holds)),
        ("supply", credits_text(ledger.supply)),
        ("ordered by", by_whom),
        ("order", ONE_SEQUENCER),
        ("node", "runs" if ledger.is_running else "does not run: this is what is on its disk"),
    ]
    if ledger.is_stalled:
        rows.append(("STALLED", "no block comes: credit lines hold until one does"))
    if ledger.fork is not None:
        first, second = ledger.fork
        rows.append(("HALTED", f"the sequencer signed two histories: {first} and {second}"))
    return rows


def _make_none(what: str) -> CommandFailed:
    return CommandFailed(
        f"there is no ledger: {what}",
        "--home names a node of a network with one; wwwserve init --ledger begins one",
    )
