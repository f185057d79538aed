"""`wwwserve status`: what the node is doing at this moment."""

import asyncio
import os
from datetime import UTC, datetime

import msgspec
from rich.text import Text

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.ledger_status import describe_status
from wwwserve.cli.opening import Opening, describe_opening
from wwwserve.cli.terminal import (
    HomeFlag,
    JsonFlag,
    open_console,
    print_facts_of,
    print_json,
    print_table,
)
from wwwserve.cli.wallet import WalletShown
from wwwserve.node import RunInfo, find_state_folder
from wwwserve.values.credits import credits_text

_HEALTH_STYLES = {"ready": "green", "loading": "yellow", "unavailable": "red"}


class _Reading(msgspec.Struct):
    health: str = "unavailable"
    detail: str = "not read yet"
    running: int | None = None
    waiting: int | None = None
    slots: int | None = None
    software: str = ""


class _Engine(msgspec.Struct):
    name: str
    reading: _Reading | None = None
    own_running: int = 0
    peer_running: int = 0


class _Totals(msgspec.Struct):
    requests: int = 0
    answered: int = 0
    failed: int = 0
    offloaded: int = 0
    works: int = 0
    works_answered: int = 0
    works_declined: int = 0


class _Status(msgspec.Struct):
    """What this command reads of the node's answer."""

    node: str
    engines: list[_Engine] = []
    requests_open: int = 0
    requests_queued: int = 0
    works_open: int = 0
    totals: _Totals = msgspec.field(default_factory=_Totals)
    opening: Opening = msgspec.field(default_factory=Opening)
    ledger: dict[str, object] | None = None
    wallet: WalletShown | None = None
    entry: str = ""


def status(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print who the node is, how its engine is, and what it has done since it started."""
    info = find_running_node(find_state_folder(home, os.environ))
    answer = asyncio.run(_read(info))
    if as_json:
        print_json({**answer, "gateway": info.gateway, "admin": info.admin, "pid": info.pid})
    else:
        _show(info, msgspec.convert(answer, _Status))


async def _read(info: RunInfo) -> dict[str, object]:
    async with AdminClient(info) as admin:
        return dict(await admin.get("/status"))


def _show(info: RunInfo, status: _Status) -> None:
    totals = status.totals
    print_facts_of(
        "This node",
        [
            ("node", status.node),
            ("gateway", f"{info.gateway}/v1"),
            ("links", ", ".join(info.links) or "dials out only"),
            ("process", str(info.pid)),
            ("to others", describe_opening(status.opening, datetime.now(UTC))),
            (
                "own requests",
                f"{status.requests_open} open, {status.requests_queued} of them waiting; "
                f"{totals.answered} answered ({totals.offloaded} elsewhere), "
                f"{totals.failed} failed since it started",
            ),
            (
                "for others",
                f"{status.works_open} open; {totals.works_answered} answered, "
                f"{totals.works_declined} declined since it started",
            ),
        ],
    )
    if status.ledger is not None:
        print_facts_of("\nLedger", _describe_ledger(status))
    if not status.engines:
        open_console().print(
            "\nNo engine has been read yet; look again in a moment. "
            "How each is reached: `wwwserve config show`."
        )
        return
    print_table(
        "\nEngines",
        ("engine", "health", ">own", ">for others", ">slots", ">waiting in it", "software"),
        [_make_row(engine) for engine in status.engines],
    )


def _describe_ledger(status: _Status) -> list[tuple[str, str | Text]]:
    """Where the ledger stands, and what this node has in it; `wallet` and `ledger` have more."""
    shown = dict(describe_status(status.ledger or {}))
    wanted = ("stands at", "order", "STALLED", "HALTED")
    rows: list[tuple[str, str | Text]] = [(name, shown[name]) for name in wanted if name in shown]
    if status.wallet is not None:
        wallet = status.wallet
        rows.append(
            (
                "wallet",
                f"{credits_text(wallet.spendable)} to spend, {credits_text(wallet.held)} in open "
                f"holds, {wallet.seats} seats",
            )
        )
        if not wallet.is_ready:
            rows.append(("cannot sign", f"it waits for {wallet.waits_for}"))
    if status.entry:
        rows.append(("coming in", status.entry))
    return rows


def _make_row(engine: _Engine) -> tuple[str | Text, ...]:
    reading = engine.reading or _Reading()
    health = Text(reading.health, style=_HEALTH_STYLES.get(reading.health, ""))
    if reading.detail:
        # Also of an engine that is ready: something about it wants mending.
        health.append(f": {reading.detail}", style="yellow" if reading.health == "ready" else "")
    return (
        engine.name,
        health,
        str(engine.own_running),
        str(engine.peer_running),
        _say(reading.slots),
        _say(reading.waiting),
        reading.software,
    )


def _say(number: int | None) -> str:
    # Unknown is not zero.
    return "?" if number is None else str(number)
