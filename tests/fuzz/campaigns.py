"""A fuzz campaign: one target, in a process of its own, for so many seconds.

`atheris` marks the branches of modules as they are imported, so each campaign is a fresh process
(`under_atheris`), and here it is only started, bounded and read. An input that breaks the target is
kept in `tests/data/fuzz/TARGET` and is from then on a test (`test_targets`).
"""

import hashlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Protocol, cast

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "tests/data/fuzz"
TARGETS = tuple(sorted(path.stem for path in (Path(__file__).parent / "targets").glob("*.py")))

INPUT_BYTES_MAX = 4_096
"""Longer inputs find little more and cost much; seeds may be longer."""
INPUT_S_MAX = 10
"""One input may take so long; it counts as a hang above, on any machine."""
MEMORY_MB_MAX = 1_024
"""Of the whole process, of which the interpreter and the marks take about a tenth."""
START_S_MAX = 120
"""What a campaign may take besides its seconds: marking modules, running the seeds."""
FAILURE_LENGTH_MAX = 6_000
"""Characters of what a failed campaign said; the rest is how libFuzzer writes the same input."""
HEX_COLUMNS = 64

_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_FAULT = re.compile(r"=== (?:Uncaught|Timeout)|== ERROR: |Traceback ")
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+)")


class Target(Protocol):
    """A module of `targets`."""

    __name__: str
    consume: Callable[[bytes], None]
    """Give it to the code under test; raises for whatever that must not do."""
    make_seeds: Callable[[], list[bytes]]
    """Inputs to begin with."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """What came of it."""

    target: str
    executions: int
    branches: int
    """Branches of this project's code that some input took."""
    features: int
    """Branches with how often they were taken: what the search follows."""
    failure: str
    """What went wrong, with its traceback; empty when nothing did."""
    broken_by: bytes | None
    """The input that did it."""


def load_target(name: str) -> Target:
    """Import a target's module; `planted.error` and its like are broken on purpose."""
    return cast("Target", importlib.import_module(f"tests.fuzz.targets.{name}"))


def find_mutator(target: Target) -> Callable[[bytes, Random], bytes | None] | None:
    """How to change an input of this target knowing its structure, if it has its own way."""
    return cast("Callable[[bytes, Random], bytes | None] | None", getattr(target, "mutate", None))


def find_words(target: Target) -> tuple[bytes, ...]:
    """Words that mutations of this target may put in."""
    return cast("tuple[bytes, ...]", getattr(target, "WORDS", ()))


def explain_absence() -> str:
    """Why no campaign can be run here; empty when one can."""
    if find_spec("atheris") is not None:
        return ""
    return "atheris is not installed (`make setup` installs it; its wheels are for Linux on x86-64)"


def run_campaign(
    name: str, seconds: int, *, corpus: Path | None = None, input_s_max: int = INPUT_S_MAX
) -> Campaign:
    """Fuzz one target; inputs that reach anything new stay in `corpus`, if one is given."""
    with TemporaryDirectory(prefix="wwwserve-fuzz-") as folder:
        found = Path(folder, "found")
        found.mkdir()
        kept = corpus or Path(folder, "corpus")
        kept.mkdir(parents=True, exist_ok=True)
        arguments = [name, str(kept), str(found), str(seconds), str(input_s_max)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.under_atheris", *arguments],
            cwd=ROOT,
            # An input that breaks a target must break it again.
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + START_S_MAX,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        inputs = sorted(path for path in found.iterdir() if "slow-unit" not in path.name)
        broken_by = inputs[0].read_bytes() if inputs else None
    coverage = _COVERAGE.findall(output)
    branches, features = coverage[-1] if coverage else (0, 0)
    executions = _EXECUTIONS.search(output)
    return Campaign(
        target=name,
        executions=int(executions[1]) if executions else 0,
        branches=int(branches),
        features=int(features),
        failure="" if done.returncode == 0 else _cut_failure(output),
        broken_by=broken_by,
    )


def _cut_failure(output: str) -> str:
    """The part of the output that says what went wrong."""
    mark = _FAULT.search(output)
    return output[mark.start() if mark else 0 :][:FAILURE_LENGTH_MAX].strip() or "it ended silently"


def keep_input(campaign: Campaign) -> Path | None:
    """Write down the input that broke a target, so that it is tried ever after."""
    if campaign.broken_by is None:
        return None
    name = hashlib.sha256(campaign.broken_by).hexdigest()[:12]
    path = KEPT / campaign.target / f"{name}.hex"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(write_hex(campaign.broken_by), encoding="ascii")
    return path


def list_kept(name: str) -> list[Path]:
    """The inputs that once broke a target."""
    return sorted((KEPT / name).glob("*.hex"))


def write_hex(data: bytes) -> str:
    """Bytes as lines of hexadecimal digits, so that they can be read, compared and committed."""
    digits = data.hex()
    starts = range(0, len(digits), HEX_COLUMNS)
    return "".join(f"{digits[start : start + HEX_COLUMNS]}\n" for start in starts)


def read_hex(text: str) -> bytes:
    """The bytes that `write_hex` wrote; lines that begin with `#` say what they are."""
    return bytes.fromhex("".join(line for line in text.splitlines() if not line.startswith("#")))
