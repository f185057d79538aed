"""`wwwserve sim`: whole networks in virtual time, from a seed; the same peer code as in a node.

| exit code of `run`, `fuzz` and `replay` | meaning |
|---|---|
| 0 | nothing bad happened, and everything good did |
| 1 | wrong: a rule was broken (or, as for every command, it could not be done) |
| 2 | stuck: something that must happen did not (or what was typed is wrong) |
| 3 | crash: a peer raised an exception |
"""

import gzip
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from wwwserve.cli.terminal import (
    JsonFlag,
    open_console,
    open_side_console,
    print_json,
    print_table,
)
from wwwserve.sim import (
    SCENARIOS,
    STRATEGIES,
    Arrival,
    RunResult,
    Scenario,
    Verdict,
    apply_settings,
    create_csv,
    create_fuzz_scenario,
    create_report_json,
    create_table,
    fit_trace,
    parse_scenario,
    parse_trace,
    prepare_trace,
    run_fuzz,
    run_scenario,
)
from wwwserve.values.refusals import BadInput

TRACE_BYTES_MAX = 256 * 1024 * 1024
"""An unpacked trace."""
SEED_MAX = 2**63 - 1
RUNS_MAX = 10_000
"""Seeds of one command."""
REPORT_FILE = "report.json"

_OUTCOMES = {
    Verdict.OK: Text("ok", style="green"),
    Verdict.WRONG: Text("wrong", style="bold red"),
    Verdict.STUCK: Text("stuck", style="bold red"),
    Verdict.CRASH: Text("crash", style="bold red"),
}

app = App(name="sim", help="Simulated networks: list, run, fuzz, replay.")


@app.command(name="list")
def list_scenarios(*, as_json: JsonFlag = False) -> None:
    """The built-in scenarios and the strategies to compare."""
    scenarios = {name: scenario.about for name, scenario in SCENARIOS.items()}
    if as_json:
        print_json({"scenarios": scenarios, "strategies": STRATEGIES})
        return
    print_table("scenarios", ("name", "what happens"), scenarios.items())
    print_table("strategies", ("name", "what it is"), STRATEGIES.items())


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class RunFlags:
    """What a run is made of."""

    strategy: Annotated[tuple[str, ...], Parameter(negative="")] = ("wwwserve",)
    """One of `wwwserve sim list`; give it again for each to compare."""
    load: Annotated[float | None, Parameter(validator=Number(gt=0, lte=10))] = None
    """Share of the engines' pooled saturated throughput."""
    seeds: Annotated[int, Parameter(validator=Number(gte=1, lte=RUNS_MAX))] = 1
    """Run seeds 1 to N."""
    seed: Annotated[int | None, Parameter(validator=Number(gte=0, lte=SEED_MAX))] = None
    """Run this seed alone."""
    trace: Path | None = None
    """CSV (or .gz) of arrival_s, prompt_tokens, output_tokens and perhaps client."""
    settings: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = ()
    """key=value: a field of the scenario by its path; give it again for each."""
    out: Path | None = None
    """A folder for the report and each run's requests."""


@app.command
def run(
    scenario: str = "hello", *, flags: RunFlags | None = None, as_json: JsonFlag = False
) -> int:
    """Run a scenario with each strategy and seed, and compare.

    Parameters
    ----------
    scenario
        A name from `wwwserve sim list`, or a TOML file.
    """
    flags = flags or RunFlags()
    plan = apply_settings(_find_scenario(scenario), flags.settings)
    if flags.load is not None:
        load = round(flags.load * 1000)
        plan = apply_settings(
            plan, [f"workload.load_permille={load}", "workload.requests_per_hour=0"]
        )
    _validate_strategies(flags.strategy)
    results = _run_all(plan, flags)
    report = create_report_json(plan, results)
    if flags.out is not None:
        _write_report(flags.out, report, results)
    if as_json:
        print_json(report)
    else:
        _show_runs(plan, results)
    return max(result.verdict.value for result in results)


@app.command
def fuzz(
    *,
    seeds: str = "1-100",
    minutes: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    as_json: JsonFlag = False,
) -> int:
    """Random networks under random faults and cheats, watched by checkers.

    Parameters
    ----------
    seeds
        A-B or A: which seeds.
    minutes
        Stop after so long, whatever is left.
    """
    end_s = time.monotonic() + minutes * 60 if minutes is not None else None
    found: list[dict[str, object]] = []
    worst = Verdict.OK
    for seed in _parse_seeds(seeds):
        if end_s is not None and time.monotonic() >= end_s:
            break
        result = run_fuzz(seed)
        found.append(_create_fuzz_json(result))
        if not as_json:
            _show_fuzz_line(result)
        if result.verdict is not Verdict.OK:
            worst = max(worst, result.verdict, key=lambda verdict: verdict.value)
            _show_repeat(result)
    if as_json:
        print_json({"seeds": found})
    else:
        faults = sum(one["outcome"] != "ok" for one in found)
        open_console().print(f"seeds tried: {len(found)}, with a fault: {faults}")
    return worst.value


@app.command
def replay(
    seed: Annotated[int, Parameter(validator=Number(gte=0, lte=SEED_MAX))],
    /,
    *,
    as_json: JsonFlag = False,
) -> int:
    """One fuzz seed, with everything it chose and what came of it."""
    scenario = create_fuzz_scenario(seed)
    if not as_json:
        console = open_console()
        console.print(f"seed {seed}")
        console.print_json(msgspec.json.encode(scenario).decode())
    with _show_progress(f"seed {seed}") as move:
        length_us = scenario.join_us + scenario.duration_us
        result = run_fuzz(
            seed, on_progress=lambda _phase, now_us: move(min(now_us, length_us), length_us)
        )
    if as_json:
        chosen = msgspec.to_builtins(scenario)
        print_json({**_create_fuzz_json(result), "detail": result.detail, "chosen": chosen})
    else:
        _show_fuzz_line(result)
        if result.detail:
            open_console().print(Text(result.detail))
    return result.verdict.value


def _run_all(plan: Scenario, flags: RunFlags) -> list[RunResult]:
    trace = None if flags.trace is None else _read_trace(flags.trace)
    is_fitted = bool(plan.workload.trace) or flags.load is not None
    supply = prepare_trace(plan, trace) if is_fitted else None
    seeds = range(1, flags.seeds + 1) if flags.seed is None else range(flags.seed, flags.seed + 1)
    results = []
    for seed in seeds:
        for strategy in flags.strategy:
            with _show_progress(f"{plan.name} {strategy} seed {seed}") as move:
                rows = trace if supply is None else fit_trace(supply, plan, seed)
                results.append(
                    run_scenario(plan, seed, strategy=strategy, trace=rows, on_progress=move)
                )
    return results


# -- input ---------------------------------------------------------------------------------------


def _find_scenario(name: str) -> Scenario:
    if name in SCENARIOS:
        return SCENARIOS[name]
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return parse_scenario(path.read_text(encoding="utf-8"))
    known = ", ".join(SCENARIOS)
    raise BadInput("scenario", name, f"{known}, or a .toml file", "wwwserve sim list")


def _validate_strategies(strategies: Sequence[str]) -> None:
    for name in strategies:
        if name not in STRATEGIES:
            raise BadInput("--strategy", name, ", ".join(STRATEGIES), "wwwserve sim list")


def _read_trace(path: Path) -> list[Arrival]:
    if not path.is_file():
        raise BadInput("--trace", str(path), "a CSV file, plain or .gz", "correct the path")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(TRACE_BYTES_MAX + 1)
            text = content.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BadInput("--trace", f"{path}: {error}", "a readable CSV", "check the file") from error
    if len(content) > TRACE_BYTES_MAX:
        expected = f"at most {TRACE_BYTES_MAX} bytes of text"
        raise BadInput("--trace", f"more in {path}", expected, "cut the file")
    return parse_trace(text, source=path.name)


def _parse_seeds(text: str) -> range:
    first, separator, last = text.partition("-")
    try:
        begin, end = int(first), int(last if separator else first)
    except ValueError:
        begin, end = 1, 0
    if not 0 <= begin <= end <= SEED_MAX or end - begin >= RUNS_MAX:
        expected = f"A-B with A <= B and at most {RUNS_MAX} seeds"
        raise BadInput("--seeds", text, expected, "for example --seeds 1-100")
    return range(begin, end + 1)


# -- output --------------------------------------------------------------------------------------


@contextmanager
def _show_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the side console; gone when the run is over."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = open_side_console()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar as progress:
        task = progress.add_task(title, total=1)

        def move(done: int, whole: int) -> None:
            progress.update(task, completed=done / whole)

        yield move


def _show_runs(plan: Scenario, results: Sequence[RunResult]) -> None:
    heads, rows = create_table(results)
    load = plan.workload.load_permille / 1000
    print_table(f"{plan.name}: {plan.about} (load {load:.2f})", heads, rows)
    for result in results:
        if result.verdict is not Verdict.OK:
            open_side_console().print(_OUTCOMES[result.verdict], Text(result.detail))


def _write_report(folder: Path, report: dict[str, object], results: Sequence[RunResult]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    for result in results:
        path = folder / f"requests-{result.strategy}-{result.seed}.csv"
        path.write_text(create_csv(result), encoding="utf-8")


def _create_fuzz_json(result: RunResult) -> dict[str, object]:
    return {
        "seed": result.seed,
        "outcome": result.verdict.name.lower(),
        "events": result.event_count,
        "digest": result.digest,
    }


def _show_fuzz_line(result: RunResult) -> None:
    line = Text(f"seed {result.seed}: ")
    line.append_text(_OUTCOMES[result.verdict])
    line.append(f", {result.event_count} events, digest {result.digest}")
    open_console().print(line)


def _show_repeat(result: RunResult) -> None:
    lines = result.detail.strip().splitlines()
    text = f"{lines[-1]}\nrepeat it with: wwwserve sim replay {result.seed}"
    open_side_console().print(Text(text))
