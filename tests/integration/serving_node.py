"""One whole node in this process, on a state folder of its own: real sockets, real disk."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from wwwserve.cli.init import make_node
from wwwserve.node import Orders, ReadyInfo, StateFolder, load_config, run_node

ANYWHERE = """
[gateway]
port = 0
[admin]
port = 0
[links]
listen = "127.0.0.1:0"
"""
"""So that nodes do not meet at the usual ports."""
READ_WAIT_S = 30
"""Far above what it takes: a test that needs it all has failed."""


@dataclass(slots=True)
class ServingNode:
    """A node that serves, and how to speak to it."""

    folder: StateFolder
    api_key: str
    info: ReadyInfo
    orders: Orders
    session: aiohttp.ClientSession

    @property
    def run(self) -> Any:
        """What commands know of it now."""
        return json.loads(self.folder.run_file.read_bytes())

    def write_config(self, text: str) -> None:
        """Change its file; it does not know yet."""
        self.folder.config_file.write_text(text, encoding="utf-8")

    async def reload(self, text: str) -> tuple[int, Any]:
        """Change its file and have it read: status, and changes or error by what they concern."""
        self.write_config(text)
        status, body = await self.call("POST", "/reload", json={})
        if status == 200:
            return status, {one["key"]: (one["old"], one["new"]) for one in body["changes"]}
        return status, body["error"]

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Speak to its operator's API, where that is now."""
        run = self.run
        headers = {"x-wwwserve-admin-token": run["admin_token"]}
        url = f"{run['admin']}{path}"
        async with self.session.request(method, url, headers=headers, **options) as answer:
            return answer.status, await answer.json()

    async def wait_status(self, is_met: Any) -> Any:
        """Its status page, once it satisfies a condition."""
        async with asyncio.timeout(READ_WAIT_S):
            while True:
                _, status = await self.call("GET", "/status")
                if is_met(status):
                    return status
                await asyncio.sleep(0.01)

    def ask(self, model: str, *, gateway: str = "", **more: Any) -> Any:
        """A chat completion; a context as of the client library."""
        url = f"{gateway or self.run['gateway']}/v1/chat/completions"
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
        headers = {"authorization": f"Bearer {self.api_key}"}
        return self.session.post(url, json=body, headers=headers)


@asynccontextmanager
async def serve_node(home: Path, text: str, **environ: str) -> AsyncIterator[ServingNode]:
    """A node with this configuration, until the end of the block."""
    folder, orders = StateFolder(home), Orders()
    made = make_node(folder)
    assert made.api_key is not None
    folder.config_file.write_text(text, encoding="utf-8")
    ready: asyncio.Future[ReadyInfo] = asyncio.get_running_loop().create_future()
    load = partial(load_config, folder.config_file, environ)
    async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as session:
        tasks.create_task(run_node(load, folder, on_ready=ready.set_result, orders=orders))
        try:
            async with asyncio.timeout(READ_WAIT_S):
                info = await ready
            yield ServingNode(folder, made.api_key, info, orders, session)
        finally:
            orders.stop.set()
