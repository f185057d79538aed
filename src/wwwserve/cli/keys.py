"""`wwwserve keys`: who may use the gateway. A running node notices changes within a second."""

import os
from dataclasses import dataclass
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from wwwserve.adapters.host import FileKeyRing
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json, print_table
from wwwserve.node import find_state_folder
from wwwserve.ports.keys import KeyRules

app = App(name="keys", help="API keys of the gateway: add, list, revoke.")

_LimitFlag = Annotated[int, Parameter(validator=Number(gte=0))]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What the holder of a key may do; 0 is no limit."""

    requests_per_minute: _LimitFlag = 0
    """Requests a minute; 0 = no limit."""
    tokens_per_minute: _LimitFlag = 0
    """Prompt and completion tokens a minute; 0 = no limit."""
    concurrent: _LimitFlag = 0
    """Requests at once; 0 = no limit."""
    models: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """A model it may ask for; may be repeated, none = all."""
    priority: _LimitFlag = 0
    """0 = interactive; higher waits longer."""


_NO_LIMITS = KeyLimits()


@app.command
def add(
    name: Annotated[str, Parameter(help="Who or what the key is for, for example 'laptop'.")],
    /,
    *,
    limits: KeyLimits = _NO_LIMITS,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    rules = KeyRules(
        name=name,
        requests_per_minute_max=limits.requests_per_minute,
        tokens_per_minute_max=limits.tokens_per_minute,
        concurrent_max=limits.concurrent,
        models=limits.models,
        priority=limits.priority,
    )
    folder = find_state_folder(home, os.environ)
    folder.create()
    key = FileKeyRing(folder.api_keys_file).add(rules)
    if as_json:
        print_json({"name": name, "key": key})
    else:
        console = open_console()
        console.print(key, soft_wrap=True)
        console.print(f"[yellow]The key of {name!r}, shown this once; only its hash is kept.[/]")


@app.command(name="list")
def list_(*, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print whose keys are good, and their limits; the keys themselves are not kept."""
    folder = find_state_folder(home, os.environ)
    rules = FileKeyRing(folder.api_keys_file).list_rules()
    if as_json:
        print_json({"keys": rules})
        return
    if not rules:
        open_console().print("No keys. Make one: wwwserve keys add NAME")
        return
    print_table(
        "API keys",
        ("name", ">requests/min", ">tokens/min", ">at once", ">priority", "models"),
        [
            (
                key.name,
                _limit(key.requests_per_minute_max),
                _limit(key.tokens_per_minute_max),
                _limit(key.concurrent_max),
                str(key.priority),
                ", ".join(key.models) or "all",
            )
            for key in rules
        ],
    )


@app.command
def revoke(
    name: Annotated[str, Parameter(help="As `wwwserve keys list` shows it.")],
    /,
    *,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key worthless."""
    folder = find_state_folder(home, os.environ)
    FileKeyRing(folder.api_keys_file).revoke(name)
    if as_json:
        print_json({"revoked": name})
    else:
        open_console().print(f"The key of {name!r} is worthless within a second.")


def _limit(value: int) -> str:
    return str(value) if value else "-"
