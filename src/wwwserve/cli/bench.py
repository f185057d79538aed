"""`wwwserve bench`: what the gateway, a link and the core cost on this machine.

`engine` is different: it holds the engine model against measured runs. Elsewhere each number
stands beside the plainest thing that could do the job, measured in the same run: only the ratio
means something on another machine.
"""

import importlib
from collections.abc import Callable
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from wwwserve.bench import BenchReport, BenchResult, make_report
from wwwserve.cli.terminal import JsonFlag, open_side_console, print_json, print_table

REPEATS = 3
REPEATS_MAX = 100

app = App(name="bench", help="What the gateway, a link and the core cost here.")

RepeatsFlag = Annotated[
    int,
    Parameter(
        help="How often each number is taken; the median is shown.",
        validator=Number(gte=1, lte=REPEATS_MAX),
    ),
]


@app.command
def gateway(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """What a request costs, here and over one hop, against a bare pass-through."""
    _run("gateway", repeats, as_json=as_json)


@app.command
def link(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """What messages and streams cost over one authenticated link, against bare TLS."""
    _run("link", repeats, as_json=as_json)


@app.command
def core(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """How long the peer takes to decide: events a second, and the slowest call."""
    _run("core", repeats, as_json=as_json)


@app.command
def engine(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """How close the emulated engine is to three measured runs of a real one."""
    _run("engine", repeats, as_json=as_json)


def _run(name: str, repeats: int, *, as_json: bool) -> None:
    measure = _load(name)
    with open_side_console().status(f"measuring {name}, {repeats} times ..."):
        report = make_report(name, repeats, measure(repeats))
    if as_json:
        print_json(report)
    else:
        _show(report)


def _load(name: str) -> Callable[[int], list[BenchResult]]:
    """The bench of one part; only that part is loaded."""
    module = importlib.import_module(f"wwwserve.bench.{name}")
    measure: Callable[[int], list[BenchResult]] = getattr(module, f"measure_{name}")
    return measure


def _show(report: BenchReport) -> None:
    print_table(
        f"bench {report.bench}, repeats: {report.repeats}, on {report.machine}, "
        f"commit {report.commit}",
        ("measure", ">value", "unit", ">baseline", ">ratio"),
        [
            (
                result.name,
                f"{result.value:,.4g}",
                result.unit,
                "" if result.baseline is None else f"{result.baseline:,.4g}",
                "" if result.ratio is None else f"{result.ratio:.2f}",
            )
            for result in report.results
        ],
    )
