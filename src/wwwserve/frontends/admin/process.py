"""What the process that runs a node takes of the machine."""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from wwwserve.values.limits import KIB


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """One look at this process."""

    cpu_s: float
    """Processor time it has taken so far."""
    rss_bytes: int
    """Its memory that is in RAM."""


def read_process_use() -> ProcessUse:
    """Look at this process now."""
    return ProcessUse(time.process_time(), _read_rss_bytes())


def _read_rss_bytes() -> int:
    """Memory in RAM; where the system does not tell, the highest it ever was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB
