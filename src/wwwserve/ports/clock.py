"""What a peer needs of time: a monotonic number, and nothing else."""

from typing import Protocol

from wwwserve.values.moments import Moment


class Clock(Protocol):
    """The host's monotonic clock."""

    def now(self) -> Moment:
        """Microseconds since an arbitrary start; never goes back."""
        ...
