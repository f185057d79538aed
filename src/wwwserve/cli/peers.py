"""`wwwserve peers`: the other nodes this one knows."""

import asyncio
import os

import msgspec
from rich.text import Text

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json, print_table
from wwwserve.node import RunInfo, find_state_folder

_STYLES = {"alive": "green", "suspect": "yellow", "dead": "red", "left": "dim"}


class _Peer(msgspec.Struct):
    """What this command reads of one peer."""

    node: str
    status: str
    is_linked: bool = False
    round_trip_us: int | None = None
    models: list[str] = []
    slots: int = 0
    software: str = ""


class _Peers(msgspec.Struct):
    peers: list[_Peer] = []


def peers(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print the other nodes, whether they are there, and what they serve."""
    info = find_running_node(find_state_folder(home, os.environ))
    answer = asyncio.run(_read(info))
    if as_json:
        print_json(answer)
        return
    found = msgspec.convert(answer, _Peers).peers
    if not found:
        console = open_console()
        console.print("No other node yet. `wwwserve invite` here, `wwwserve join` there.")
        return
    print_table(
        "Peers",
        ("node", "status", "link", ">round trip", ">slots", "models", "software"),
        [_make_row(peer) for peer in found],
    )


async def _read(info: RunInfo) -> dict[str, object]:
    async with AdminClient(info) as admin:
        return dict(await admin.get("/peers"))


def _make_row(peer: _Peer) -> tuple[str | Text, ...]:
    round_trip = "" if peer.round_trip_us is None else f"{peer.round_trip_us / 1000:.1f} ms"
    return (
        peer.node,
        Text(peer.status, style=_STYLES.get(peer.status, "")),
        "open" if peer.is_linked else "",
        round_trip,
        str(peer.slots),
        ", ".join(peer.models),
        peer.software,
    )
