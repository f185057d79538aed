"""`wwwserve init`: what a node needs before it can run, made once and never overwritten."""

import os
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from wwwserve.adapters.host import FileKeyRing, NodeKey
from wwwserve.cli.terminal import (
    HomeFlag,
    JsonFlag,
    open_console,
    open_side_console,
    print_facts_of,
    print_json,
)
from wwwserve.node import Layer, StateFolder, find_state_folder, make_config_text, parse_config
from wwwserve.ports.keys import KeyRules
from wwwserve.values.ids import NodeId, node_text

FIRST_KEY_NAME = "first"
"""Name of the API key made for a node that has none."""


@dataclass(frozen=True, slots=True)
class NewNode:
    """What `init` found or made."""

    node: NodeId
    made: tuple[str, ...]
    """Names of the files it made; what was there already is not among them."""
    api_key: str | None
    """Shown this once; None when the node had keys already."""


def init(
    *,
    home: HomeFlag = None,
    engine_url: Annotated[
        str, Parameter(help="Base URL of the engine; without one, a small model runs here.")
    ] = "",
    lan: Annotated[
        bool,
        Parameter(
            negative="",
            help="Find the nodes of the local network, and let them find and reach this one.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a node: a state folder with its key, its configuration and a first API key.

    Whatever is there already stays as it is, so it can be run again at any time.
    """
    folder = find_state_folder(home, os.environ)
    made = make_node(folder, engine_url, on_lan=lan)
    if folder.config_file.name not in made.made:
        _tell_unchanged(folder, engine_url, on_lan=lan)
    if as_json:
        print_json(
            {
                "home": str(folder.path),
                "node": node_text(made.node),
                "config": str(folder.config_file),
                "api_key": made.api_key,
                "made": made.made,
            }
        )
        return
    key = made.api_key or "as before; `wwwserve keys add NAME` makes another"
    print_facts_of(
        "The node is ready to run." if made.made else "The node was there already.",
        [
            ("state folder", str(folder.path)),
            ("node", node_text(made.node)),
            ("API key", key),
        ],
    )
    if made.api_key:
        open_console().print("[yellow]The key is shown this once; only its hash is kept.[/]")
    where = f" --home {folder.path}" if home else ""
    open_console().print(f"Next: edit config.toml if you like, then wwwserve up{where}")


def _tell_unchanged(folder: StateFolder, engine_url: str, *, on_lan: bool) -> None:
    """Say what was asked for and is not so, because there was a configuration already."""
    wishes = []
    if engine_url:
        wishes.append(r"set url under its \[engine] to change the engine")
    if on_lan:
        wishes.append(
            r"set lan_discovery = true under its \[network], and listen and advertise under "
            r"\[links], to be found on the local network"
        )
    for wish in wishes:
        open_side_console().print(
            f"[yellow]{folder.config_file} was there already and stays as it is: {wish}.[/]",
            soft_wrap=True,
        )


def make_node(folder: StateFolder, engine_url: str = "", *, on_lan: bool = False) -> NewNode:
    """Make what is missing for a node to run. Raises `BadInput`."""
    if engine_url:
        # Refused before anything is made.
        parse_config([Layer("--engine-url", {"engine": {"url": engine_url}})])
    folder.create()
    made: list[str] = []
    if folder.node_key_file.exists():
        key = NodeKey.load(folder.node_key_file)
    else:
        key = NodeKey.create(folder.node_key_file)
        made.append(folder.node_key_file.name)
    if not folder.config_file.exists():
        folder.write_private(
            folder.config_file, make_config_text(engine_url, on_lan=on_lan).encode()
        )
        made.append(folder.config_file.name)
    api_key = None
    ring = FileKeyRing(folder.api_keys_file)
    if ring.count == 0:
        api_key = ring.add(KeyRules(FIRST_KEY_NAME))
        made.append(folder.api_keys_file.name)
    return NewNode(key.node_id, tuple(made), api_key)
