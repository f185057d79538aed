"""Whether something keeps the machine's calendar clock right, as its kernel knows it."""

import ctypes
import sys
from enum import Enum
from typing import Final

_TIMEX_BYTES: Final = 512
"""More than the kernel's `struct timex` on any platform (208 bytes on 64-bit Linux)."""
_TIME_ERROR: Final = 5
"""What `adjtimex` answers while nobody has set the clock by a time server (adjtimex(2))."""


class ClockState(Enum):
    """What is known of the clock."""

    KEPT = "kept"
    """A time server's word was heard lately."""
    FREE = "free"
    """None was, or not by this system."""
    UNKNOWN = "unknown"
    """The system does not say."""


def read_clock_state() -> ClockState:
    """Ask the kernel; never raises. Only Linux is asked: others have no call that all may make."""
    if sys.platform != "linux":
        return ClockState.UNKNOWN
    try:
        # All zeros ask without changing anything, which needs no privilege.
        answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return ClockState.UNKNOWN
    if answer < 0:
        return ClockState.UNKNOWN
    return ClockState.FREE if answer == _TIME_ERROR else ClockState.KEPT
