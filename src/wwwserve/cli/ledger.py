"""`wwwserve ledger`: where it stands, its records, and all of it as a file that can be checked."""

import asyncio
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.adapters.storage import SqliteStore, read_export, write_export
from wwwserve.cli.genesis_text import ONE_SEQUENCER
from wwwserve.cli.ledger_records import describe_record, find_record, make_record_json
from wwwserve.cli.ledger_status import describe_status, open_book, read_running, read_stopped
from wwwserve.cli.terminal import (
    CommandFailed,
    HomeFlag,
    JsonFlag,
    open_console,
    open_side_console,
    print_facts_of,
    print_json,
)
from wwwserve.core.chain import Audit, Broken, Export, Totals, has_log
from wwwserve.core.lanes import Lane
from wwwserve.node import find_state_folder
from wwwserve.ports.store import StoreFailed
from wwwserve.values.credits import credits_text
from wwwserve.values.ids import node_text
from wwwserve.values.refusals import BadInput, Refusal

EXIT_OK = 0
EXIT_BROKEN = 1

app = App(name="ledger", help="Where the ledger stands, records in it, and auditing it.")

FileArgument = Annotated[Path, Parameter(help="An export of the ledger.")]


@app.command
def status(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print where the ledger stands here; of a node that does not run, where it stopped."""
    folder = find_state_folder(home, os.environ)
    info = folder.read_run_info()
    shown = read_stopped(folder) if info is None else asyncio.run(read_running(info))
    if as_json:
        print_json(shown)
        return
    print_facts_of("Ledger", describe_status(shown))


@app.command
def show(
    record: Annotated[
        str,
        Parameter(help="A block's height or id, a feed block's or hold's id, or an account's key."),
    ],
    /,
    *,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Print one record of the ledger, as this node has it on disk; also while the node runs."""
    found = find_record(open_book(find_state_folder(home, os.environ)), record)
    if as_json:
        print_json(make_record_json(found))
        return
    title, rows = describe_record(found)
    print_facts_of(title, rows)


@app.command
def export(file: FileArgument, /, *, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Write this node's whole ledger to FILE, from its genesis on; also while the node runs."""
    folder = find_state_folder(home, os.environ)
    store = SqliteStore(folder.store_folder)
    # A node without a ledger may have looked for one, and left the empty file.
    if not store.has_lane(Lane.CHAIN) or not has_log(partial(store.read_range, Lane.CHAIN)):
        raise CommandFailed(
            f"there is no ledger in {folder.store_folder}",
            "--home names the state folder of a node that keeps one",
        )
    try:
        written = Export(partial(store.read_range, Lane.CHAIN))
        write_export(file, written.list_records(), written.make_end)
    except StoreFailed as error:
        raise CommandFailed(str(error), "see that the file can be written") from error
    except Refusal as refusal:
        fix = "take it from another node of this network"
        raise CommandFailed(f"the ledger here is damaged: {refusal}", fix) from refusal
    if as_json:
        print_json({"file": str(file), "blocks": written.height, "bytes": file.stat().st_size})
    else:
        open_console().print(f"{written.height} blocks are in {file}; wwwserve ledger audit {file}")


@app.command
def audit(file: FileArgument, /, *, as_json: JsonFlag = False) -> int:
    """Replay an export from its genesis, believing nothing in it.

    Exit code 1 if a rule is broken; the first record that breaks one is named. No node is needed.
    """
    try:
        with open_side_console().status("replaying ..."):
            totals = check_export(file)
    except StoreFailed as error:
        fix = "take one: wwwserve ledger export FILE"
        raise BadInput("FILE", str(error), "an export that can be read", fix) from error
    except Broken as broken:
        _show_broken(broken, as_json=as_json)
        return EXIT_BROKEN
    _show_totals(totals, as_json=as_json)
    return EXIT_OK


def check_export(file: Path) -> Totals:
    """What an export comes to; raises `Broken` naming the first fault, and `StoreFailed`."""
    taken: Audit | None = None
    try:
        for record in read_export(file):
            if taken is None:
                verifier = LibsodiumVerifier()
                taken = Audit(record.data, verifier, verifier)
            elif record.is_last:
                return taken.finish(record.data, record.digest)
            else:
                taken.take(record.data)
    except Refusal as refusal:
        raise Broken(refusal.rule, refusal.detail, _next_height(taken)) from refusal
    raise Broken("export-cut", "it has no end", _next_height(taken))


def _next_height(taken: Audit | None) -> int:
    return taken.height + 1 if taken else 0


def _show_broken(broken: Broken, *, as_json: bool) -> None:
    account = node_text(broken.account) if broken.account else None
    if as_json:
        found = {
            "ok": False,
            "rule": broken.rule,
            "detail": broken.detail,
            "height": broken.height,
            "index": broken.index,
            "account": account,
            "seq": broken.seq,
        }
        print_json(found)
        return
    of_whom = "" if account is None else f" (number {broken.seq} of {account})"
    open_console().print(f"BROKEN at {broken}{of_whom}", style="bold red", soft_wrap=True)


def _show_totals(totals: Totals, *, as_json: bool) -> None:
    if as_json:
        values = {
            key: value.hex() if isinstance(value, bytes) else value
            for key, value in asdict(totals).items()
        }
        print_json({"ok": True, "byzantine_tolerance": False, **values})
        return
    rows = [
        ("network", f"{totals.name} ({totals.network_id.hex()[:16]})"),
        ("blocks", f"{totals.height}, the last {totals.head.hex()[:16]}"),
        ("state root", totals.root.hex()),
        ("ledger clock", f"{totals.time_ms / 1_000:,.0f} s, epoch {totals.epoch}"),
        ("feed blocks", f"{totals.feeds}, {totals.feeds_void} of them void"),
        ("ops", f"{totals.ops}, {totals.ops_refused} of them refused"),
        ("accounts", f"{totals.accounts}"),
        ("open holds", f"{totals.holds}, with {credits_text(totals.held)}"),
        ("supply", credits_text(totals.supply)),
        ("free", credits_text(totals.free)),
        ("staked", credits_text(totals.staked)),
        ("unbonding", credits_text(totals.unbonding)),
        ("pool", credits_text(totals.pool)),
        ("order", ONE_SEQUENCER),
    ]
    if totals.is_halted:
        rows.append(("halted", "the sequencer was proved to have signed two histories"))
    print_facts_of("Every record follows from those before it", rows)
