"""Line charts as SVG text: all a report needs, so a page holds nothing of anybody else's."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 28, 48
_TICKS = 5
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999",
)  # fmt: skip
"""Told apart by colour-blind eyes too (Okabe and Ito)."""
_DASHES = ("", "6 3", "2 3")
"""More lines than colours: the next ones are dashed."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a line, with the interval it may lie in."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant on the horizontal axis at which something happened."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: lines over two axes that begin at 0 or below the smallest value."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    y_max: float | None = None
    """Where the axis ends, if not where the values do: 1 for shares."""
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)


def draw_chart(chart: Chart) -> str:
    """The chart as one `svg` element. Lines without points are left out."""
    points = [point for line in chart.lines for point in line.points]
    xs, ys = [point.x for point in points] or [0.0], [point.y for point in points] or [0.0]
    x_axis = _Axis(*_widen(min(xs), max(xs)), _LEFT, WIDTH - _RIGHT)
    y_high = chart.y_max if chart.y_max is not None else max(ys)
    y_axis = _Axis(*_widen(0.0, y_high), HEIGHT - _BOTTOM, _TOP)
    body = [_draw_axes(chart, x_axis, y_axis)]
    body += [_draw_mark(mark, x_axis) for mark in chart.marks]
    drawn = [line for line in chart.lines if line.points]
    for index, line in enumerate(drawn):
        body.append(_draw_line(line, index, x_axis, y_axis))
    legend = "".join(_draw_key(line.name, index) for index, line in enumerate(drawn))
    height = HEIGHT + 18 * ceil(len(drawn) / 3)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(chart.title)}">'
        f'<text class="title" x="{_LEFT}" y="16">{escape(chart.title)}</text>'
        f"{''.join(body)}{legend}</svg>"
    )


def list_ticks(low: float, high: float) -> list[float]:
    """Round numbers on an axis, about `_TICKS` of them."""
    rough = (high - low) / _TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [round(step * index, 10) for index in range(first, last + 1)]


def _widen(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low, low + 1)


def _draw_axes(chart: Chart, x_axis: _Axis, y_axis: _Axis) -> str:
    parts = []
    for value in list_ticks(y_axis.low, y_axis.high):
        y = y_axis.place(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" {_at_y(y)}/>')
        parts.append(f'<text class="y" x="{_LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
    for value in list_ticks(x_axis.low, x_axis.high):
        x = x_axis.place(value)
        parts.append(f'<text class="x" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 16}">{value:g}</text>')
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="x" x="{(_LEFT + WIDTH) / 2}" y="{HEIGHT - 14}">{escape(chart.x_label)}'
        f'</text><text class="x" transform="rotate(-90)" x="{-middle}" y="14">'
        f"{escape(chart.y_label)}</text>"
    )
    return "".join(parts)


def _at_y(y: float) -> str:
    return f'y1="{y:.1f}" y2="{y:.1f}"'


def _draw_line(line: Line, index: int, x_axis: _Axis, y_axis: _Axis) -> str:
    places = [(x_axis.place(point.x), y_axis.place(point.y)) for point in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline {_get_style(index)} points="{path}"/>']
    few = len(line.points) <= 2 * _TICKS
    for point, (x, y) in zip(line.points, places, strict=True):
        if few:
            parts.append(f'<circle fill="{_get_colour(index)}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        if point.low is not None and point.high is not None:
            low, high = y_axis.place(max(point.low, y_axis.low)), y_axis.place(point.high)
            parts.append(
                f'<line {_get_style(index)} x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" '
                f'y2="{max(high, _TOP):.1f}"/>'
            )
    return "".join(parts)


def _draw_mark(mark: Mark, x_axis: _Axis) -> str:
    """A dotted line from top to bottom; what it says is written along it."""
    x = x_axis.place(mark.x)
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
        f'<text class="mark-text" transform="rotate(-90)" x="{-_TOP}" y="{x - 3:.1f}">'
        f"{escape(mark.label)}</text>"
    )


def _draw_key(name: str, index: int) -> str:
    x, y = _LEFT + index % 3 * 190, HEIGHT + 6 + 18 * (index // 3)
    return (
        f'<line {_get_style(index)} x1="{x}" x2="{x + 22}" y1="{y - 4}" y2="{y - 4}"/>'
        f'<text x="{x + 28}" y="{y}">{escape(name)}</text>'
    )


def _get_colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _get_style(index: int) -> str:
    dashes = _DASHES[index // len(_COLOURS) % len(_DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'class="curve" stroke="{_get_colour(index)}"{dashed}'
