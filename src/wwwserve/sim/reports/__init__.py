"""What runs come to: the JSON object of a command, tables, and a page of figures."""

from wwwserve.sim.reports.changes import create_run_changes_table
from wwwserve.sim.reports.costs import describe_costs
from wwwserve.sim.reports.intervals import Interval, compute_interval
from wwwserve.sim.reports.page import create_page, create_saved_tables
from wwwserve.sim.reports.records import (
    choose_best,
    create_csv,
    create_report_json,
    create_table,
)
from wwwserve.sim.reports.saved import (
    SavedReport,
    SavedRequest,
    SavedRun,
    parse_saved,
    parse_saved_requests,
)

__all__ = [
    "Interval",
    "SavedReport",
    "SavedRequest",
    "SavedRun",
    "choose_best",
    "compute_interval",
    "create_csv",
    "create_page",
    "create_report_json",
    "create_run_changes_table",
    "create_saved_tables",
    "create_table",
    "describe_costs",
    "parse_saved",
    "parse_saved_requests",
]
