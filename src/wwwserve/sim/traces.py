"""Recorded arrivals: reading them, the ones that ship with wwwserve, and fitting them to a load.

A trace is thinned at random where it brings more than the load, which keeps its bursts; where it
brings less, copies of it are laid over each other, each begun at a place of its own. Its time is
never stretched: that would hide the bursts.
"""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from wwwserve.core.entropy import Entropy
from wwwserve.enginemodel import Demand
from wwwserve.sim.plans import Scenario
from wwwserve.sim.profiles import (
    compute_context_tokens,
    compute_throughputs,
    get_profile,
    pool_throughputs,
)
from wwwserve.sim.workload import Arrival, create_entropy, draw_typical
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

SHIPPED_TRACES = (
    "azure2023_conv_first2of3",
    "servegen_r1_hour09",
    "servegen_r1_hour20to22",
)
"""See `data/traces/README.md`."""
TRACE_COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens")
TRACE_ROWS_MAX = 1_000_000
TRACE_COPIES_MAX = 64
"""Copies of one trace laid over each other; a trace that is still too slow is refused."""
TYPICAL_ROWS = 4_000
"""Rows drawn to know what a trace's requests cost on average."""
_RESOLUTION = 2**32
_PERMILLE = 1000


@dataclass(frozen=True, slots=True)
class Ground:
    """What all runs of a scenario have in common: what its engines can do, and its trace."""

    throughputs: tuple[int, ...]
    """Requests in an hour that each node's engine does saturated."""
    rows: tuple[Arrival, ...] = ()
    """Those of the trace that every engine could hold, so that each may run anywhere."""
    span_us: int = 0
    """How long the trace is; 0 = requests are drawn."""


def load_shipped_trace(name: str) -> list[Arrival]:
    """One of `SHIPPED_TRACES`. Raises `BadInput` for any other name."""
    if name not in SHIPPED_TRACES:
        fix = "correct the name, or run with --trace FILE"
        raise BadInput("workload.trace", name, ", ".join(SHIPPED_TRACES), fix)
    # Part of the package, like its code: the same bytes wherever it is installed.
    packed = files("wwwserve.sim").joinpath("data", "traces", f"{name}.csv.gz").read_bytes()
    return parse_trace(gzip.decompress(packed).decode("utf-8"), source=name)


def parse_trace(text: str, source: str = "trace") -> list[Arrival]:
    """Read a trace's CSV text; `source` is what messages call it.

    Raises `BadInput` naming the line and the column that is wrong.
    """
    reader = csv.DictReader(text.splitlines())
    found = reader.fieldnames or []
    for column in TRACE_COLUMNS:
        if column not in found:
            raise BadInput(
                field=f"{source}, line 1, column {column!r}",
                found=", ".join(found)[:200] or "an empty file",
                expected="a header with " + ", ".join(TRACE_COLUMNS) + " and perhaps client",
                fix="rename or add the column",
            )
    rows = [_parse_row(row, f"{source}, line {line}") for line, row in enumerate(reader, start=2)]
    if not 0 < len(rows) <= TRACE_ROWS_MAX:
        raise BadInput(
            field=source,
            found=f"{len(rows)} rows",
            expected=f"1 to {TRACE_ROWS_MAX} rows",
            fix="cut the file",
        )
    return sorted(rows, key=lambda row: row.at_us)


def prepare_ground(scenario: Scenario, trace: Sequence[Arrival] | None = None) -> Ground:
    """What a scenario's runs need to know, with its own trace or the one given instead.

    Saturates the scenario's engines, which takes seconds. Raises `BadInput` for a trace of which
    no row fits an engine.
    """
    name = scenario.workload.trace
    if trace is None and not name:
        typical = draw_typical(scenario.workload)
        return Ground(tuple(compute_throughputs(scenario, typical)))
    rows = load_shipped_trace(name) if trace is None else trace
    held = leave_out_long(rows, scenario)
    return Ground(
        throughputs=tuple(compute_throughputs(scenario, list_demands(held))),
        rows=tuple(held),
        span_us=rows[-1].at_us + rows[-1].at_us // len(rows) + 1,
    )


def fit_trace(ground: Ground, scenario: Scenario, seed: int) -> list[Arrival] | None:
    """The rows of the trace that a run plays: at the scenario's load, for as long as it lasts.

    None if there is no trace. Raises `BadInput` for one too slow to reach the load even in
    `TRACE_COPIES_MAX` copies.
    """
    if not ground.span_us:
        return None
    entropy = create_entropy(scenario, seed).split("trace")
    load_permille = max(1, scenario.workload.load_permille)
    # So long the rows would last if they came as fast as the load wants them.
    wanted_us = len(ground.rows) * pool_throughputs(ground.throughputs) * _PERMILLE // load_permille
    copies = -(-ground.span_us // max(1, wanted_us))
    if copies > TRACE_COPIES_MAX:
        expected = f"a trace at least 1/{TRACE_COPIES_MAX} as fast as the load"
        raise BadInput("trace", f"one {copies} times too slow", expected, "lower --load")
    taken = _RESOLUTION * ground.span_us // (wanted_us * copies)
    fitted: list[Arrival] = []
    for copy in range(copies):
        shift_us = entropy.below(ground.span_us)
        for row in ground.rows:
            at_us = (row.at_us + shift_us) % ground.span_us
            if entropy.below(_RESOLUTION) < taken and at_us < scenario.duration_us:
                client = f"{row.client}.{copy}" if row.client else ""
                fitted.append(Arrival(at_us, row.prompt_tokens, row.completion_tokens, client))
    return sorted(fitted, key=lambda row: row.at_us)


def compute_load(scenario: Scenario, ground: Ground) -> float:
    """The load a scenario puts on its engines, as a share of their pooled saturated throughput."""
    plan = scenario.workload
    if not plan.requests_per_hour:
        return plan.load_permille / _PERMILLE
    return plan.requests_per_hour / max(1, sum(ground.throughputs))


def leave_out_long(trace: Sequence[Arrival], scenario: Scenario) -> list[Arrival]:
    """The rows that every engine of a scenario could hold. Raises `BadInput` if there is none."""
    engines = {node.engine: None for node in scenario.nodes.values()}
    longest = min(compute_context_tokens(engine, get_profile(engine)) for engine in engines)
    held = [row for row in trace if row.prompt_tokens + row.completion_tokens <= longest]
    if not held:
        expected = f"rows of at most {longest} tokens, what the smallest engine holds"
        raise BadInput("trace", "longer requests only", expected, "take another trace")
    return held


def list_demands(trace: Sequence[Arrival]) -> list[Demand]:
    """What a trace asks of engines: always the same sample of it, in a mixed order."""
    mixed = Entropy(b"a typical trace").shuffle(trace)[:TYPICAL_ROWS]
    return [Demand(max(1, row.prompt_tokens), row.completion_tokens) for row in mixed]


def _parse_row(row: dict[str, str], place: str) -> Arrival:
    numbers: list[float] = []
    for column in TRACE_COLUMNS:
        try:
            number = float(row[column])
            is_good = 0 <= number < _RESOLUTION
        except (ValueError, TypeError):
            is_good, number = False, 0.0
        if not is_good:
            raise BadInput(
                field=f"{place}, column {column!r}",
                found=str(row[column])[:200],
                expected=f"a number from 0 to {_RESOLUTION - 1}",
                fix="correct or remove the line",
            )
        numbers.append(number)
    at_s, prompt, completion = numbers
    return Arrival(
        int(at_s * SECOND), max(1, int(prompt)), max(1, int(completion)), row.get("client") or ""
    )
