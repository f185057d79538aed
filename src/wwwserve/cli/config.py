"""`wwwserve config`: what holds for this node, where it came from, and having it read again."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json, print_table
from wwwserve.node import DEFAULT_ORIGIN, RunInfo, find_state_folder, list_values, load_config
from wwwserve.values.refusals import BadInput

app = App(name="config", help="Show, check or reload the configuration.")


@app.command
def show(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print every setting as it holds, and where its value came from."""
    folder = find_state_folder(home, os.environ)
    rows = list_values(load_config(folder.config_file, os.environ))
    if as_json:
        settings = [{"key": key, "value": value, "origin": origin} for key, value, origin in rows]
        print_json({"file": str(folder.config_file), "settings": settings})
        return
    file = str(folder.config_file)
    print_table(
        f"Configuration in {file}{'' if folder.config_file.exists() else ' (not there)'}",
        ("setting", "value", "from"),
        [
            (
                key,
                _encode(value),
                # Its name stands above; again in each row it would only take room.
                "this file"
                if origin == file
                else Text(origin, style="dim" if origin == DEFAULT_ORIGIN else "cyan"),
            )
            for key, value, origin in rows
        ],
    )


@app.command
def check(
    file: Annotated[Path | None, Parameter(help="The file; without one, this node's own.")] = None,
    *,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether a node could run with a configuration file, or what is wrong in it."""
    path = file or find_state_folder(home, os.environ).config_file
    if not path.exists():
        raise BadInput(str(path), "no file", "a configuration file", "wwwserve init")
    # The file alone: what is in this shell's environment says nothing about the file.
    loaded = load_config(path, {})
    if as_json:
        print_json({"file": str(path), "ok": True, "set": sorted(loaded.origins)})
    else:
        count = len(loaded.origins)
        open_console().print(
            f"{path} is fine. Settings in it: {count}; defaults hold for the rest."
        )


@app.command(name="reload")
def reload_config(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Have the running node read its configuration again, and print what changed.

    All of it holds at once, without a restart and without disturbing running requests. If anything
    in it is wrong, nothing changes. The environment and flags are those the node was started with.
    """
    info = find_running_node(find_state_folder(home, os.environ))
    answer = asyncio.run(_reload(info))
    if as_json:
        print_json(answer)
        return
    changes = msgspec.convert(answer, _Changes).changes
    if not changes:
        open_console().print("Nothing has changed.")
        return
    print_table(
        "Changed",
        ("setting", "was", "is now"),
        [(change.key, _encode(change.old), _encode(change.new)) for change in changes],
    )
    if any(change.key.startswith(("engine", "models")) for change in changes):
        open_console().print("`wwwserve status` shows how the engines are.")


class _Change(msgspec.Struct):
    key: str
    old: object
    new: object


class _Changes(msgspec.Struct):
    """What this command reads of the node's answer."""

    changes: list[_Change] = []


async def _reload(info: RunInfo) -> dict[str, object]:
    async with AdminClient(info) as admin:
        return dict(await admin.post("/reload"))


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
