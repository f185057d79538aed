"""What a provider asks for work done for others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX
from wwwserve.values.model_names import ModelId

_PERMILLE: Final = 1000
PRICE_MAX: Final = 1_000_000 * CREDIT
"""The highest price of a million tokens: a credit a token. More in a quote is not paid."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in micro-credits; 0 is free."""

    prompt: int
    completion: int

    @property
    def is_payable(self) -> bool:
        """Whether they are prices at all, and none beyond the highest."""
        return 0 <= self.prompt <= PRICE_MAX and 0 <= self.completion <= PRICE_MAX

    def scale(self, permille: int) -> "Prices":
        """That share of them, in thousandths, rounded up; what is payable stays so."""
        return Prices(_scale(self.prompt, permille), _scale(self.completion, permille))


PRICES_DEFAULT: Final = Prices(prompt=667 * CREDIT, completion=2_667 * CREDIT)
"""At which the reference request, 500 prompt and 250 completion tokens, costs a credit."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """What a provider asks, as its operator set it."""

    default: Prices = PRICES_DEFAULT
    models: Mapping[ModelId, Prices] = field(default_factory=dict)
    line_max: int = MICROCREDITS_MAX
    """The most it lends one payer while the ledger stands still; the network's bound holds too."""

    def find(self, model: ModelId) -> Prices:
        """The prices of a model."""
        return self.models.get(model, self.default)


PRICE_TABLE_DEFAULT: Final = PriceTable()


def _scale(price: int, permille: int) -> int:
    return min(-(-price * permille // _PERMILLE), max(price, PRICE_MAX))
