"""Money: whole micro-credits, never a fraction.

One credit is, at genesis, the price of the reference request: 500 prompt and 250 completion tokens
of an 8B model. People see credits; records, tables and sums hold micro-credits.
"""

import re
from typing import Final

from wwwserve.values.refusals import BadInput

CREDIT: Final = 1_000_000
"""Micro-credits in a credit."""
MICROCREDITS_MAX: Final = 2**63 - 1
"""No amount, and no supply, is larger: every sum of amounts of one network fits in 64 bits."""
_DECIMALS: Final = 6
_WRITTEN: Final = re.compile(rf"([0-9]{{1,19}})(?:\.([0-9]{{1,{_DECIMALS}}}))?", re.ASCII)
_SHOWN_MAX: Final = 40
_UNITS: Final = ("credits", "credit", "cr")


def credits_text(microcredits: int) -> str:
    """An amount as people read it: credits with as many decimals as it needs, and the unit."""
    return f"{credits_number(microcredits)} cr"


def credits_number(microcredits: int) -> str:
    """The same without the unit, where the name beside it says that: a header, a JSON member."""
    whole, rest = divmod(abs(microcredits), CREDIT)
    decimals = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if microcredits < 0 else ''}{whole}{decimals}"


def parse_credits(field: str, text: str | int) -> int:
    """Read an amount of credits as a person writes it, exactly; gives micro-credits.

    `12`, `0.25` and `1.5 cr` are amounts; what is smaller than a micro-credit, negative, or more
    than there can be raises `BadInput` naming `field`.
    """
    word = str(text).strip(" ")
    for unit in _UNITS:
        word = word.removesuffix(unit)
    written = _WRITTEN.fullmatch(word.strip(" "))
    amount = -1
    if written is not None:
        whole, decimals = written.groups()
        amount = int(whole) * CREDIT + int((decimals or "").ljust(_DECIMALS, "0"))
    if not 0 <= amount <= MICROCREDITS_MAX:
        raise BadInput(
            field=field,
            found=str(text)[:_SHOWN_MAX],
            expected=f"credits, at most {_DECIMALS} decimals and {MICROCREDITS_MAX // CREDIT}",
            fix='for example 12, "0.25" or "1.5 cr"',
        )
    return amount
