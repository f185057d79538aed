"""Runs as others read them: the JSON object that scripts rely on, and tables of plain text.

`docs/faults.md` is about what runs do; this module only shapes what `measures` found. Fields that
later parts of the product will fill (credits, stake, duels, profit) are there and empty.
"""

from collections.abc import Sequence
from dataclasses import asdict

from wwwserve.sim.measures import Measures, Spread, measure
from wwwserve.sim.plans import Scenario
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
    "messages_per_request",
)
_DIGITS = 6


def create_run_json(result: RunResult) -> dict[str, object]:
    """One run as the JSON contract has it."""
    return {
        "strategy": result.strategy,
        "seed": result.seed,
        **_round_all(asdict(measure(result))),
        "credits": {},
        "stake": {},
        "duels": {},
        "profit": {},
        "profit_per_1k_tokens": {},
        "profit_per_hour": {},
        "events": result.event_count,
        "digest": result.digest,
        "invariants": "ok" if result.verdict is Verdict.OK else _first_line(result),
    }


def create_report_json(scenario: Scenario, results: Sequence[RunResult]) -> dict[str, object]:
    """All runs of one command, and the means over the seeds of each strategy."""
    runs = [create_run_json(result) for result in results]
    strategies = list(dict.fromkeys(result.strategy for result in results))
    return {
        "scenario": scenario.name,
        "load": scenario.workload.load_permille / 1000,
        "runs": runs,
        "summary": {
            strategy: _compute_means(
                [measure(result) for result in results if result.strategy == strategy]
            )
            for strategy in strategies
        },
    }


def create_table(results: Sequence[RunResult]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows for people, one row for each run; heads of numbers begin with `>`."""
    heads = ["strategy", ">seed", ">answered", ">in 2x", ">p50 s", ">p95 s", ">offloaded"]
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
        result.strategy,
        str(result.seed),
        f"{found.completed}/{found.requests}",
        f"{found.slo['2x']:.1%}",
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
