"""Money: whole micro-credits, never a fraction.

One credit is, at genesis, the price of the reference request: 500 prompt and 250 completion tokens
of an 8B model. People see credits; records, tables and sums hold micro-credits.
"""

from typing import Final

CREDIT: Final = 1_000_000
"""Micro-credits in a credit."""
MICROCREDITS_MAX: Final = 2**63 - 1
"""No amount, and no supply, is larger: every sum of amounts of one network fits in 64 bits."""


def credits_text(microcredits: int) -> str:
    """An amount as people read it: credits with as many decimals as it needs, and the unit."""
    whole, rest = divmod(abs(microcredits), CREDIT)
    decimals = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if microcredits < 0 else ''}{whole}{decimals} cr"
