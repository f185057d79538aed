"""`wwwserve sim`: whole networks in virtual time, from a seed; the same peer code as in a node.

| exit code of `run`, `fuzz` and `replay` | meaning |
|---|---|
| 0 | nothing bad happened, and everything good did |
| 1 | wrong: a rule was broken (or, as for every command, it could not be done) |
| 2 | stuck: something that must happen did not (or what was typed is wrong) |
| 3 | crash: a peer raised an exception |
"""

import os
import shlex
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

from wwwserve.adapters.engines import get_models_folder
from wwwserve.bench import read_commit, read_machine
from wwwserve.cli.sim_input import (
    SEED_MAX,
    find_scenario,
    parse_seed_count,
    parse_seed_range,
    read_trace,
)
from wwwserve.cli.sim_play import RunCache, Series, play_all
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
    RunResult,
    SavedRequest,
    SavedRun,
    Scenario,
    Verdict,
    apply_settings,
    create_csv,
    create_fuzz_scenario,
    create_page,
    create_report_json,
    create_run_changes_table,
    create_saved_tables,
    create_table,
    describe_costs,
    list_played,
    parse_saved,
    parse_saved_requests,
    run_fuzz,
)
from wwwserve.values.refusals import BadInput

CORES_MAX = 1_024
REPORTS_MAX = 1_000
"""Saved reports read at once."""
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
    strategies = {name: strategy.about for name, strategy in STRATEGIES.items()}
    if as_json:
        print_json({"scenarios": scenarios, "strategies": strategies})
        return
    print_table("scenarios", ("name", "what happens"), scenarios.items())
    print_table("strategies", ("name", "what it is"), strategies.items())


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class RunFlags:
    """What a run is made of."""

    strategy: Annotated[tuple[str, ...], Parameter(negative="")] = ("wwwserve",)
    """One of `wwwserve sim list`; give it again for each to compare."""
    load: Annotated[float | None, Parameter(validator=Number(gt=0, lte=10))] = None
    """Share of the engines' pooled saturated throughput."""
    seeds: str = "1"
    """N: run seeds 1 to N; or A-B: run these."""
    seed: Annotated[int | None, Parameter(validator=Number(gte=0, lte=SEED_MAX))] = None
    """Run this seed alone."""
    trace: Path | None = None
    """CSV (or .gz) of arrival_s, prompt_tokens, output_tokens and perhaps client."""
    settings: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = ()
    """key=value: a field of the scenario by its path; give it again for each."""
    out: Path | None = None
    """A folder for the report and each run's requests."""
    diaries: Path | None = None
    """A folder for what each node's policy decided, for wwwserve policy replay."""
    cores: Annotated[int, Parameter(validator=Number(gte=1, lte=CORES_MAX))] = os.cpu_count() or 1
    """Runs played at once, each in a process of its own."""
    again: Annotated[bool, Parameter(negative="")] = False
    """Play every run, also those whose results are kept from before."""


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
    plan = apply_settings(find_scenario(scenario), flags.settings)
    if flags.load is not None:
        load = round(flags.load * 1000)
        plan = apply_settings(
            plan, [f"workload.load_permille={load}", "workload.requests_per_hour=0"]
        )
    list_played(flags.strategy)
    results = _run_all(plan, flags)
    made = {
        "command": _tell_command(scenario, flags),
        "settings": " ".join(flags.settings + ((flags.trace.name,) if flags.trace else ())),
        "commit": read_commit(),
        "machine": read_machine(),
    }
    found = create_report_json(results, made)
    if flags.out is not None:
        _write_report(flags.out, found, results)
    if as_json:
        print_json(found)
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
    for seed in parse_seed_range(seeds):
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


@app.command
def report(folder: Path, *, html: Path | None = None, as_json: JsonFlag = False) -> None:
    """Tables and figures from runs that were saved with --out.

    Parameters
    ----------
    folder
        Where they were saved; every report in it and in its folders is read.
    html
        Write one page with tables and figures to this file.
    """
    runs = [_read_saved(path) for path in _find_reports(folder)]
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(create_page(runs), encoding="utf-8")
    if as_json:
        print_json({"reports": [msgspec.to_builtins(run.report) for run in runs]})
        return
    for title, heads, rows in create_saved_tables(runs):
        print_table(title, heads, rows)
    if html is not None:
        open_console().print(f"figures: {html}")


def _run_all(plan: Scenario, flags: RunFlags) -> list[RunResult]:
    seeds = parse_seed_count(flags.seeds) if flags.seed is None else (flags.seed,)
    series = Series(
        scenario=plan,
        strategies=tuple(dict.fromkeys(flags.strategy)),
        seeds=seeds,
        trace=None if flags.trace is None else read_trace(flags.trace),
        is_fitted=bool(plan.workload.trace) or flags.load is not None,
        diaries=flags.diaries,
    )
    cache = None if flags.again else RunCache(get_models_folder().parent / "sim")
    with _show_progress(f"{plan.name}: {len(seeds)} x {', '.join(series.strategies)}") as move:
        return play_all(series, cores=flags.cores, cache=cache, on_progress=move)


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
    load = results[0].load
    print_table(f"{plan.name}: {plan.about} (load {load:.2f})", heads, rows)
    for line in describe_costs(results):
        open_console().print(line)
    for title, columns, lines in create_run_changes_table(results):
        print_table(title, columns, lines)
    for result in results:
        if result.verdict is not Verdict.OK:
            open_side_console().print(_OUTCOMES[result.verdict], Text(result.detail))


def _tell_command(scenario: str, flags: RunFlags) -> str:
    """What to type to have the same runs again."""
    words = ["wwwserve", "sim", "run", scenario]
    for strategy in flags.strategy:
        words += ["--strategy", strategy]
    if flags.load is not None:
        words += ["--load", f"{flags.load:g}"]
    words += ["--seeds", flags.seeds] if flags.seed is None else ["--seed", str(flags.seed)]
    if flags.trace is not None:
        words += ["--trace", flags.trace.name]
    for setting in flags.settings:
        words += ["--set", setting]
    return shlex.join(words)


def _write_report(folder: Path, found: dict[str, object], results: Sequence[RunResult]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    for result in results:
        path = folder / _name_requests(result.strategy, result.seed)
        path.write_text(create_csv(result), encoding="utf-8")


def _name_requests(strategy: str, seed: int) -> str:
    return f"requests-{strategy}-{seed}.csv"


def _find_reports(folder: Path) -> list[Path]:
    found = sorted(folder.rglob(REPORT_FILE))[:REPORTS_MAX]
    if not found:
        expected = f"a folder with a {REPORT_FILE} in it"
        fix = f"wwwserve sim run NAME --out {folder}"
        raise BadInput("folder", str(folder), expected, fix)
    return found


def _read_saved(path: Path) -> SavedRun:
    report = parse_saved(path.read_bytes(), source=str(path))
    requests: dict[str, dict[int, list[SavedRequest]]] = {}
    for one in report.runs:
        beside = path.with_name(_name_requests(one.strategy, one.seed))
        if beside.is_file():
            text = beside.read_text(encoding="utf-8")
            of_seeds = requests.setdefault(one.strategy, {})
            of_seeds[one.seed] = parse_saved_requests(text, source=beside.name)
    return SavedRun(report, requests)


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
