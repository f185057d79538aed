"""Read an engine's metrics page (Prometheus text format 0.0.4), forgiving whatever is odd in it.

Sample values are kept by name: an engine that serves several models labels one sample for each.
Facts that are no numbers stand in the labels of samples that are always 1 (`list_labels`). What is
not there, or not a number that could be true, is unknown.
"""

import re
from collections.abc import Mapping, Sequence

from wwwserve.adapters.engines.pages import COUNT_MAX

METRIC_LINES_MAX = 20_000
"""Lines read of one page; the rest is ignored."""

SHARE_MAX = 1.05
"""A share of 1 may come out a little larger by rounding; what is larger is something else."""

_DIGITS_MAX = len(str(COUNT_MAX))
_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(\{.*\})?\s+(\S+)")
# Begins where a name begins: tried within a long one, it would cost the square of its length.
_LABEL = re.compile(r'(?<![A-Za-z0-9_])([A-Za-z_][A-Za-z0-9_]*)="([^"\\]*)"')
# SGLang counts requests once more for each priority, beside the sample that counts them all.
_COUNTED_ALREADY = re.compile(r'[{,]priority="[^"]')

Metrics = Mapping[str, Sequence[float]]
"""All values of each name, in the page's order."""


def parse_metrics(text: str) -> Metrics:
    """All samples of a page; lines that are not samples are skipped."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines()[:METRIC_LINES_MAX]:
        match = _SAMPLE.match(line)
        if match is None or (match[2] and _COUNTED_ALREADY.search(match[2])):
            continue
        value = _parse_value(match[3])
        if value is not None:
            found.setdefault(match[1], []).append(value)
    return found


def list_labels(text: str, name: str) -> list[Mapping[str, str]]:
    """The labels of each sample of a name, in the page's order, without values with escapes."""
    lines = text.splitlines()[:METRIC_LINES_MAX]
    matches = (_SAMPLE.match(line) for line in lines if line.startswith(name))
    return [dict(_LABEL.findall(match[2] or "")) for match in matches if match and match[1] == name]


def parse_count(text: str) -> int | None:
    """A plausible count in a label, or None."""
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None
    return count if count is not None and count <= COUNT_MAX else None


def get_count(metrics: Metrics, *names: str) -> int | None:
    """The sum of the first of `names` that the page has, or None: unknown is not zero.

    One sample that cannot be true makes the sum unknown; a later name is then tried.
    """
    for name in names:
        values = metrics.get(name, ())
        if values and all(0 <= value <= COUNT_MAX for value in values):
            return round(sum(values))
    return None


def get_permille(metrics: Metrics, *names: str) -> int | None:
    """The fullest of the first of `names` that the page has, a share of 1, in thousandths."""
    for name in names:
        values = metrics.get(name, ())
        if values and all(0 <= value <= SHARE_MAX for value in values):
            return min(1_000, round(1_000 * max(values)))
    return None


def explain_unknown_load(metrics: Metrics, prefix: str, advice: str) -> str:
    """For the operator of an engine whose running requests could not be read: what to do about it.

    `advice` is for a page without any name that begins with `prefix`.
    """
    if any(name.startswith(prefix) for name in metrics):
        return "it tells its load in a way this node does not know: is the node up to date?"
    return f"it does not tell its load: {advice}"


def _parse_value(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
