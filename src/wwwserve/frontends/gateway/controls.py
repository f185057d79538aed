"""What a user may say about how a request is run: `x-wwwserve-...`, as headers or in the body.

The `openai` SDK sends headers with `extra_headers` and members of the body with `extra_body`. A
header wins over a member of the same name. None of them ever reaches an engine.

    x-wwwserve-route         auto, local or network
    x-wwwserve-private       true: never audited, and run here or by an executor that -executors
                             names; false: not so. Unsaid, it is as the node's provider chose
    x-wwwserve-executors     names of nodes, separated by commas: no other may run it
    x-wwwserve-deadline-ms   time after which the answer is worth nothing
    x-wwwserve-objective     one of the node's objectives by its name, instead of the key's
    x-wwwserve-objective-ms  time in which the whole answer is hoped for, instead of either
    x-wwwserve-max-cost      credits that may be spent on it: other nodes are paid for their work
    x-wwwserve-max-price     credits for a million tokens, prompt or answer: no dearer node runs it
    x-wwwserve-seed          sets `seed`, if the body does not
    x-wwwserve-audit         in or out; read and checked, and of no effect before there are audits
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from wwwserve.core.requests import OWN_FIELD_PREFIX
from wwwserve.core.sessions import Route
from wwwserve.frontends.gateway.errors import refuse_field
from wwwserve.values.credits import MICROCREDITS_MAX, parse_credits
from wwwserve.values.ids import NodeId, parse_node_id
from wwwserve.values.moments import MILLISECOND
from wwwserve.values.refusals import BadInput

DEADLINE_MS_MAX = 24 * 3600 * 1000
"""The farthest deadline: a day."""
EXECUTORS_MAX = 64
"""Nodes one request may name."""
SEED_MAX = 2**63 - 1
NUMBER_LENGTH_MAX = 19
"""Digits of any number here."""

Choice = TypeVar("Choice")

_ROUTE = OWN_FIELD_PREFIX + "route"
_PRIVATE = OWN_FIELD_PREFIX + "private"
_EXECUTORS = OWN_FIELD_PREFIX + "executors"
_DEADLINE = OWN_FIELD_PREFIX + "deadline-ms"
OBJECTIVE_CONTROL = OWN_FIELD_PREFIX + "objective"
_OBJECTIVE_MS = OWN_FIELD_PREFIX + "objective-ms"
_SEED = OWN_FIELD_PREFIX + "seed"
_AUDIT = OWN_FIELD_PREFIX + "audit"
_PRICE = OWN_FIELD_PREFIX + "max-price"
_COST = OWN_FIELD_PREFIX + "max-cost"
_NAMES = (
    _ROUTE,
    _PRIVATE,
    _EXECUTORS,
    _DEADLINE,
    OBJECTIVE_CONTROL,
    _OBJECTIVE_MS,
    _SEED,
    _AUDIT,
    _COST,
    _PRICE,
)

_ROUTES = {route.value: route for route in Route}
_YES_OR_NO = {"true": True, "false": False}
_IN_OR_OUT = {"in": True, "out": False}
_VALUES = msgspec.json.Decoder(str | bool | int | list[str] | None)


class Controls(msgspec.Struct, frozen=True):
    """A user's wishes for one request."""

    route: Route = Route.AUTO
    is_private: bool = False
    executors: tuple[NodeId, ...] = ()
    deadline_us: int = 0
    """0 = none."""
    seed: int | None = None
    cost_max: int = MICROCREDITS_MAX
    """Micro-credits."""
    price_max: int = MICROCREDITS_MAX
    """Micro-credits for a million tokens."""
    objective: str = ""
    """Name of one; empty = the key's."""
    objective_us: int = 0
    """A time instead of a name; 0 = none."""


_NO_WISHES = Controls()
_NO_WISHES_IN_PRIVATE = Controls(is_private=True)


def read_controls(
    headers: Mapping[str, str],
    fields: Mapping[str, msgspec.Raw],
    *,
    is_private_unsaid: bool = False,
) -> Controls:
    """Read the wishes of a request; raises `Refused` (400) for one that is unknown or wrong.

    `is_private_unsaid`: whether it is private if its user says nothing about that.
    """
    texts = {name: _read_value(name, raw) for name, raw in fields.items()}
    for name in [name for name in headers if name[:1] in "xX"]:
        if name.lower().startswith(OWN_FIELD_PREFIX):
            texts[name.lower()] = headers[name].strip()
    if not texts:
        return _NO_WISHES_IN_PRIVATE if is_private_unsaid else _NO_WISHES
    for name in texts:
        _validate_name(name)
    is_private = _read_choice(texts, _PRIVATE, _YES_OR_NO, default=is_private_unsaid)
    audited = _read_choice(texts, _AUDIT, _IN_OR_OUT, default=False)
    if is_private and audited:
        raise refuse_field(_AUDIT, "a private request is never audited", "leave one of them out")
    route = _read_choice(texts, _ROUTE, _ROUTES, default=Route.AUTO)
    executors = _read_executors(texts.get(_EXECUTORS, ""))
    if is_private and route is Route.NETWORK and not executors:
        message = "a private request goes to no node that is not named"
        raise refuse_field(_PRIVATE, message, f"{_EXECUTORS}, or another route")
    return Controls(
        route=route,
        is_private=is_private,
        executors=executors,
        deadline_us=(_read_number(texts, _DEADLINE, 1, DEADLINE_MS_MAX) or 0) * MILLISECOND,
        objective=texts.get(OBJECTIVE_CONTROL, ""),
        objective_us=(_read_number(texts, _OBJECTIVE_MS, 1, DEADLINE_MS_MAX) or 0) * MILLISECOND,
        seed=_read_number(texts, _SEED, 0, SEED_MAX),
        cost_max=_read_credits(texts, _COST),
        price_max=_read_credits(texts, _PRICE),
    )


def _read_value(name: str, raw: msgspec.Raw) -> str:
    if bytes(raw)[:1].isdigit():
        # As it is written: an amount must not pass through a number that cannot hold it.
        return bytes(raw).decode()
    try:
        value = _VALUES.decode(raw)
    except ValueError as error:
        raise refuse_field(name, "expected a text, a number, or true or false", "a text") from error
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ",".join(value)
        case None:
            return ""
        case _:
            return str(value)


def _validate_name(name: str) -> None:
    if name not in _NAMES:
        raise refuse_field(name[:80], "no such control", ", ".join(_NAMES))


def _read_choice(
    texts: Mapping[str, str], name: str, choices: Mapping[str, Choice], *, default: Choice
) -> Choice:
    text = texts.get(name, "")
    if not text:
        return default
    if text.lower() not in choices:
        raise refuse_field(name, f"expected one of {', '.join(choices)}", next(iter(choices)))
    return choices[text.lower()]


def _read_number(texts: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = texts.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_LENGTH_MAX):
        raise refuse_field(name, f"expected a whole number from {low} to {high}", str(low))
    if not low <= int(text) <= high:
        raise refuse_field(name, f"expected {low} to {high}", str(low))
    return int(text)


def _read_credits(texts: Mapping[str, str], name: str) -> int:
    text = texts.get(name, "")
    if not text:
        return MICROCREDITS_MAX
    try:
        return parse_credits(name, text)
    except BadInput as error:
        raise refuse_field(name, f"expected {error.expected}", error.fix) from error


def _read_executors(text: str) -> tuple[NodeId, ...]:
    names = [name for name in (part.strip() for part in text.split(",")) if name]
    if len(names) > EXECUTORS_MAX:
        raise refuse_field(_EXECUTORS, f"expected at most {EXECUTORS_MAX} nodes", "name fewer")
    try:
        return tuple(parse_node_id(name) for name in names)
    except BadInput as error:
        raise refuse_field(_EXECUTORS, f"expected {error.expected}", error.fix) from error
