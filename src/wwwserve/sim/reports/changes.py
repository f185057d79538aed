"""What came of nodes that came and went, over all seeds of each strategy, as a table."""

from collections.abc import Mapping, Sequence

from wwwserve.sim.changes import Change, measure_changes
from wwwserve.sim.runs import RunResult

_HEADS = (
    "strategy",
    "change",
    ">at",
    ">used in",
    ">slowdown",
    ">worst",
    ">back in",
    ">broken",
    ">failed",
    ">lost",
)


def create_changes_table(
    scenario: str, changes: Mapping[str, Sequence[Sequence[Change]]]
) -> list[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    """A title, heads and rows, one for each change; nothing where nobody comes or goes.

    `changes` are those of every run, by strategy. `used in` is how soon a new node was used, `back
    in` how soon latency was as before: both of the worst seed. Slowdowns are means, before and at
    worst; requests without an answer are sums.
    """
    rows = [
        _create_row(strategy, seeds)
        for strategy, runs in changes.items()
        for seeds in zip(*runs, strict=True)
    ]
    return [(f"{scenario}: nodes that came and went", _HEADS, rows)] if rows else []


def create_run_changes_table(
    results: Sequence[RunResult],
) -> list[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    """The same of runs that were just played."""
    changes: dict[str, list[list[Change]]] = {}
    for result in results:
        changes.setdefault(result.strategy, []).append(measure_changes(result))
    return create_changes_table(results[0].scenario.name, changes)


def _create_row(strategy: str, seeds: Sequence[Change]) -> tuple[str, ...]:
    first, count = seeds[0], len(seeds)
    is_coming = first.kind in {"join", "back"}
    return (
        strategy,
        f"{first.kind} {first.node}",
        f"{first.at_s:g} s",
        _tell_worst([one.used_after_s for one in seeds], "never") if is_coming else "",
        f"{sum(one.slowdown_before for one in seeds) / count:.2f}",
        f"{sum(one.slowdown_worst for one in seeds) / count:.2f}",
        _tell_worst([one.recovered_after_s for one in seeds], "not yet"),
        str(sum(one.broken for one in seeds)),
        str(sum(one.failed for one in seeds)),
        str(sum(one.lost for one in seeds)),
    )


def _tell_worst(times_s: Sequence[float | None], otherwise: str) -> str:
    known = [one for one in times_s if one is not None]
    return f"{max(known):.1f} s" if len(known) == len(times_s) else otherwise
