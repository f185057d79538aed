"""How busy the machine is that a node runs on."""

from typing import Protocol


class ReadsMachine(Protocol):
    """Looks at processors and graphics cards."""

    def read_busy_permille(self) -> int | None:
        """The share of their time that the processors, or the busiest graphics card, were busy.

        In thousandths, since the last call; None if it cannot be said yet. May take a while.
        """
        ...
