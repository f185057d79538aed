"""What work costs: prices per million tokens, and every amount that follows from them.

All amounts are whole micro-credits, rounded up, and none is above `MICROCREDITS_MAX`. Each rule is
one function, used by both sides of a hold: what its payer writes is what its payee expects.
"""

from math import isqrt
from typing import Final

import msgspec

from wwwserve.core.paying import AHEAD
from wwwserve.core.pricing import Prices
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.ledger_parameters import LedgerParameters

UNIT_TOKENS_MIN: Final = 4
"""The finest unit the ledger takes."""
UNIT_TOKENS_MAX: Final = 256
"""The coarsest."""
UNITS_PER_ANSWER: Final = 8
"""A unit is about so much of the answer: half a unit of rounding is then some 6 % at most."""
_MILLION: Final = 1_000_000


class HoldPlan(msgspec.Struct, frozen=True):
    """The amounts of a hold for one request."""

    first: int
    unit: int
    units_max: int
    unit_tokens: int

    @property
    def locked(self) -> int:
        """The most it can pay."""
        return self.first + (self.units_max - 1) * self.unit


def compute_prompt_step(prompt_tokens: int) -> int:
    """The step k for which the k-th power of sqrt 2 is nearest to a count, by ratio.

    An exact count would tell one prompt from another in the log.
    """
    # Nearest by ratio: 2^(k - 1/2) <= count^2 < 2^(k + 1/2), squared once more to whole numbers.
    return (max(prompt_tokens, 1) ** 4).bit_length() // 2


def compute_first(prompt_price: int, prompt_step: int) -> int:
    """What a prompt of a step costs; at least 1, for the ledger takes no hold of nothing."""
    square = prompt_price * prompt_price << prompt_step
    root = isqrt(square)
    root += root * root < square
    return min(max(_divide_up(root, _MILLION), 1), MICROCREDITS_MAX)


def compute_unit(completion_price: int, unit_tokens: int) -> int:
    """What a unit costs."""
    return min(_divide_up(completion_price * unit_tokens, _MILLION), MICROCREDITS_MAX)


def choose_unit_tokens(predicted_tokens: int | None, parameters: LedgerParameters) -> int:
    """How many tokens a unit is: a power of two near an eighth of the answer, else the network's.

    None: nothing is known of the answer's length.
    """
    if predicted_tokens is None:
        return parameters.unit_tokens
    eighth = max(predicted_tokens // UNITS_PER_ANSWER, 1)
    # The nearest power of two by ratio: that of the square, halved.
    nearest = 1 << (eighth * eighth).bit_length() // 2
    return max(UNIT_TOKENS_MIN, min(nearest, UNIT_TOKENS_MAX))


def compute_units_max(
    completion_tokens: int, unit_tokens: int, parameters: LedgerParameters
) -> int:
    """A power of two of units that pays so many tokens, one unit ahead; 1 where there are none.

    The prompt has the first. One more than the tokens need is there to be paid ahead.
    """
    if completion_tokens == 0:
        return 1
    needed = completion_tokens // unit_tokens + 2
    return min(1 << (needed - 1).bit_length(), parameters.units_max)


def plan_hold(
    prices: Prices,
    prompt_tokens: int,
    completion_tokens: int,
    predicted_tokens: int | None,
    parameters: LedgerParameters,
) -> HoldPlan:
    """A hold for a prompt of about that length and an answer of at most so many tokens."""
    unit_tokens = choose_unit_tokens(predicted_tokens, parameters)
    return HoldPlan(
        first=compute_first(prices.prompt, compute_prompt_step(prompt_tokens)),
        unit=compute_unit(prices.completion, unit_tokens),
        units_max=compute_units_max(completion_tokens, unit_tokens, parameters),
        unit_tokens=unit_tokens,
    )


def plan_extension(
    plan: HoldPlan, completion_tokens: int, parameters: LedgerParameters
) -> HoldPlan:
    """A hold for so many further tokens: its first is worth a unit too, for the prompt is paid."""
    units_max = compute_units_max(completion_tokens, plan.unit_tokens, parameters)
    first = max(plan.unit, 1)
    return HoldPlan(first, plan.unit, units_max, plan.unit_tokens)


def compute_cost(plan: HoldPlan, completion_tokens: int) -> int:
    """What a prompt and a whole answer of a length come to: half a unit counts as one."""
    unit = plan.unit_tokens
    return plan.first + plan.unit * ((2 * completion_tokens + unit) // (2 * unit))


def choose_lead(parameters: LedgerParameters, *, is_trusted: bool, is_seated: bool) -> int:
    """Units a payee delivers before it is paid: none to strangers, unless it is new itself."""
    return parameters.lead_units if is_trusted or not is_seated else AHEAD


def _divide_up(amount: int, divisor: int) -> int:
    return -(-amount // divisor)
