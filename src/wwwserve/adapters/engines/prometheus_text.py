"""Read an engine's metrics page (Prometheus text format 0.0.4), forgiving whatever is odd in it.

Only sample values are kept, by name: an engine that serves several models labels one sample for
each. What is not there, or not a finite number, is unknown.
"""

import math
import re
from collections.abc import Mapping, Sequence

METRIC_LINES_MAX = 20_000
"""Lines read of one page; the rest is ignored."""

_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{.*\})?\s+(\S+)")

Metrics = Mapping[str, Sequence[float]]
"""All values of each name, in the page's order."""


def parse_metrics(text: str) -> Metrics:
    """All finite samples of a page; lines that are not samples are skipped."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines()[:METRIC_LINES_MAX]:
        match = _SAMPLE.match(line)
        if match is None:
            continue
        value = _parse_value(match[2])
        if value is not None:
            found.setdefault(match[1], []).append(value)
    return found


def get_count(metrics: Metrics, *names: str) -> int | None:
    """The sum of the first of `names` that the page has, or None: unknown is not zero."""
    for name in names:
        if name in metrics:
            return round(sum(metrics[name]))
    return None


def get_permille(metrics: Metrics, *names: str) -> int | None:
    """The fullest of the first of `names` that the page has, a share of 1, in thousandths."""
    for name in names:
        if name in metrics:
            return min(1_000, max(0, round(1_000 * max(metrics[name]))))
    return None


def _parse_value(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
