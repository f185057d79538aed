"""`wwwserve pause` and `wwwserve resume`: take no work of other nodes for a while."""

import asyncio
import os
import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter

from wwwserve.cli.admin_client import AdminClient, Json, find_running_node
from wwwserve.cli.opening import Opening, count_requests, describe_opening
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json
from wwwserve.node import RunInfo, find_state_folder
from wwwserve.values.refusals import BadInput

_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)


class _Answer(msgspec.Struct):
    """What the node says once it obeys."""

    opening: Opening
    works_open: int = 0


def pause(
    *,
    for_: Annotated[
        str, Parameter(name="--for", help="How long, as 90s, 30m, 2h or 1d12h; else until resumed.")
    ] = "",
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Take no work of other nodes until resumed, over restarts too. Own users are served."""
    for_s = read_duration("--for", for_) if for_ else None
    info = find_running_node(find_state_folder(home, os.environ))
    answer = asyncio.run(_order(info, "/pause", {"for_s": for_s}))
    print_json(answer) if as_json else _show(answer)


def resume(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """End a pause or a drain. The policy's hours still hold."""
    info = find_running_node(find_state_folder(home, os.environ))
    answer = asyncio.run(_order(info, "/resume", {}))
    print_json(answer) if as_json else _show(answer)


def read_duration(flag: str, text: str) -> int:
    """Seconds of a length of time such as `1h30m`; raises `BadInput` naming the flag."""
    match = _DURATION.fullmatch(text.strip().lower())
    parts = match.groups() if match else ()
    seconds = sum(int(n) * unit for n, unit in zip(parts, _UNITS_S.values(), strict=False) if n)
    if seconds == 0:
        raise BadInput(flag, text, "a length of time", "90s, 30m, 2h or 1d12h")
    return seconds


async def _order(info: RunInfo, path: str, body: Json) -> Json:
    async with AdminClient(info) as admin:
        return await admin.post(path, body)


def _show(answer: Json) -> None:
    told = msgspec.convert(answer, _Answer)
    said = describe_opening(told.opening, datetime.now(UTC))
    runs = f"; {count_requests(told.works_open)} of theirs still run" if told.works_open else ""
    open_console().print(f"To other nodes: {said}{runs}.", markup=False)
