"""Runs that were saved, read again: `report.json`, and the requests of each run beside it."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from wwwserve.sim.changes import Change
from wwwserve.values.refusals import BadInput


class SavedMeans(msgspec.Struct, frozen=True):
    """What a saved report says of one strategy, over all its seeds."""

    slo: dict[str, float]
    slo_ci95: dict[str, tuple[float | None, float | None]]
    e2e_s: dict[str, float]
    ttft_s: dict[str, float]
    tpot_s: dict[str, float]
    offloaded: float
    messages_per_request: float
    failed: float
    refused: float


class SavedDifference(msgspec.Struct, frozen=True):
    """Two strategies compared seed by seed."""

    strategy: str
    against: str
    objective: str
    mean: float
    low: float | None
    high: float | None
    seeds: int


class SavedSeed(msgspec.Struct, frozen=True):
    """One run of a saved report."""

    strategy: str
    seed: int
    stands_for: str = ""
    changes: tuple[Change, ...] = ()
    """Of nodes that came and went."""


class SavedReport(msgspec.Struct, frozen=True):
    """One `report.json`."""

    scenario: str
    load: float
    runs: tuple[SavedSeed, ...]
    summary: dict[str, SavedMeans]
    differences: tuple[SavedDifference, ...]
    made: dict[str, str]

    @property
    def ground(self) -> str:
        """The scenario, and what its runs had otherwise: only reports of one ground compare."""
        settings = self.made.get("settings", "")
        return f"{self.scenario}, {settings}" if settings else self.scenario


@dataclass(frozen=True, slots=True)
class SavedRequest:
    """One line of a run's requests; times in seconds."""

    arrival_s: float
    e2e_s: float
    is_answered: bool
    ttft_s: float = 0.0
    executor: str = ""
    """Which node answered; empty = none."""


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A report and the requests of its runs, by strategy and then seed."""

    report: SavedReport
    requests: Mapping[str, Mapping[int, Sequence[SavedRequest]]]


def parse_saved(content: bytes, source: str) -> SavedReport:
    """Read a saved report; `source` is what messages call it. Raises `BadInput`."""
    try:
        return msgspec.json.decode(content, type=SavedReport)
    except msgspec.MsgspecError as error:
        fix = "save the runs again with sim run --out"
        raise BadInput(source, str(error), "a saved report", fix) from error


def parse_saved_requests(text: str, source: str) -> list[SavedRequest]:
    """Read the requests of one run. Raises `BadInput` naming the line."""
    found: list[SavedRequest] = []
    for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            found.append(
                SavedRequest(
                    float(row["arrival_s"]),
                    float(row["e2e_s"]),
                    row["outcome"] == "answered",
                    float(row["ttft_s"]),
                    row["executor"],
                )
            )
        except (KeyError, ValueError, TypeError) as error:
            fix = "save the runs again with sim run --out"
            raise BadInput(f"{source}, line {line}", str(error), "a request", fix) from error
    return found
