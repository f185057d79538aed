"""Playing many simulated runs: on all cores, and none twice.

A run is a function of its scenario, strategy, seed, trace and code, so its result is kept under a
digest of those five, and read again instead of played.
"""

import gc
import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import msgspec

import wwwserve
from wwwserve.cli.sim_diaries import name_run, open_diaries
from wwwserve.sim import (
    STRATEGIES,
    Arrival,
    BestStrategy,
    Ground,
    NetworkStrategy,
    RunResult,
    Scenario,
    Verdict,
    choose_best,
    compute_load,
    create_trial,
    fit_trace,
    list_played,
    prepare_ground,
    run_scenario,
    seat_nodes,
    share_seats,
)
from wwwserve.values.refusals import BadInput

CACHED_RUNS_MAX = 1_000
"""Results kept; the oldest make room."""
CACHED_BYTES_MAX = 256 * 1024 * 1024
"""An unpacked result; a larger one is not read."""
_CODE_ROOMS = ("values", "wire", "enginemodel", "core", "sim")
"""What decides a run's course."""
_CODE_SUFFIXES = (".py", ".json", ".gz")
_UNCHANGED = b"\0"

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Series:
    """What one command plays: a scenario with several strategies and seeds."""

    scenario: Scenario
    strategies: Sequence[str]
    seeds: Sequence[int]
    trace: Sequence[Arrival] | None = None
    """In the place of the scenario's own."""
    is_fitted: bool = False
    """The trace is brought to the scenario's load."""
    diaries: Path | None = None
    """Where the nodes' diaries go; a run that is to leave them is played, known or not."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One run, ready to be played in another process."""

    scenario: Scenario
    strategy: str
    seed: int
    rows: Sequence[Arrival] | None
    diaries: Path | None


class RunCache:
    """Results on disk; one that cannot be read is played again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._code = _digest_code()

    def read(self, series: Series, strategy: str, seed: int) -> RunResult | None:
        """The result of a run that was played before by the same code."""
        path = self._find(series, strategy, seed)
        try:
            packed = zlib.decompressobj()
            content = packed.decompress(path.read_bytes(), CACHED_BYTES_MAX)
            return msgspec.msgpack.decode(content, type=RunResult)
        except (OSError, zlib.error, msgspec.MsgspecError):
            return None

    def write(self, series: Series, result: RunResult) -> None:
        """Keep a result. A disk that is full is no reason to lose it for who waits for it."""
        path = self._find(series, result.strategy, result.seed)
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(zlib.compress(msgspec.msgpack.encode(result)))
            draft.replace(path)
            self._make_room()
        except OSError:
            draft.unlink(missing_ok=True)

    def _find(self, series: Series, strategy: str, seed: int) -> Path:
        digest = hashlib.blake2b(self._code, digest_size=20)
        digest.update(msgspec.json.encode(series.scenario))
        digest.update(f"\0{strategy}\0{seed}\0{series.is_fitted}\0".encode())
        digest.update(_UNCHANGED if series.trace is None else msgspec.msgpack.encode(series.trace))
        return self._folder / f"{digest.hexdigest()}.run"

    def _make_room(self) -> None:
        kept = sorted(self._folder.glob("*.run"), key=lambda path: path.stat().st_mtime)
        for path in kept[: max(0, len(kept) - CACHED_RUNS_MAX)]:
            path.unlink(missing_ok=True)


def play_all(
    series: Series, *, cores: int, cache: RunCache | None, on_progress: OnProgress
) -> list[RunResult]:
    """Every run of a series, seed by seed. Raises `BadInput` for what cannot be played.

    `on_progress` hears how much of all is done; parts of runs only when one core plays them.
    """
    played = list_played(series.strategies)
    for strategy in played:
        _refuse_unplayable(series, strategy)
    wanted = [(seed, strategy) for seed in series.seeds for strategy in played]
    found: dict[tuple[int, str], RunResult] = {}
    for seed, strategy in wanted:
        known = cache.read(series, strategy, seed) if cache and series.diaries is None else None
        if known is not None:
            found[seed, strategy] = known
    missing = [key for key in wanted if key not in found]
    if missing:
        ground = prepare_ground(series.scenario, series.trace)
        for result in _play_missing(_create_tasks(series, ground, missing), cores, on_progress):
            finished = _place_on(result, ground)
            found[result.seed, result.strategy] = finished
            if cache and result.verdict is Verdict.OK:
                cache.write(series, finished)
    return _arrange(series, [found[key] for key in wanted])


def _refuse_unplayable(series: Series, strategy: str) -> None:
    """Raises `BadInput` for a plan that cannot be, and for diaries of what has no peers."""
    create_trial(series.scenario, series.seeds[0], strategy)
    if series.diaries is not None and not isinstance(STRATEGIES[strategy], NetworkStrategy):
        found = f"{series.diaries} with --strategy {strategy}"
        expected = "a strategy of peers, whose policies decide"
        raise BadInput("--diaries", found, expected, "--strategy wwwserve, or no --diaries")


def _create_tasks(
    series: Series, ground: Ground, missing: Sequence[tuple[int, str]]
) -> list[_Task]:
    rows = {
        seed: fit_trace(ground, series.scenario, seed) if series.is_fitted else series.trace
        for seed, _ in missing
    }
    seated = seat_nodes(series.scenario, ground.throughputs)
    folder = series.diaries
    return [
        _Task(seated, strategy, seed, rows[seed], folder and folder / name_run(strategy, seed))
        for seed, strategy in missing
    ]


def _play_missing(tasks: Sequence[_Task], cores: int, on_progress: OnProgress) -> list[RunResult]:
    if min(cores, len(tasks)) == 1:
        return [
            _play(task, _count_on(on_progress, index, len(tasks)))
            for index, task in enumerate(tasks)
        ]
    # Not forked: the progress bar has a thread.
    context = get_context("spawn")
    with ProcessPoolExecutor(min(cores, len(tasks)), mp_context=context) as executor:
        pending = [executor.submit(_play, task) for task in tasks]
        try:
            for done, _ in enumerate(as_completed(pending), start=1):
                on_progress(done, len(tasks))
        except KeyboardInterrupt:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in pending]


def _count_on(on_progress: OnProgress, before: int, tasks: int) -> OnProgress:
    """Hears of one run's progress and tells that of all."""
    return lambda done, whole: on_progress(before * whole + done, tasks * whole)


def _play(task: _Task, on_progress: OnProgress = lambda _done, _whole: None) -> RunResult:
    # The collector of cyclic garbage would walk all tables of a large network again and again, and
    # find nothing: what peers and world let go of is in no cycle.
    gc.disable()
    try:
        with open_diaries(task.diaries, task.scenario.nodes) as keep_line:
            return run_scenario(
                task.scenario,
                task.seed,
                strategy=task.strategy,
                trace=task.rows,
                on_progress=on_progress,
                keep_line=keep_line,
            )
    finally:
        gc.enable()


def _place_on(result: RunResult, ground: Ground) -> RunResult:
    """The result with what its ground says of it."""
    scenario = result.scenario
    seats = share_seats(scenario, ground.throughputs)
    return replace(result, load=compute_load(scenario, ground), seats=seats)


def _arrange(series: Series, results: Sequence[RunResult]) -> list[RunResult]:
    """The runs that were asked for, in their order: by seed, then by strategy."""
    arranged: list[RunResult] = []
    for name in series.strategies:
        strategy = STRATEGIES[name]
        if isinstance(strategy, BestStrategy):
            arranged += choose_best(name, results, strategy.of)
        else:
            arranged += [result for result in results if result.strategy == name]
    return sorted(arranged, key=lambda result: result.seed)


def _digest_code() -> bytes:
    """A digest over everything a run is a function of besides its plan."""
    root = Path(wwwserve.__file__).parent
    digest = hashlib.blake2b(digest_size=20)
    for room in _CODE_ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in _CODE_SUFFIXES:
                digest.update(path.relative_to(root).as_posix().encode() + _UNCHANGED)
                digest.update(path.read_bytes())
    return digest.digest()
