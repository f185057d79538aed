"""What is typed after `wwwserve sim`, read: scenarios, traces, and which seeds."""

import gzip
from pathlib import Path

from wwwserve.sim import SCENARIOS, Arrival, Scenario, parse_scenario, parse_trace
from wwwserve.values.refusals import BadInput

TRACE_BYTES_MAX = 256 * 1024 * 1024
"""An unpacked trace."""
SEED_MAX = 2**63 - 1
SEEDS_MAX = 10_000
"""Seeds of one command."""

_SEED_DIGITS_MAX = 19
"""Of the largest seed."""


def find_scenario(name: str) -> Scenario:
    """A built-in scenario by its name, or one from a TOML file. Raises `BadInput`."""
    if name in SCENARIOS:
        return SCENARIOS[name]
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return parse_scenario(path.read_text(encoding="utf-8"))
    known = ", ".join(SCENARIOS)
    raise BadInput("scenario", name, f"{known}, or a .toml file", "wwwserve sim list")


def read_trace(path: Path) -> list[Arrival]:
    """The arrivals of a CSV file, plain or packed. Raises `BadInput`."""
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


def parse_seed_count(text: str) -> range:
    """N: the seeds 1 to N; A-B: those from A to B. Raises `BadInput`."""
    expected = f"N for the seeds 1 to N, or A-B with A <= B; at most {SEEDS_MAX}"
    return _parse_seeds(text if "-" in text else f"1-{text}", typed=text, expected=expected)


def parse_seed_range(text: str) -> range:
    """A: that seed alone; A-B: those from A to B. Raises `BadInput`."""
    expected = f"A-B with A <= B and at most {SEEDS_MAX} seeds"
    return _parse_seeds(text if "-" in text else f"{text}-{text}", typed=text, expected=expected)


def _parse_seeds(text: str, *, typed: str, expected: str) -> range:
    first, _, last = text.partition("-")
    if _is_seed(first) and _is_seed(last) and 0 <= int(last) - int(first) < SEEDS_MAX:
        return range(int(first), int(last) + 1)
    raise BadInput("--seeds", typed, expected, "for example --seeds 1-100")


def _is_seed(word: str) -> bool:
    is_number = word.isascii() and word.isdecimal() and len(word) <= _SEED_DIGITS_MAX
    return is_number and int(word) <= SEED_MAX
