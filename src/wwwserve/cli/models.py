"""`wwwserve models`: what can be asked for through this node."""

import asyncio
import os

import msgspec

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json, print_table
from wwwserve.node import RunInfo, find_state_folder


class _Model(msgspec.Struct):
    """What this command reads of one model."""

    model: str
    aliases: list[str] = []
    context_tokens: int = 0
    capabilities: list[str] = []
    quantisations: list[str] = []
    engines: list[str] = []
    nodes: int = 0


class _Models(msgspec.Struct):
    models: list[_Model] = []


def models(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print every model that can be asked for here, by all its names."""
    info = find_running_node(find_state_folder(home, os.environ))
    answer = asyncio.run(_read(info))
    if as_json:
        print_json(answer)
        return
    found = msgspec.convert(answer, _Models).models
    if not found:
        open_console().print("No model yet: `wwwserve status` says how the engine is.")
        return
    print_table(
        "Models",
        ("model", "also called", ">context", "can", "quantisation", "engines here", ">nodes"),
        [
            (
                model.model,
                ", ".join(model.aliases),
                str(model.context_tokens or "?"),
                ", ".join(model.capabilities),
                ", ".join(model.quantisations),
                ", ".join(model.engines),
                str(model.nodes),
            )
            for model in found
        ],
    )


async def _read(info: RunInfo) -> dict[str, object]:
    async with AdminClient(info) as admin:
        return dict(await admin.get("/models"))
