"""`wwwserve sim` keeps its contract: the JSON's fields, the exit codes, and errors that name a key.

The command runs in this process through the command line's own entry; output is read back as a
script would read it.
"""

import gzip
import json
from pathlib import Path

import pytest

from wwwserve.cli.app import run

TINY_RUN = ["--set", "duration_us=5000000", "--set", "join_us=2000000", "--cores", "1"]
RUN_FIELDS = {
    "strategy", "seed", "requests", "completed", "failed", "refused", "slo", "e2e_s", "ttft_s",
    "tpot_s", "goodput_rps", "offloaded", "messages_per_request", "credits", "stake", "served",
    "duels", "profit", "profit_per_1k_tokens", "profit_per_hour", "invariants",
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results are kept in a folder of this test."""
    monkeypatch.setenv("WWWSERVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sim"


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
    assert set(summary["single"]["slo"]) == {"2x", "3x", "ttft_1s", "ttft_5s"}
    differences, made = report["differences"], report["made"]
    assert isinstance(differences, list)
    assert isinstance(made, dict)
    first = differences[0]
    assert (first["strategy"], first["against"], first["seeds"]) == ("single", "wwwserve", 2)
    assert first["low"] <= first["mean"] <= first["high"]
    assert "--load 0.3" in made["command"]


def test_the_best_of_the_central_schedulers_is_named(
    capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    names = ["--strategy", "central-best", "--strategy", "central-fresh"]
    assert run(["sim", "run", "hello", *names, *TINY_RUN, "--json"]) == 0
    runs = read_json(capsys)["runs"]
    assert isinstance(runs, list)
    assert [one["strategy"] for one in runs] == ["central-best", "central-fresh"]
    assert runs[0]["stands_for"].startswith("central-")
    assert runs[0]["slo"]["2x"] >= runs[1]["slo"]["2x"]
    assert len(list(cache.iterdir())) == 4, "each was played once"


def test_a_run_is_not_played_twice(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    words = ["sim", "run", "hello", "--strategy", "pool", *TINY_RUN, "--json"]
    assert run(words) == 0
    played = read_json(capsys)
    (kept,) = cache.iterdir()
    written = kept.stat().st_mtime_ns
    assert run(words) == 0
    assert read_json(capsys) == played
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(b"something else")
    assert run(words) == 0
    assert read_json(capsys) == played, "what cannot be read is played again"
    assert run([*words, "--again"]) == 0
    assert read_json(capsys) == played
    assert run([*words, "--set", "nodes.*.engine.pace_permille=1150"]) == 0
    assert read_json(capsys)["runs"] != played["runs"]


def test_seeds_are_counted_from_one_or_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sim", "run", "hello", "--strategy", "pool", *TINY_RUN]
    for typed, seeds in (("2", [1, 2]), ("41-43", [41, 42, 43]), ("7-7", [7])):
        out = tmp_path / typed
        assert run([*words, "--seeds", typed, "--out", str(out), "--json"]) == 0
        report = read_json(capsys)
        runs, made = report["runs"], report["made"]
        assert isinstance(runs, list)
        assert isinstance(made, dict)
        assert [one["seed"] for one in runs] == seeds
        assert f"--seeds {typed}" in made["command"]
        assert made == json.loads((out / "report.json").read_text())["made"]
    assert run([*words, "--seed", "42", "--json"]) == 0
    lone = read_json(capsys)["runs"]
    assert isinstance(lone, list)
    assert [one["seed"] for one in lone] == [42]


@pytest.mark.slow
def test_two_cores_play_what_one_plays(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sim", "run", "hello", "--seeds", "2", *TINY_RUN[:-2], "--again", "--json"]
    found = []
    for cores in ("1", "2"):
        assert run([*words, "--cores", cores]) == 0
        found.append(read_json(capsys))
    assert found[0] == found[1]


def test_saved_runs_become_tables_and_a_page_that_needs_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["--strategy", "pool", "--strategy", "central-pull", "--seeds", "2", *TINY_RUN]
    for load in ("0.3", "0.6"):
        out = str(tmp_path / "saved" / load)
        assert run(["sim", "run", "hello", *both, "--load", load, "--out", out]) == 0
    capsys.readouterr()
    page = tmp_path / "page.html"
    assert run(["sim", "report", str(tmp_path / "saved"), "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    assert "hello, duration_us=5000000 join_us=2000000 at load 0.30" in shown
    assert "pool - central-pull" in shown
    html = page.read_text()
    assert html.count("<td>1-2</td>") == 2 * 2, "each row names its seeds"
    assert html.count("<svg") == 1 + 2 * 4
    assert "join_us=2000000: attainment of 2x against load" in html
    assert not any(word in html for word in ("src=", "href=", "<script", "@import", "url("))


def test_runs_with_other_settings_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for pace in ("850", "1150"):
        for load in ("0.3", "0.6"):
            place = ["--load", load, "--out", str(tmp_path / "saved" / pace / load)]
            setting = ["--set", f"nodes.*.engine.pace_permille={pace}"]
            words = ["sim", "run", "hello", "--strategy", "pool", *setting, *TINY_RUN, *place]
            assert run(words) == 0
    capsys.readouterr()
    page = tmp_path / "page.html"
    assert run(["sim", "report", str(tmp_path / "saved"), "--html", str(page)]) == 0
    html = page.read_text()
    for pace in ("850", "1150"):
        settings = f"nodes.*.engine.pace_permille={pace} duration_us=5000000 join_us=2000000"
        assert f"hello, {settings}: attainment of 2x against load" in html
        assert f"hello, {settings} at load 0.30" in html


def test_the_page_of_a_name_that_is_code_is_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "saved")]
    plan = tmp_path / "x.toml"
    plan.write_text('name = "<script>"\n[nodes.a]\nshare = 1\n')
    assert run(["sim", "run", str(plan), "--strategy", "pool", *TINY_RUN, *out]) == 0
    assert run(["sim", "report", str(tmp_path), "--html", str(tmp_path / "page.html")]) == 0
    assert "<script" not in (tmp_path / "page.html").read_text()
    capsys.readouterr()


def test_a_simulated_nodes_diary_is_replayed_as_a_real_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sim", "run", "hello", *TINY_RUN, "--load", "2", "--diaries", str(tmp_path / "kept")]
    words += ["--set", "nodes.*.policy.own_first=true"]
    folder = tmp_path / "kept" / "wwwserve-1" / "node-1"
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    same.write_text("[policy]\nown_first = true\n")
    other.write_text("[policy]\ntarget_utilisation = 0\noffload_frequency = 0\n")
    replay = ["policy", "replay", "--home", str(folder), "--json"]
    assert run(words) == 0
    # A run that is known is played for its diaries, and they are written anew.
    written = (folder / "policy.jsonl").read_bytes()
    assert run(words) == 0
    assert (folder / "policy.jsonl").read_bytes() == written
    capsys.readouterr()
    for policy in ([], [str(same)]):
        assert run([*replay, *policy]) == 0
        told = read_json(capsys)
        assert told["alike"] == told["decisions"]
        assert told["changes"] == []
    assert run([*replay, str(other)]) == 0
    told = read_json(capsys)
    assert told["changed"] == len(told["changes"]) > 0  # type: ignore[arg-type]


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
        (["run", "hello", "--set", "objectives=['soon']"], "objectives: found soon"),
        (["run", "hello", "--set", "nodes.*.engine.pace=1"], "--set: found nodes.*.engine.pace"),
        (["run", "s1", "--set", "workload.trace=azure"], "workload.trace: found azure"),
        (["report", "nowhere"], "folder: found nowhere"),
        (["run", "hello", "--seeds", "0"], "--seeds: found 0"),
        (["run", "hello", "--seeds", "9-3"], "--seeds: found 9-3"),
        (["run", "hello", "--seeds", "1-2-3"], "--seeds: found 1-2-3"),
        (["run", "hello", "--seeds", "1-20000"], "--seeds: found 1-20000"),
        (["run", "hello", "--seeds", "some"], "--seeds: found some"),
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
