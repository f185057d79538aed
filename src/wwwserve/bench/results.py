"""What a bench found and where: the one shape every `wwwserve bench` prints.

`baseline` is the same measure of the plainest thing that could do the job, taken in the same run
on the same machine; `ratio` is ours divided by it. Only ratios compare between machines.
"""

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import msgspec

_GIT_WAIT_S = 5
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One number of a bench, with its unit and what it is compared with."""

    name: str
    value: float
    unit: str
    baseline: float | None
    """The same measure of the baseline, or None where there is nothing to compare with."""
    ratio: float | None
    """`value / baseline`; whether more is better depends on the unit."""


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All numbers of one bench run, and the circumstances they were taken in."""

    bench: str
    machine: str
    commit: str
    repeats: int
    results: tuple[BenchResult, ...]

    def to_json(self) -> str:
        """One line of JSON with the keys bench, machine, commit, repeats and results."""
        return msgspec.json.encode(asdict(self)).decode()


def compute_result(
    name: str, unit: str, values: list[float], baselines: list[float] | None = None
) -> BenchResult:
    """The median of the repeats as one result; `baselines` are the same repeats of the baseline."""
    value = median(values)
    if not baselines:
        return BenchResult(name=name, value=value, unit=unit, baseline=None, ratio=None)
    baseline = median(baselines)
    ratio = value / baseline if baseline else None
    return BenchResult(name=name, value=value, unit=unit, baseline=baseline, ratio=ratio)


def make_report(bench: str, repeats: int, results: list[BenchResult]) -> BenchReport:
    """A report of `results`, stamped with this machine and this commit."""
    return BenchReport(
        bench=bench,
        machine=read_machine(),
        commit=read_commit(),
        repeats=repeats,
        results=tuple(results),
    )


def read_machine() -> str:
    """What the numbers were taken on: processor, cores, system and Python."""
    processor = platform.processor() or platform.machine()
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    system = f"{platform.system()} {platform.machine()}"
    return f"{processor}, {os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def read_commit() -> str:
    """The commit this code is, with `+changes` if edited since; `unknown` outside a checkout."""
    head = _read_git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    return f"{head}+changes" if _read_git("status", "--porcelain", "--", ":/src") else head


def _read_git(*arguments: str) -> str:
    """What git says about the checkout this file lies in, or nothing."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=_GIT_WAIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
