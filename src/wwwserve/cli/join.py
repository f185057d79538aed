"""`wwwserve join`: have the running node meet another one, and through it a whole network."""

import asyncio
import os
from typing import Annotated

from cyclopts import Parameter

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.terminal import CommandFailed, HomeFlag, JsonFlag, open_console, print_json
from wwwserve.node import RunInfo, find_state_folder
from wwwserve.values.ids import NodeId, node_text
from wwwserve.values.refusals import BadInput
from wwwserve.wire import parse_ticket

MEET_WAIT_S = 10.0
"""How long the command waits for the other node to answer; the running node goes on trying."""
LOOK_S = 0.1


def join(
    where: Annotated[str, Parameter(help="A ticket from `wwwserve invite`, or host:port.")],
    /,
    *,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Meet a node now. A node that was met is remembered over restarts."""
    info = find_running_node(find_state_folder(home, os.environ))
    met = asyncio.run(_join(info, where))
    if as_json:
        print_json({"joining": where, "met": met})
    elif met is not None:
        open_console().print(f"Met {met}; `wwwserve peers` shows who is there.")
    if met is None:
        raise CommandFailed(
            f"nobody has answered there within {MEET_WAIT_S:.0f} s; the node goes on trying",
            "see that the other node is up and can be reached, then wwwserve peers",
        )


async def _join(info: RunInfo, where: str) -> str | None:
    """Tell the node, and wait for a link to whom it was told to meet: the other node's name."""
    async with AdminClient(info) as admin:
        await admin.post("/join", {"ticket": where})
        try:
            async with asyncio.timeout(MEET_WAIT_S):
                while True:
                    if (met := _find_met(await admin.get("/peers"), where)) is not None:
                        return met
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return None


def _find_met(page: object, where: str) -> str | None:
    """A linked peer that is the one meant, by its key or its address."""
    assert isinstance(page, dict)
    name, addresses = _read_meant(where)
    for peer in page["peers"]:
        is_meant = peer["node"] == name or any(one in addresses for one in peer["addresses"])
        if peer["is_linked"] and is_meant:
            return str(peer["node"])
    return None


def _read_meant(where: str) -> tuple[str, tuple[str, ...]]:
    """Name and addresses of the node meant, as far as they are told."""
    try:
        ticket = parse_ticket(where)
    except BadInput:
        name, _, address = where.rpartition("@")
        return name, (address,)
    return node_text(NodeId(ticket.node)), ticket.addresses
