"""`wwwserve join`: have the running node meet another one, and through it a whole network."""

import asyncio
import os
from typing import Annotated

from cyclopts import Parameter

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json
from wwwserve.node import RunInfo, find_state_folder


def join(
    where: Annotated[str, Parameter(help="A ticket from `wwwserve invite`, or host:port.")],
    /,
    *,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Meet a node now. A node that was met is remembered over restarts."""
    info = find_running_node(find_state_folder(home, os.environ))
    asyncio.run(_join(info, where))
    if as_json:
        print_json({"joining": where})
    else:
        open_console().print("On its way; `wwwserve peers` shows who is there.")


async def _join(info: RunInfo, where: str) -> None:
    async with AdminClient(info) as admin:
        await admin.post("/join", {"ticket": where})
