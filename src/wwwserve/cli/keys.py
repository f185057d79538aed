"""`wwwserve keys`: who may use the gateway. A running node notices changes within a second."""

import os
from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from wwwserve.adapters.host import FileKeyRing, FileSpending
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json, print_table
from wwwserve.node import find_state_folder
from wwwserve.ports.keys import BudgetPeriod, KeyRules
from wwwserve.values.credits import credits_text, parse_credits
from wwwserve.values.refusals import BadInput

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
    objective: str = ""
    """Name of one of the node's [[objectives]]; without one, the one called default."""
    budget: str = ""
    """Credits it may spend on other nodes' work, for example 10; without one, no limit."""
    budget_period: BudgetPeriod = BudgetPeriod.TOTAL
    """When the budget begins anew: each day or month (of UTC), or never (total)."""


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
        objective=limits.objective,
        budget=_read_budget(limits),
        budget_period=limits.budget_period,
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
    spending = FileSpending(folder.spending_file)
    if as_json:
        print_json({"keys": [_make_json(key, spending) for key in rules]})
        return
    if not rules:
        open_console().print("No keys. Make one: wwwserve keys add NAME")
        return
    print_table(
        "API keys",
        ("name", ">requests/min", ">tokens/min", ">at once", ">priority", "models", "spent"),
        [
            (
                key.name,
                _limit(key.requests_per_minute_max),
                _limit(key.tokens_per_minute_max),
                _limit(key.concurrent_max),
                str(key.priority),
                ", ".join(key.models) or "all",
                _describe_spent(key, spending),
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


def _read_budget(limits: KeyLimits) -> int:
    """The budget in micro-credits; 0 = none."""
    if limits.budget:
        budget = parse_credits("--budget", limits.budget)
        if budget:
            return budget
        fix = "leave it out for no limit; a key that may spend nothing asks with route local"
        raise BadInput("--budget", limits.budget, "more than nothing", fix)
    if limits.budget_period is not BudgetPeriod.TOTAL:
        found = limits.budget_period.value
        raise BadInput("--budget-period", found, "--budget with it", "add --budget 10")
    return 0


def _make_json(key: KeyRules, spending: FileSpending) -> dict[str, object]:
    """A key's rules, and what it has spent of its budget; amounts are micro-credits."""
    left = spending.find_left(key)
    return {**asdict(key), "spent": None if left is None else left.spent}


def _describe_spent(key: KeyRules, spending: FileSpending) -> str:
    left = spending.find_left(key)
    if left is None:
        return "-"
    period = "" if key.budget_period is BudgetPeriod.TOTAL else f" a {key.budget_period.value}"
    return f"{credits_text(left.spent)} of {credits_text(left.budget)}{period}"


def _limit(value: int) -> str:
    return str(value) if value else "-"
