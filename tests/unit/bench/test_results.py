"""A bench's report has the shape that scripts outside the project read, and honest comparisons.

Reports are made from plain numbers and read back as JSON; machine and commit are this one's.
"""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from wwwserve.bench import results
from wwwserve.bench.results import BenchResult, compute_result, make_report


def test_a_result_is_the_median_of_its_repeats_beside_that_of_its_baseline() -> None:
    assert compute_result("x", "ms", [9.0, 1.0, 2.0], [4.0, 4.0, 100.0]) == BenchResult(
        name="x", value=2.0, unit="ms", baseline=4.0, ratio=0.5
    )


def test_without_a_baseline_nothing_is_compared() -> None:
    assert compute_result("x", "1/s", [3.0]) == BenchResult("x", 3.0, "1/s", None, None)


def test_a_baseline_of_nothing_gives_no_ratio() -> None:
    assert compute_result("x", "MiB", [3.0], [0.0]).ratio is None


def test_a_report_is_one_line_of_json_with_the_promised_keys() -> None:
    text = make_report("link", 3, [compute_result("x", "ms", [2.0], [4.0])]).to_json()
    assert "\n" not in text
    report = json.loads(text)
    assert list(report) == ["bench", "machine", "commit", "repeats", "results"]
    assert (report["bench"], report["repeats"]) == ("link", 3)
    assert report["results"] == [
        {"name": "x", "value": 2.0, "unit": "ms", "baseline": 4.0, "ratio": 0.5}
    ]
    assert "Python 3." in report["machine"]
    assert report["commit"]


def test_the_commit_is_unknown_outside_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert json.loads(make_report("link", 1, []).to_json())["commit"] == "unknown"


def test_code_that_was_changed_since_its_commit_is_told_from_it(tmp_path: Path) -> None:
    copy = tmp_path / "src" / "bench" / "copied_results.py"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(Path(results.__file__).read_bytes())
    # Loading it leaves its compiled form beside it.
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.net")
    for words in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "-m", "It")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)  # noqa: S607
    spec = importlib.util.spec_from_file_location("copied_results", copy)
    assert spec is not None
    assert spec.loader is not None
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)
    commit = copied.read_commit()
    assert len(commit) == 12
    (tmp_path / "src" / "other.py").write_text("x = 1")
    assert copied.read_commit() == f"{commit}+changes"
