"""What a gateway needs to know about API keys."""

from dataclasses import dataclass
from typing import Protocol


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


class KeyRing(Protocol):
    """The API keys of this node."""

    def find(self, key: str) -> KeyRules | None:
        """The rules of a presented key, or None if it is not one of ours (or was revoked)."""
        ...

    def is_open(self) -> bool:
        """Whether requests without any key are served (only ever on a loopback bind)."""
        ...
