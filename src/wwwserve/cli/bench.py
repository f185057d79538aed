"""`wwwserve bench`: what the gateway, a link, the core, membership and ledger cost here.

`engine` is different: it holds the engine model against measured runs; and `gossip` and `sim` run
in virtual time, beside the project's own bars. Elsewhere each number stands beside the plainest
thing that could do the job, measured in the same run: only the ratio means something elsewhere.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from wwwserve.bench import BenchReport, BenchResult, make_report
from wwwserve.cli.terminal import JsonFlag, open_side_console, print_json, print_table
from wwwserve.values.refusals import BadInput

REPEATS = 3
REPEATS_MAX = 100
WINDOWS = 2
"""Repeats of `trace`, which takes a minute and a half for each."""
WINDOW_S_MAX = 3_600
CROWD_REPEATS = 1
"""For `gossip`, where one repeat watches many crashes already."""
CROWD_MIN = 5
"""Fewer are no crowd: one is crashed, and one comes last."""
CROWD_MAX = 1_000
"""Nodes of the largest crowd; ten times as many would take hours."""

_Option = Sequence[int] | int | str

app = App(name="bench", help="What the gateway, a link, the core and the rest cost here.")

RepeatsFlag = Annotated[
    int,
    Parameter(
        help="How often each number is taken; the median is shown.",
        validator=Number(gte=1, lte=REPEATS_MAX),
    ),
]

LedgerFlag = Annotated[
    bool,
    Parameter(
        negative=(),
        help="What a ledger adds instead: the same ways with and without one, in turns.",
    ),
]

NodesFlag = Annotated[
    str, Parameter(help="Sizes of the crowds; the largest answers the long questions.")
]

ScenarioFlag = Annotated[str, Parameter(help="s1 to s4; the answers of all but s4 take minutes.")]
WindowFlag = Annotated[
    int,
    Parameter(help="Seconds in which requests arrive.", validator=Number(gte=1, lte=WINDOW_S_MAX)),
]
LoadFlag = Annotated[
    float,
    Parameter(
        help="Share of the engines' pooled saturated throughput.", validator=Number(gt=0, lte=10)
    ),
]


@app.command
def gateway(
    *, repeats: RepeatsFlag = REPEATS, ledger: LedgerFlag = False, as_json: JsonFlag = False
) -> None:
    """What a request costs, here and over one hop, against a bare pass-through."""
    _run("paid_gateway" if ledger else "gateway", repeats, as_json=as_json)


@app.command
def link(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """What messages and streams cost over one authenticated link, against bare TLS."""
    _run("link", repeats, as_json=as_json)


@app.command
def core(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """How long the peer takes to decide: events a second, and the slowest call."""
    _run("core", repeats, as_json=as_json)


@app.command
def ledger(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """How many feed blocks a second one core checks, orders, keeps and applies."""
    _run("ledger", repeats, as_json=as_json)


@app.command
def engine(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """How close the emulated engine is to three measured runs of a real one."""
    _run("engine", repeats, as_json=as_json)


@app.command
def gossip(
    *,
    repeats: RepeatsFlag = CROWD_REPEATS,
    nodes: NodesFlag = "10,50,200",
    as_json: JsonFlag = False,
) -> None:
    """What membership costs and how soon it knows, in crowds of so many nodes; minutes."""
    _run("gossip", repeats, as_json=as_json, nodes=_parse_sizes(nodes))


@app.command
def sim(*, repeats: RepeatsFlag = REPEATS, as_json: JsonFlag = False) -> None:
    """How fast the simulator is on one core, beside the project's own bars."""
    _run("sim", repeats, as_json=as_json)


@app.command
def network(*, repeats: RepeatsFlag = 1, as_json: JsonFlag = False) -> None:
    """What four nodes do with the load of one, against a pool of their engines, and simulated."""
    _run("network", repeats, as_json=as_json)


@app.command
def trace(
    *,
    scenario: ScenarioFlag = "s4",
    window: WindowFlag = 60,
    load: LoadFlag = 0.7,
    repeats: RepeatsFlag = WINDOWS,
    as_json: JsonFlag = False,
) -> None:
    """What four nodes do with windows of a recorded trace, against the simulator; minutes."""
    load_permille = round(load * 1000)
    _run(
        "trace",
        repeats,
        as_json=as_json,
        scenario=scenario,
        window_s=window,
        load_permille=load_permille,
    )


def _run(name: str, repeats: int, *, as_json: bool, **options: _Option) -> None:
    measure = _load(name)
    with open_side_console().status(f"measuring {name}, {repeats} times ..."):
        report = make_report(name, repeats, measure(repeats, **options))
    if as_json:
        print_json(report)
    else:
        _show(report)


def _load(name: str) -> Callable[..., list[BenchResult]]:
    """The bench of one part; only that part is loaded."""
    module = importlib.import_module(f"wwwserve.bench.{name}")
    measure: Callable[..., list[BenchResult]] = getattr(module, f"measure_{name}")
    return measure


def _parse_sizes(text: str) -> tuple[int, ...]:
    """The sizes of crowds that were typed. Raises `BadInput`."""
    words = text.split(",")
    sizes = tuple(int(word) for word in words if word.strip().isdecimal())
    if len(sizes) != len(words) or not all(CROWD_MIN <= size <= CROWD_MAX for size in sizes):
        expected = f"numbers of nodes from {CROWD_MIN} to {CROWD_MAX}, as 10,50,200"
        raise BadInput("--nodes", text, expected, "wwwserve bench gossip --nodes 10,50,200")
    return sizes


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
