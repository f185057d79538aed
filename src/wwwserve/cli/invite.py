"""`wwwserve invite`: one word with which another node finds this network."""

import asyncio
import os

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json
from wwwserve.node import RunInfo, find_state_folder


def invite(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print a ticket for this node. It is no secret: it names the node and where to reach it."""
    info = find_running_node(find_state_folder(home, os.environ))
    ticket = asyncio.run(_get_ticket(info))
    if as_json:
        print_json({"ticket": ticket})
        return
    console = open_console()
    console.print(ticket, soft_wrap=True)
    console.print(
        "\n[dim]On another machine: wwwserve init --join TICKET, then wwwserve up.\n"
        "A node that runs there, of this network: wwwserve join TICKET, or put it into\n"
        'its config.toml: \\[network] tickets = \\["..."][/]'
    )


async def _get_ticket(info: RunInfo) -> str:
    async with AdminClient(info) as admin:
        return str((await admin.post("/invite"))["ticket"])
