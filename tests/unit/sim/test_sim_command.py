"""`wwwserve sim` keeps its contract: the JSON's fields, the exit codes, and errors that name a key.

The command runs in this process through the command line's own entry; output is read back as a
script would read it.
"""

import gzip
import json
from pathlib import Path

import pytest

from wwwserve.cli.app import run

TINY_RUN = ["--set", "duration_us=5000000", "--set", "join_us=2000000"]
RUN_FIELDS = {
    "strategy", "seed", "requests", "completed", "failed", "refused", "slo", "e2e_s", "ttft_s",
    "tpot_s", "goodput_rps", "offloaded", "messages_per_request", "credits", "stake", "served",
    "duels", "profit", "profit_per_1k_tokens", "profit_per_hour", "invariants",
}  # fmt: skip


def read_json(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_run_prints_the_agreed_object(capsys: pytest.CaptureFixture[str]) -> None:
    both = ["--strategy", "single", "--strategy", "wwwserve", "--seeds", "2"]
    assert run(["sim", "run", "hello", *both, *TINY_RUN, "--load", "0.3", "--json"]) == 0
    report = read_json(capsys)
    assert (report["scenario"], report["load"]) == ("hello", 0.3)
    runs = report["runs"]
    assert isinstance(runs, list)
    assert [(one["strategy"], one["seed"]) for one in runs] == [
        ("single", 1), ("wwwserve", 1), ("single", 2), ("wwwserve", 2),
    ]  # fmt: skip
    for one in runs:
        assert set(one) >= RUN_FIELDS
        assert set(one["e2e_s"]) == {"mean", "p50", "p90", "p95", "p99"}
        assert one["invariants"] == "ok"
        assert one["completed"] == sum(one["served"].values())
    summary = report["summary"]
    assert isinstance(summary, dict)
    assert list(summary) == ["single", "wwwserve"]


def test_fuzz_prints_each_seeds_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sim", "fuzz", "--seeds", "43", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["seeds"]
    assert set(found) == {"seed", "outcome", "events", "digest"}
    assert (found["seed"], found["outcome"]) == (43, "ok")


def test_replay_says_the_seed_first_and_all_it_chose(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sim", "replay", "43"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed 43"
    assert any('"nodes"' in line for line in lines)


def test_list_names_scenarios_and_strategies(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sim", "list", "--json"]) == 0
    listed = read_json(capsys)
    assert {"hello", "mixed", "churn", "partition", "hostile"} <= set(listed["scenarios"])  # type: ignore[call-overload]
    assert {"wwwserve", "single"} <= set(listed["strategies"])  # type: ignore[call-overload]


def test_a_run_is_saved_with_its_requests(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv.gz"
    with gzip.open(trace, "wt") as file:
        file.write("arrival_s,prompt_tokens,output_tokens\n0.1,20,5\n0.2,30,6\n")
    out = tmp_path / "out"
    assert run(["sim", "run", "hello", "--trace", str(trace), "--out", str(out), *TINY_RUN]) == 0
    assert json.loads((out / "report.json").read_text())["runs"][0]["requests"] == 2
    lines = (out / "requests-wwwserve-1.csv").read_text().splitlines()
    assert len(lines) == 3
    assert "answered" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "nowhere"], "scenario: found nowhere"),
        (["run", "hello", "--strategy", "best"], "--strategy: found best"),
        (["run", "hello", "--set", "latency=1"], "--set: found latency"),
        (["run", "hello", "--trace", "absent.csv"], "--trace: found absent.csv"),
        (["fuzz", "--seeds", "9-3"], "--seeds: found 9-3"),
        (["fuzz", "--seeds", "some"], "--seeds: found some"),
        (["run", "hello", "--set", "nodes.node-1.person=saint"], "person: found saint"),
        (["run", "hello", "--set", "nodes.node-1.policy.acept=0"], "policy: found acept"),
    ],
)
def test_what_is_typed_wrong_is_named(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sim", *arguments]) == 2
    assert named in capsys.readouterr().err.replace("\n", " ")


def test_a_trace_without_a_column_is_refused_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,prompt_tokens\n1,2\n")
    assert run(["sim", "run", "hello", "--trace", str(trace)]) == 2
    assert "output_tokens" in capsys.readouterr().err
