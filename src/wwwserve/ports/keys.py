"""What a gateway needs to know about API keys."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class BudgetPeriod(Enum):
    """How long a budget has to last. Days and months are those of UTC."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"
    """It is never renewed."""


@dataclass(frozen=True, slots=True)
class KeyRules:
    """One API key and what its holder may do. The key itself is never kept, only its hash."""

    name: str
    requests_per_minute_max: int = 0
    """0 = no limit, here and below."""
    tokens_per_minute_max: int = 0
    """Estimated prompt plus allowed completion tokens at entry, corrected by real usage after."""
    concurrent_max: int = 0
    models: tuple[str, ...] = ()
    """Names it may ask for (as users write them, folded); empty = all."""
    priority: int = 0
    """Class: 0 interactive, higher waits longer."""
    objective: str = ""
    """Name of what its holder hopes for; empty = the node's `default`, if there is one."""
    budget: int = 0
    """Micro-credits it may spend on other nodes' work in a period; 0 = no limit."""
    budget_period: BudgetPeriod = BudgetPeriod.TOTAL
    key_id: str = field(default="", compare=False)
    """Whose they are: the beginning of the key's hash. Empty: of a key not made yet."""


class KeyRing(Protocol):
    """The API keys of this node."""

    def find(self, key: str) -> KeyRules | None:
        """The rules of a presented key, or None if it is not one of ours (or was revoked)."""
        ...

    def is_open(self) -> bool:
        """Whether requests without any key are served (only ever on a loopback bind)."""
        ...
