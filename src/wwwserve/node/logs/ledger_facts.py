"""Which facts of the ledger become log lines: those of this node's account, and what stops all."""

import logging
import re
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Final

import msgspec

from wwwserve.core.facts import ForkProved, LedgerBegun, TokenCountsDiffer
from wwwserve.core.ledger_facts import (
    Circulated,
    FeedVoid,
    Fined,
    Joined,
    LedgerFact,
    LedgerHalted,
    NewcomerEnded,
    OpRefused,
    StakeChanged,
    Transferred,
    Unbonded,
)
from wwwserve.values.ids import NodeId, node_prefix

BookFact = LedgerFact | LedgerBegun | ForkProved | TokenCountsDiffer
BOOK_FACTS: Final = (LedgerFact, LedgerBegun, ForkProved, TokenCountsDiffer)
"""What `describe_ledger` describes."""
_PREFIX_BYTES: Final = 6
"""Of an id: enough to find the other line about it."""
_WORD: Final = re.compile("(?<!^)(?=[A-Z])")

Value = str | int | None


def describe_ledger(
    fact: BookFact,
) -> tuple[int, str, Mapping[str, Value]]:
    """Level, event and fields of a fact; the event is its name, in words."""
    words = _WORD.sub(" ", type(fact).__name__).lower()
    shown = {
        entry.name: (
            # As every other line and command names a node.
            node_prefix(getattr(fact, entry.name))
            if entry.type is NodeId
            else _show(getattr(fact, entry.name))
        )
        for entry in _list_fields(type(fact))
    }
    return find_book_level(fact), words, shown


@cache
def _list_fields(kind: type[BookFact]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a kind of facts; to ask for them takes longer than all the rest of a line."""
    return msgspec.structs.fields(kind)


def find_book_level(fact: BookFact) -> int:
    """The level of a fact's line."""
    match fact:
        case LedgerHalted() | ForkProved():
            return logging.ERROR
        case FeedVoid() | OpRefused() | Fined() | TokenCountsDiffer():
            return logging.WARNING
        case LedgerBegun() | Transferred() | StakeChanged() | Unbonded() | Joined():
            return logging.INFO
        case NewcomerEnded() | Circulated():
            return logging.INFO
        case _:
            # Holds and feed blocks: several for each request.
            return logging.DEBUG


def _show(value: object) -> Value:
    match value:
        case bytes():
            return value[:_PREFIX_BYTES].hex()
        case Enum():
            return value.name.lower()
        case bool():
            return "yes" if value else "no"
        case int():
            return value
        case _:
            return str(value)
