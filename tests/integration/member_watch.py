"""What many nodes of one machine hold of each other: asked all at once, whenever a line comes.

`python -m tests.integration.member_watch HOME...` answers each line on its standard input with one
JSON object: for each node that answers, the status it holds of each other. Ends with its input.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

ANSWER_WAIT_S = 5
"""A node that takes longer counts as gone."""


async def _ask(session: aiohttp.ClientSession, home: str) -> tuple[str, Mapping[str, str]] | None:
    running = json.loads((Path(home) / "run.json").read_bytes())
    headers = {"x-wwwserve-admin-token": running["admin_token"]}
    try:
        async with session.get(f"{running['admin']}/peers", headers=headers) as page:
            peers = (await page.json())["peers"]
    except (aiohttp.ClientError, TimeoutError):
        return None
    return running["node"], {peer["node"]: peer["status"] for peer in peers}


async def _watch(homes: list[str]) -> None:
    timeout = aiohttp.ClientTimeout(total=ANSWER_WAIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while await asyncio.to_thread(sys.stdin.readline):
            answers = await asyncio.gather(*(_ask(session, home) for home in homes))
            sys.stdout.write(json.dumps(dict(one for one in answers if one is not None)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_watch(sys.argv[1:]))
