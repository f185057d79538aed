"""`wwwserve drain`: let the node run empty of other nodes' requests, and stop it if wanted."""

import asyncio
import os
from typing import Annotated

import msgspec
from cyclopts import Parameter

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.opening import Opening, count_requests
from wwwserve.cli.terminal import (
    CommandFailed,
    HomeFlag,
    JsonFlag,
    open_console,
    open_side_console,
    print_json,
)
from wwwserve.node import RunInfo, StateFolder, find_state_folder

LOOK_S = 0.25
"""How often the node is asked how much still runs."""
EMPTY_WAIT_S = 24 * 3600
"""How long `--wait` waits: no answer takes longer."""
STOP_WAIT_S = 60
"""How long `--stop` waits for the process to end: twice what own users' requests are given."""


class _Status(msgspec.Struct):
    """What this command reads of the node's answers."""

    opening: Opening
    works_open: int = 0


def drain(
    *,
    wait: Annotated[
        bool, Parameter(name="--wait", negative="", help="Return once nothing of others runs.")
    ] = False,
    stop: Annotated[
        bool, Parameter(name="--stop", negative="", help="Wait, and then stop the node.")
    ] = False,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Take no work of other nodes any more, and let what runs end. A stop ends a drain."""
    folder = find_state_folder(home, os.environ)
    info = find_running_node(folder)
    status = asyncio.run(_drain(folder, info, is_waiting=wait or stop, is_stopping=stop))
    if as_json:
        shown = {"opening": status.opening, "works_open": status.works_open, "is_stopped": stop}
        print_json(shown)
    else:
        open_console().print(_say_end(status, is_stopped=stop))


async def _drain(
    folder: StateFolder, info: RunInfo, *, is_waiting: bool, is_stopping: bool
) -> _Status:
    async with AdminClient(info) as admin:
        status = msgspec.convert(await admin.post("/drain"), _Status)
        if is_waiting:
            status = await _wait_empty(admin)
        if is_stopping:
            await admin.post("/shutdown")
    if is_stopping:
        await _wait_stopped(folder)
    return status


async def _wait_empty(admin: AdminClient) -> _Status:
    """Wait until nothing of others runs, telling how much does whenever that changes."""
    console, told = open_side_console(), 0
    try:
        async with asyncio.timeout(EMPTY_WAIT_S):
            while True:
                status = msgspec.convert(await admin.get("/status"), _Status)
                _validate_draining(status)
                if status.works_open == 0:
                    return status
                if status.works_open != told:
                    told = status.works_open
                    console.print(f"{count_requests(told)} of other nodes still run here.")
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise CommandFailed(
            f"after {EMPTY_WAIT_S // 3600} hours requests of other nodes still run",
            "look at wwwserve status, or stop the node: what it has not delivered runs elsewhere",
        ) from None


def _validate_draining(status: _Status) -> None:
    """Refuse to wait for what somebody else has called off."""
    rest = status.opening.rest
    if rest is None or rest.kind != "drain":
        now = "resumed" if rest is None else "paused"
        raise CommandFailed(f"the node was {now} while it drained", "wwwserve status")


async def _wait_stopped(folder: StateFolder) -> None:
    """Wait until the process has let go of its folder."""
    try:
        async with asyncio.timeout(STOP_WAIT_S):
            while folder.is_held():  # noqa: ASYNC110 - another process
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise CommandFailed(
            f"the node is still stopping after {STOP_WAIT_S} s",
            "wait, or end its process: nothing is lost by that",
        ) from None


def _say_end(status: _Status, *, is_stopped: bool) -> str:
    if is_stopped:
        return "Nothing of other nodes runs here any more, and the node has stopped."
    if status.works_open == 0:
        return "Draining: nothing of other nodes runs here. `wwwserve resume` ends it."
    still = count_requests(status.works_open)
    return f"Draining: {still} of other nodes still run here. `wwwserve drain --wait` waits."
