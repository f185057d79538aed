"""Runs as others read them: the JSON object that scripts rely on, and tables of plain text.

`docs/evaluation.md` describes the object. Nobody duels yet: `duels` has nothing but zeros.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from wwwserve.sim.changes import measure_changes
from wwwserve.sim.measures import Measures, Spread, measure
from wwwserve.sim.plans import Scenario
from wwwserve.sim.providers import (
    correlate_stake,
    measure_idle_use,
    measure_profits,
    measure_users,
)
from wwwserve.sim.reports.intervals import Interval, compute_interval, compute_paired
from wwwserve.sim.runs import RunResult, Verdict
from wwwserve.sim.truth import UserRequest
from wwwserve.values.moments import SECOND

SUMMARISED = (
    "requests",
    "completed",
    "completed_in_time",
    "failed",
    "refused",
    "goodput_rps",
    "offloaded",
    "prefix_hits",
    "messages_per_request",
    "probes_per_request",
    "membership_bytes",
)
_DIGITS = 6


def choose_best(name: str, results: Sequence[RunResult], of: Sequence[str]) -> list[RunResult]:
    """The runs of the strategy that met the first objective most often over all seeds, renamed."""
    attained: dict[str, float] = {}
    for strategy in of:
        runs = [result for result in results if result.strategy == strategy]
        attained[strategy] = sum(measure(run).slo[run.scenario.objectives[0]] for run in runs)
    best = max(of, key=attained.__getitem__)
    return [
        replace(result, strategy=name, stands_for=best)
        for result in results
        if result.strategy == best
    ]


def create_report_json(results: Sequence[RunResult], made: Mapping[str, str]) -> dict[str, object]:
    """All runs of one command, and what they say of each strategy and of each pair of them.

    `made` tells the circumstances: the command, the commit, the machine.
    """
    found: dict[str, list[Measures]] = {}
    for result in sorted(results, key=lambda result: result.seed):
        found.setdefault(result.strategy, []).append(measure(result))
    strategies = dict.fromkeys(result.strategy for result in results)
    found = {strategy: found[strategy] for strategy in strategies}
    scenario = results[0].scenario
    return {
        "scenario": scenario.name,
        "load": round(results[0].load, _DIGITS),
        "runs": [_create_run_json(result) for result in results],
        "summary": {strategy: _compute_means(runs) for strategy, runs in found.items()},
        "differences": _compare_all(scenario, found),
        "made": dict(made),
    }


def _create_run_json(result: RunResult) -> dict[str, object]:
    named = {"stands_for": result.stands_for} if result.stands_for else {}
    return {
        "strategy": result.strategy,
        **named,
        "seed": result.seed,
        **_round_all(asdict(measure(result))),
        "users": {name: _round_all(asdict(one)) for name, one in measure_users(result).items()},
        "stake": result.seats,
        "stake_rank_correlation": _round(correlate_stake(result)),
        "idle_capacity_used": _round_all(dict(measure_idle_use(result))),
        "duels": {name: {"won": 0, "lost": 0, "tied": 0} for name in result.node_names},
        **_round_all(asdict(measure_profits(result))),
        "changes": [_round_all(asdict(change)) for change in measure_changes(result)],
        "events": result.event_count,
        "digest": result.digest,
        "invariants": "ok" if result.verdict is Verdict.OK else _first_line(result),
    }


def _compare_all(
    scenario: Scenario, found: Mapping[str, Sequence[Measures]]
) -> list[dict[str, object]]:
    """The first strategy against each other one, seed by seed, for each objective."""
    first, *others = found
    return [
        {
            "strategy": first,
            "against": other,
            "objective": name,
            **_round_all(
                asdict(
                    compute_paired(
                        [one.slo[name] for one in found[first]],
                        [one.slo[name] for one in found[other]],
                    )
                )
            ),
        }
        for other in others
        for name in scenario.objectives
    ]


def create_table(results: Sequence[RunResult]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows for people, one row for each run; heads of numbers begin with `>`."""
    aim = results[0].scenario.objectives[0]
    heads = ["strategy", ">seed", ">answered", f">in {aim}", ">p50 s", ">p95 s", ">offloaded"]
    heads += [">messages", "rules"]
    return heads, [_create_row(result) for result in results]


def create_csv(result: RunResult) -> str:
    """Every request of a run, one on each line."""
    heads = "arrival_s,origin,executor,outcome,prompt_tokens,output_tokens,ttft_s,e2e_s"
    lines = [heads, *(_create_line(request, result.node_names) for request in result.requests)]
    return "\n".join(lines) + "\n"


def _create_row(result: RunResult) -> list[str]:
    found = measure(result)
    return [
        f"{result.strategy} ({result.stands_for})" if result.stands_for else result.strategy,
        str(result.seed),
        f"{found.completed}/{found.requests}",
        f"{found.slo[result.scenario.objectives[0]]:.1%}",
        f"{found.e2e_s.p50:.2f}",
        f"{found.e2e_s.p95:.2f}",
        f"{found.offloaded:.1%}",
        f"{found.messages_per_request:.1f}",
        "kept" if result.verdict is Verdict.OK else result.verdict.name.lower(),
    ]


def _create_line(request: UserRequest, names: list[str]) -> str:
    first_us = request.first_output_us - request.arrival_us if request.first_output_us else 0
    return ",".join(
        [
            f"{request.arrival_us / SECOND:.6f}",
            names[request.origin],
            "" if request.executor is None else names[request.executor],
            request.outcome.value,
            str(request.prompt_tokens),
            str(request.completion_tokens),
            f"{first_us / SECOND:.6f}",
            f"{(request.ended_us - request.arrival_us) / SECOND:.6f}",
        ]
    )


def _compute_means(found: Sequence[Measures]) -> dict[str, object]:
    means: dict[str, object] = {
        name: round(sum(getattr(one, name) for one in found) / len(found), _DIGITS)
        for name in SUMMARISED
    }
    means["slo"] = {
        name: round(sum(one.slo[name] for one in found) / len(found), _DIGITS)
        for name in found[0].slo
    }
    means["slo_ci95"] = {
        name: _round_bounds(compute_interval([one.slo[name] for one in found]))
        for name in found[0].slo
    }
    for name, spreads in {
        "e2e_s": [one.e2e_s for one in found],
        "ttft_s": [one.ttft_s for one in found],
        "tpot_s": [one.tpot_s for one in found],
    }.items():
        means[name] = _compute_mean_spread(spreads)
    return means


def _compute_mean_spread(spreads: Sequence[Spread]) -> dict[str, object]:
    tables = [asdict(spread) for spread in spreads]
    return {
        name: round(sum(table[name] for table in tables) / len(tables), _DIGITS)
        for name in tables[0]
    }


def _round_bounds(interval: Interval) -> list[float | None]:
    """The bounds of a share, which is never less than none or more than all."""
    bounds = (interval.low, interval.high)
    return [None if one is None else round(min(1.0, max(0.0, one)), _DIGITS) for one in bounds]


def _round_all(table: dict[str, object]) -> dict[str, object]:
    return {name: _round(value) for name, value in table.items()}


def _round(value: object) -> object:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return _round_all(value)
    return value


def _first_line(result: RunResult) -> str:
    return result.detail.strip().splitlines()[-1]
