"""What runs at each node over time: where they differ by a policy, the paper's figure of it."""

from wwwserve.sim.reports.chart import Chart, Line, Point, draw_chart
from wwwserve.sim.reports.saved import SavedRequest, SavedRun

NODES_DRAWN_MAX = 12
"""Nodes told apart in one figure; of a larger network none is drawn."""
SPANS = 20
"""Points of a line: in each of so many spans, the mean of what ran."""


def draw_nodes(run: SavedRun) -> list[str]:
    """One figure for the first strategy of a report, if its nodes can be told apart."""
    name, seeds = next(iter(run.requests.items()), ("", {}))
    requests = [one for of_seed in seeds.values() for one in of_seed if one.executor]
    nodes = sorted({one.executor for one in requests})
    if not 1 < len(nodes) <= NODES_DRAWN_MAX:
        return []
    last_s = max(one.arrival_s for one in requests)
    lines = [
        Line(
            node,
            _average_running([one for one in requests if one.executor == node], last_s, len(seeds)),
        )
        for node in nodes
    ]
    title = f"{run.report.ground} at load {run.report.load:.2f}: running at each node, {name}"
    return [draw_chart(Chart(title, "time, s", "running requests", lines))]


def _average_running(requests: list[SavedRequest], last_s: float, seeds: int) -> list[Point]:
    """How many were between their first output and their last, on average in each span."""
    span_s = last_s / SPANS
    points = []
    for index in range(SPANS):
        begin_s, end_s = index * span_s, (index + 1) * span_s
        ran_s = sum(
            max(
                0.0,
                min(one.arrival_s + one.e2e_s, end_s) - max(one.arrival_s + one.ttft_s, begin_s),
            )
            for one in requests
        )
        points.append(Point((begin_s + end_s) / 2, ran_s / span_s / seeds))
    return points
