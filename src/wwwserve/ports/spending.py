"""What a gateway needs to know of budgets: what is left of one, and writing down what was spent."""

from dataclasses import dataclass
from typing import Protocol

from wwwserve.ports.keys import KeyRules


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """What an API key may still spend. Amounts are micro-credits."""

    budget: int
    spent: int
    renews: str
    """When there is a new one, for a person; empty: never."""
    renews_in_s: int
    """The same in seconds; 0: never."""

    @property
    def left(self) -> int:
        """What is left; below zero after a request that cost more than there was."""
        return self.budget - self.spent


class Spending(Protocol):
    """What the API keys of this node have spent on other nodes' work."""

    def find_left(self, rules: KeyRules) -> BudgetLeft | None:
        """What is left of a key's budget in the current period; None: it has no budget."""
        ...

    def charge(self, rules: KeyRules, microcredits: int) -> None:
        """Write down what a request of this key has cost. It outlives the process at once."""
        ...


class NoSpending:
    """Nobody has a budget: of networks where nothing is paid, and of tests."""

    def find_left(self, rules: KeyRules) -> BudgetLeft | None:
        """See `Spending`."""
        del rules
        return None

    def charge(self, rules: KeyRules, microcredits: int) -> None:
        """See `Spending`."""
        del rules, microcredits
