"""The host's monotonic clock, in whole microseconds."""

import time

from wwwserve.values.moments import Moment

_NANOSECONDS_PER_MICROSECOND = 1_000


class MonotonicClock:
    """Time for a real node: never goes back, and has nothing to do with the calendar."""

    def now(self) -> Moment:
        """See `ports.clock.Clock`."""
        return Moment(time.monotonic_ns() // _NANOSECONDS_PER_MICROSECOND)
