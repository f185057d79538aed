"""`wwwserve config`: what holds for this node and where each value came from."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json, print_table
from wwwserve.node import DEFAULT_ORIGIN, find_state_folder, list_values, load_config
from wwwserve.values.refusals import BadInput

app = App(name="config", help="Show or check the configuration.")


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


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
