"""Measurements of the product against a plain baseline in the same run, one module per bench.

Each bench is `wwwserve.bench.NAME.measure_NAME(repeats)`, loaded by name only when it is asked for.
"""

from wwwserve.bench.results import (
    BenchReport,
    BenchResult,
    make_report,
    read_commit,
    read_machine,
)

__all__ = ["BenchReport", "BenchResult", "make_report", "read_commit", "read_machine"]
