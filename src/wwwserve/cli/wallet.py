"""`wwwserve wallet`: the node's own credits, and orders to move, stake or lend them."""

import asyncio
import os
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from wwwserve.cli.admin_client import AdminClient, Json, find_running_node
from wwwserve.cli.genesis_text import ONE_SEQUENCER
from wwwserve.cli.terminal import (
    CommandFailed,
    HomeFlag,
    JsonFlag,
    open_console,
    print_facts_of,
    print_json,
    print_table,
)
from wwwserve.node import RunInfo, find_state_folder, read_history
from wwwserve.values.credits import credits_text, parse_credits
from wwwserve.values.ids import node_text, parse_node_id
from wwwserve.values.refusals import BadInput

ORDER_WAIT_S = 30
"""A node waits for its order to be in the log, and then answers in any case."""
HISTORY_SHOWN = 20
HISTORY_SHOWN_MAX = 10_000
SEATS_MAX = 2**31
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

app = App(name="wallet", help="The node's credits: balance, send, stake, history.")

KeyArgument = Annotated[str, Parameter(help="A node's whole name, as `wwwserve status` shows it.")]
AmountArgument = Annotated[str, Parameter(help="Credits, for example 12 or 0.25.")]
SeatsArgument = Annotated[
    int, Parameter(help="Whole seats.", validator=Number(gte=1, lte=SEATS_MAX))
]


class WalletShown(msgspec.Struct):
    """What commands read of the node's account; amounts are micro-credits."""

    is_ready: bool = False
    waits_for: str = ""
    avail: int = 0
    spendable: int = 0
    held: int = 0
    bond: int = 0
    unbonding: int = 0
    seats: int = 0
    debt: int = 0
    seq: int = 0
    waiting: int = 0
    claimable: int = 0
    earned: int = 0
    spent: int = 0
    forecast_ms: int | None = None


class _Status(msgspec.Struct):
    node: str
    wallet: WalletShown | None = None
    entry: str = ""


@app.default
def balance(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print what the node has, what it can spend, and what waits."""
    status, wallet = _read_wallet(home)
    if as_json:
        print_json({"node": status.node, "entry": status.entry, **msgspec.structs.asdict(wallet)})
        return
    print_facts_of("Wallet", describe_wallet(wallet, status.node, status.entry))


@app.command
def forecast(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print how long the credits last at the pace of the last hour, and what to do about it."""
    _, wallet = _read_wallet(home)
    if as_json:
        print_json({"spendable": wallet.spendable, "lasts_ms": wallet.forecast_ms})
        return
    console = open_console()
    console.print(f"{credits_text(wallet.spendable)} to spend {describe_forecast(wallet)}.")
    if wallet.forecast_ms is not None:
        console.print(
            "When they are gone, requests run here or wait; `x-wwwserve-route: network` gets a "
            "503. More: serve others, or have somebody send some."
        )


@app.command
def send(
    key: KeyArgument, amount: AmountArgument, /, *, home: HomeFlag = None, as_json: JsonFlag = False
) -> None:
    """Give credits to another node. What is sent does not come back."""
    microcredits = parse_credits("AMOUNT", amount)
    if microcredits == 0:
        raise BadInput("AMOUNT", amount, "more than nothing", "for example 0.25")
    order = {"order": "send", "key": _read_key(key), "microcredits": microcredits}
    _give(home, order, f"{credits_text(microcredits)} sent to {key}", as_json=as_json)


@app.command
def stake(seats: SeatsArgument, /, *, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Put credits into seats: from the next epoch on the node is drawn more often."""
    order: Json = {"order": "stake", "seats": seats}
    _give(home, order, f"{_count(seats)} staked", as_json=as_json)


@app.command
def unstake(seats: SeatsArgument, /, *, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Take seats out; their credits come free after the unbonding time of the network."""
    order: Json = {"order": "unstake", "seats": seats}
    _give(home, order, f"{_count(seats)} unbonding", as_json=as_json)


@app.command
def sponsor(
    key: KeyArgument,
    seats: SeatsArgument = 1,
    /,
    *,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Let a key into the network by lending it own staked seats; its fines reach them."""
    order: Json = {"order": "sponsor", "key": _read_key(key), "seats": seats}
    _give(home, order, f"{_count(seats)} lent to {key}", as_json=as_json)


@app.command
def unsponsor(
    key: KeyArgument,
    seats: SeatsArgument = 1,
    /,
    *,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Take lent seats back; they come free after the unbonding time."""
    order: Json = {"order": "unsponsor", "key": _read_key(key), "seats": seats}
    _give(home, order, f"{_count(seats)} taken back from {key}", as_json=as_json)


@app.command
def allow(
    key: KeyArgument, amount: AmountArgument, /, *, home: HomeFlag = None, as_json: JsonFlag = False
) -> None:
    """Have the treasury, if this node is it, pay a key so much each day; 0 ends that."""
    microcredits = parse_credits("AMOUNT", amount)
    order: Json = {"order": "allow", "key": _read_key(key), "microcredits": microcredits}
    _give(home, order, f"{credits_text(microcredits)} a day for {key}", as_json=as_json)


@app.command
def history(
    *,
    last: Annotated[
        int,
        Parameter(help="Entries to show.", validator=Number(gte=1, lte=HISTORY_SHOWN_MAX)),
    ] = HISTORY_SHOWN,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Print what moved the node's credits, the newest last; also while it does not run."""
    entries = read_history(find_state_folder(home, os.environ), last)
    if as_json:
        print_json({"entries": entries})
        return
    if not entries:
        open_console().print("Nothing has moved this node's credits yet.")
        return
    print_table(
        "History",
        ("when", "what", ">credits", "with", "record"),
        [
            (
                entry.at.replace("+00:00", "Z"),
                entry.what,
                _say_change(entry.microcredits),
                entry.peer[:8],
                entry.record[:16],
            )
            for entry in entries
        ],
    )


def describe_wallet(wallet: WalletShown, node: str, entry: str) -> list[tuple[str, str]]:
    """Names with their values, one a line."""
    ready = "yes" if wallet.is_ready else f"no: it waits for {wallet.waits_for or 'its start'}"
    rows = [
        ("account", node),
        ("to spend", credits_text(wallet.spendable)),
        ("free", credits_text(wallet.avail)),
        ("in open holds", credits_text(wallet.held)),
        ("staked", f"{credits_text(wallet.bond)}; {_count(wallet.seats)} in this epoch"),
    ]
    for name, amount in (
        ("unbonding", wallet.unbonding),
        ("earned, not claimed", wallet.claimable),
        ("owed for fees", wallet.debt),
    ):
        if amount:
            rows.append((name, credits_text(amount)))
    rows += [
        (
            "since the start",
            f"{credits_text(wallet.earned)} came in, {credits_text(wallet.spent)} went out",
        ),
        ("forecast", describe_forecast(wallet)),
        ("can sign", ready),
    ]
    if wallet.waiting:
        blocks = "1 feed block" if wallet.waiting == 1 else f"{wallet.waiting} feed blocks"
        rows.append(("on its way", blocks))
    if entry:
        rows.append(("coming in", entry))
    return [*rows, ("order", ONE_SEQUENCER)]


def describe_forecast(wallet: WalletShown) -> str:
    """How long the credits last, for a person."""
    lasts = wallet.forecast_ms
    if wallet.spendable == 0:
        return "are too few for anything but fees"
    if lasts is None:
        return "do not run out at the pace of the last hour"
    if lasts >= 2 * _DAY_MS:
        return f"last {lasts // _DAY_MS} days at the pace of the last hour"
    if lasts >= 2 * _HOUR_MS:
        return f"last {lasts // _HOUR_MS} hours at the pace of the last hour"
    return f"last {lasts // 60_000} minutes at the pace of the last hour"


def _read_wallet(home: HomeFlag) -> tuple[_Status, WalletShown]:
    info = find_running_node(find_state_folder(home, os.environ))
    status = msgspec.convert(asyncio.run(_get_status(info)), _Status)
    if status.wallet is None:
        raise CommandFailed(
            "nothing is paid here: " + (status.entry or "this network has no ledger"),
            "wwwserve ledger status; a ledger begins with wwwserve init --ledger",
        )
    return status, status.wallet


async def _get_status(info: RunInfo) -> Json:
    async with AdminClient(info) as admin:
        return await admin.get("/status")


def _read_key(text: str) -> str:
    """A whole name: of money sent to a wrong one nothing comes back."""
    try:
        return node_text(parse_node_id(text))
    except BadInput as error:
        error.field = "KEY"
        raise


class _Signed(msgspec.Struct):
    feed: str
    is_final: bool


def _give(home: HomeFlag, order: Json, what: str, *, as_json: bool) -> None:
    """Have the running node sign an order, and print what became of it."""
    info = find_running_node(find_state_folder(home, os.environ))
    answer = asyncio.run(_post(info, order))
    if as_json:
        print_json(answer)
        return
    signed = msgspec.convert(answer, _Signed)
    is_where = "in the log" if signed.is_final else "signed, and on its way to the log"
    open_console().print(f"{what}: {is_where}, as {signed.feed[:16]}.", soft_wrap=True)


async def _post(info: RunInfo, order: Json) -> Json:
    async with AdminClient(info, wait_s=ORDER_WAIT_S) as admin:
        return await admin.post("/wallet", order)


def _count(seats: int) -> str:
    return "1 seat" if seats == 1 else f"{seats} seats"


def _say_change(microcredits: int) -> str:
    sign = "+" if microcredits > 0 else ""
    return f"{sign}{credits_text(microcredits)}"
