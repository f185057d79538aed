"""What is wrong in a policy, a trace or a strategy is refused by its name, and the fix is said.

Each command runs in this process as it would be typed. Refusing is exit code 2, nothing on standard
output, and one line for each fault: field, what was found, what is expected, what to try.
"""

import gzip
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from wwwserve.cli.app import run

POLICIES = (
    (
        'hours = ["Mon-Fri 18:00-20:00", "Fri 19:00-21:00"]',
        "policy.hours",
        "Fri 19:00-21:00",
        "join the two, or correct one",
    ),
    (
        "acept_frequency = 0.5",
        "policy.acept_frequency",
        "an unknown key",
        "did you mean policy.accept_frequency?",
    ),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing typed, and the one fault it has."""

    name: str
    words: str
    """After `wwwserve`; `bad` is where the file lies."""
    field: str
    found: str
    fix: str
    file: str = ""


CASES = (
    Case(
        "a trace without a column",
        "sim run hello --trace bad",
        "bad, line 1, column 'output_tokens'",
        "arrival_s, prompt_tokens, output",
        "rename or add the column",
        "arrival_s,prompt_tokens,output\n1,20,5\n",
    ),
    Case(
        "a trace without a header",
        "sim run hello --trace bad",
        "bad, line 1, column 'arrival_s'",
        "an empty file",
        "rename or add the column",
    ),
    Case(
        "a trace whose line lacks its last column",
        "sim run hello --trace bad",
        "bad, line 3, column 'output_tokens'",
        "None",
        "correct or remove the line",
        "arrival_s,prompt_tokens,output_tokens\n1,20,5\n2,20\n",
    ),
    Case(
        "a trace that is not one number",
        "sim run hello --trace bad",
        "bad, line 2, column 'prompt_tokens'",
        "many",
        "correct or remove the line",
        "arrival_s,prompt_tokens,output_tokens\n1,many,5\n",
    ),
    Case(
        "a strategy nobody knows",
        "sim run hello --strategy central-bets",
        "--strategy",
        "central-bets",
        "wwwserve sim list",
    ),
    Case(
        "one that nobody knows after one that is known",
        "sim run hello --strategy wwwserve --strategy random-walk",
        "--strategy",
        "random-walk",
        "wwwserve sim list",
    ),
    Case(
        "diaries of a strategy without peers",
        "sim run hello --strategy wwwserve --strategy central-fresh --diaries kept",
        "--diaries",
        "kept with --strategy central-fresh",
        "--strategy wwwserve, or no --diaries",
    ),
    Case(
        "diaries of a node whose name is a way out of their folder",
        "sim run bad.toml --diaries kept --set duration_us=1000000 --cores 1",
        "nodes",
        "../outside",
        "rename the node",
        'name = "bad"\n[nodes."../outside"]\nshare = 1\n',
    ),
    Case(
        "a pretend node's policy with an unknown key",
        "sim run hello --set nodes.node-1.policy.acept_permille=500",
        "policy",
        "acept_permille",
        "correct the name",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_by_name_with_the_fix(
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WWWSERVE_CACHE", str(tmp_path / "cache"))
    for name in ("bad", "bad.toml"):
        (tmp_path / name).write_text(case.file)
    assert run(shlex.split(case.words)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    _assert_refused(err, case.field, case.found, case.fix)


def test_a_packed_trace_is_refused_as_a_plain_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "bad.csv.gz"
    trace.write_bytes(gzip.compress(b"arrival_s,output_tokens\n1,2\n"))
    assert run(["sim", "run", "hello", "--trace", str(trace)]) == 2
    field = "bad.csv.gz, line 1, column 'prompt_tokens'"
    _assert_refused(capsys.readouterr().err, field, "arrival_s, output_tokens", "rename or add")


@pytest.mark.parametrize(("setting", "field", "found", "fix"), POLICIES)
def test_a_wrong_policy_is_refused_by_all_that_read_one(
    setting: str, field: str, found: str, fix: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "config.toml"
    file.write_text(f"[policy]\n{setting}\n")
    at_home = ["--home", str(tmp_path)]
    for words in (
        ["policy", "check", str(file)],
        ["policy", "check", *at_home],
        ["policy", "replay", str(file), *at_home],
        ["config", "check", *at_home],
        ["up", *at_home],
    ):
        assert run(words) == 2, words
        out, err = capsys.readouterr()
        assert out == ""
        _assert_refused(err, field, found, fix)
    assert not (tmp_path / "run.json").exists(), "no node was started with it"


def _assert_refused(said: str, field: str, found: str, fix: str) -> None:
    lines = said.splitlines()
    line = next((one for one in lines if one.startswith(f"error: {field}: found {found}")), said)
    assert line.startswith(f"error: {field}: found {found}")
    assert f". Try: {fix}" in line
