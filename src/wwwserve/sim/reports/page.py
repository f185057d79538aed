"""Saved runs as tables, and as one page that needs nothing but itself.

| figure | of |
|---|---|
| attainment against load | all reports of one ground that were saved at different loads |
| attainment against threshold | one report: the share of requests whole within so many seconds |
| latency over time | one report: mean time to the last token of those that came then |
| running at each node | one report: on average, by the node that answered |
| requests in the network | one report: come and not over yet |
"""

from bisect import bisect_right
from collections.abc import Sequence
from html import escape

from wwwserve.sim.reports.changes import create_changes_table
from wwwserve.sim.reports.chart import Chart, Line, Mark, Point, draw_chart
from wwwserve.sim.reports.nodes import draw_nodes
from wwwserve.sim.reports.saved import SavedMeans, SavedReport, SavedRequest, SavedRun

THRESHOLDS = 60
"""Points of the curve over thresholds."""
BINS = 40
"""Points of a curve over time."""
_PATIENT = 0.98
"""Share of the answers by which the axis of thresholds ends."""
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1340px;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.6rem}h2{margin-top:2.5rem}table{border-collapse:collapse;margin:1rem 0}
td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}code{background:#f3f3f3;padding:.1rem .3rem}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:1.5rem}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}svg .title{font-weight:600;font-size:14px}
.grid{stroke:#e4e4e4}.mark{stroke:#888;stroke-dasharray:2 4}.mark-text{text-anchor:end;fill:#666}
.curve{fill:none;stroke-width:1.8}.y{text-anchor:end}.x{text-anchor:middle}
"""


Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""A title, heads and rows."""


def create_saved_tables(runs: Sequence[SavedRun]) -> list[Table]:
    """For each report a title, heads (of numbers with a `>`) and rows; then its comparisons."""
    tables: list[Table] = []
    for run in runs:
        report = run.report
        aims = list(next(iter(report.summary.values())).slo)[:2]
        heads = ("strategy", ">seeds", *(f">in {aim}" for aim in aims), *_TIMES, ">offloaded")
        rows = [_create_row(report, name, aims) for name in report.summary]
        tables.append((f"{report.ground} at load {report.load:.2f}", heads, rows))
        compared = [
            (
                f"{one.strategy} - {one.against}",
                one.objective,
                f"{one.mean:+.1%}",
                _tell_bounds(one.low, one.high),
            )
            for one in report.differences
            if one.objective in aims
        ]
        changes = {
            name: [one.changes for one in report.runs if one.strategy == name]
            for name in report.summary
        }
        tables += create_changes_table(report.ground, changes)
        if compared:
            heads = ("paired by seed", "objective", ">difference", ">95 %")
            tables.append((f"{report.ground}: differences", heads, compared))
    return tables


_TIMES = (">e2e mean s", ">p50", ">p95", ">p99", ">ttft p95 s", ">tpot p50 ms")


def create_page(runs: Sequence[SavedRun]) -> str:
    """The page, as HTML."""
    tables = create_saved_tables(runs)
    sections = [_draw_table(*table) for table in tables]
    figures = [*_draw_loads(runs)]
    for run in runs:
        figures += [*_draw_run(run), *draw_nodes(run)]
    made = "".join(
        f"<li>{escape(run.report.scenario)}: <code>{escape(run.report.made.get('command', ''))}"
        f"</code> at {escape(run.report.made.get('commit', ''))} on "
        f"{escape(run.report.made.get('machine', ''))}</li>"
        for run in runs
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>wwwserve: simulated runs'
        f"</title><style>{_STYLE}</style></head><body><h1>Simulated runs</h1>"
        f"<ul>{made}</ul>{''.join(sections)}<h2>Figures</h2>"
        f'<div class="figures">{"".join(f"<figure>{figure}</figure>" for figure in figures)}</div>'
        "</body></html>\n"
    )


def _create_row(report: SavedReport, name: str, aims: Sequence[str]) -> tuple[str, ...]:
    means = report.summary[name]
    runs = [run for run in report.runs if run.strategy == name]
    shown = f"{name} ({runs[0].stands_for})" if runs and runs[0].stands_for else name
    return (
        shown,
        _tell_seeds([one.seed for one in runs]),
        *(_tell_share(means, aim) for aim in aims),
        *(f"{means.e2e_s[key]:.2f}" for key in ("mean", "p50", "p95", "p99")),
        f"{means.ttft_s['p95']:.2f}",
        f"{means.tpot_s['p50'] * 1000:.1f}",
        f"{means.offloaded:.1%}",
    )


def _tell_seeds(seeds: Sequence[int]) -> str:
    """Which they are: a command plays a seed or a range of them."""
    return str(seeds[0]) if len(seeds) == 1 else f"{min(seeds)}-{max(seeds)}"


def _tell_share(means: SavedMeans, aim: str) -> str:
    low, high = means.slo_ci95[aim]
    half = f" ±{(high - low) / 2:.1%}" if low is not None and high is not None else ""
    return f"{means.slo[aim]:.1%}{half}"


def _tell_bounds(low: float | None, high: float | None) -> str:
    return "one seed" if low is None or high is None else f"{low:+.1%} to {high:+.1%}"


def _draw_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(head.removeprefix('>'))}</th>" for head in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<h2>{escape(title)}</h2><table><tr>{top}</tr>{body}</table>"


# -- figures -------------------------------------------------------------------------------------


def _draw_loads(runs: Sequence[SavedRun]) -> list[str]:
    by_ground: dict[str, list[SavedReport]] = {}
    for run in sorted(runs, key=lambda run: run.report.load):
        by_ground.setdefault(run.report.ground, []).append(run.report)
    figures = []
    for ground, reports in by_ground.items():
        if len({report.load for report in reports}) > 1:
            aim = next(iter(next(iter(reports[0].summary.values())).slo))
            figures.append(_draw_load(ground, reports, aim))
    return figures


def _draw_load(ground: str, reports: Sequence[SavedReport], aim: str) -> str:
    names = dict.fromkeys(name for report in reports for name in report.summary)
    lines = [
        Line(
            name,
            [
                Point(report.load, means.slo[aim], *means.slo_ci95[aim])
                for report in reports
                if (means := report.summary.get(name)) is not None and aim in means.slo
            ],
        )
        for name in names
    ]
    title = f"{ground}: attainment of {aim} against load"
    return draw_chart(Chart(title, "load, as a share of saturated", f"met {aim}", lines, 1.0))


def _draw_run(run: SavedRun) -> list[str]:
    """The figures of one report; over all seeds of each strategy together."""
    title = f"{run.report.ground} at load {run.report.load:.2f}"
    everything = {
        name: [one for requests in seeds.values() for one in requests]
        for name, seeds in run.requests.items()
    }
    answered = sorted(
        one.e2e_s for requests in everything.values() for one in requests if one.is_answered
    )
    if not answered:
        return []
    longest_s = answered[int(_PATIENT * (len(answered) - 1))]
    last_s = max(one.arrival_s for requests in everything.values() for one in requests)
    within = [Line(name, _count_within(one, longest_s)) for name, one in everything.items()]
    over_time = [Line(name, _average_over_time(one, last_s)) for name, one in everything.items()]
    open_then = [
        Line(name, _count_open(everything[name], last_s, len(seeds)))
        for name, seeds in run.requests.items()
    ]
    # A plan's changes come at the same instants in all its runs.
    marks = [Mark(one.at_s, f"{one.kind} {one.node}") for one in run.report.runs[0].changes]
    return [
        draw_chart(
            Chart(f"{title}: whole within", "threshold, s", "share of requests", within, 1.0)
        ),
        draw_chart(
            Chart(f"{title}: latency over time", "time, s", "mean e2e, s", over_time, marks=marks)
        ),
        draw_chart(
            Chart(f"{title}: requests in the network", "time, s", "open requests", open_then)
        ),
    ]


def _count_within(requests: Sequence[SavedRequest], longest_s: float) -> list[Point]:
    times = sorted(one.e2e_s for one in requests if one.is_answered)
    thresholds = [longest_s * index / THRESHOLDS for index in range(THRESHOLDS + 1)]
    return [Point(bound, bisect_right(times, bound) / len(requests)) for bound in thresholds]


def _average_over_time(requests: Sequence[SavedRequest], last_s: float) -> list[Point]:
    bins: list[list[float]] = [[] for _ in range(BINS)]
    for one in requests:
        if one.is_answered:
            bins[min(BINS - 1, int(one.arrival_s / last_s * BINS))].append(one.e2e_s)
    return [
        Point((index + 0.5) * last_s / BINS, sum(times) / len(times))
        for index, times in enumerate(bins)
        if times
    ]


def _count_open(requests: Sequence[SavedRequest], last_s: float, seeds: int) -> list[Point]:
    begins = sorted(one.arrival_s for one in requests)
    ends = sorted(one.arrival_s + one.e2e_s for one in requests)
    moments = [last_s * index / BINS for index in range(BINS + 1)]
    return [
        Point(moment, (bisect_right(begins, moment) - bisect_right(ends, moment)) / seeds)
        for moment in moments
    ]
