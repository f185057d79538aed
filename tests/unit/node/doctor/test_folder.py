"""A state folder that gives secrets away, or is not whole, is found out, and how to mend it.

Real folders, whose modes and contents the tests spoil one at a time.
"""

from pathlib import Path

import pytest

from tests.unit.node.doctor.subjects import get_bad, get_one, make_folder, make_info, make_subject
from wwwserve.node import Level, StateFolder
from wwwserve.node.doctor.folder import check_config_file, check_folder


def test_a_good_folder_has_nothing_to_mend(tmp_path: Path) -> None:
    findings = list(check_folder(make_folder(tmp_path)))
    assert {one.level for one in findings} == {Level.OK}
    assert not any(one.fix for one in findings)


def test_no_folder_is_one_error(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "not there")
    (finding,) = check_folder(folder)
    assert finding.level is Level.ERROR
    assert finding.fix == f"wwwserve init --home '{folder.path}'"


def test_a_folder_others_can_enter_is_closed_by_a_command(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.path.chmod(0o755)
    (finding,) = get_bad(check_folder(folder))
    assert (finding.check, finding.level) == ("state folder", Level.ERROR)
    assert finding.fix == f"chmod 700 {folder.path}"


@pytest.mark.parametrize("name", ["api_keys.json", "ask.key", "metrics.token", "run.json"])
def test_a_secret_others_can_read_is_closed_by_a_command(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path)
    file = folder.path / name
    file.touch()
    file.chmod(0o640)
    (finding,) = get_bad(check_folder(folder))
    assert (finding.check, finding.level) == (name, Level.ERROR)
    assert finding.fix == f"chmod 600 {file}"


@pytest.mark.parametrize(
    ("spoil", "fix"),
    [
        (lambda file: file.unlink(), "wwwserve init --home"),
        (lambda file: file.chmod(0o644), "chmod 600"),
        (lambda file: file.write_text("no key"), "restore it from a backup"),
    ],
)
def test_a_node_without_a_good_key_cannot_start(tmp_path: Path, spoil: object, fix: str) -> None:
    folder = make_folder(tmp_path)
    assert callable(spoil)
    spoil(folder.node_key_file)
    (finding,) = get_bad(check_folder(folder))
    assert (finding.check, finding.level) == ("node key", Level.ERROR)
    assert fix in finding.fix


def test_what_a_killed_node_left_is_harmless(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.write_run_info(make_info())
    finding = [one for one in check_folder(folder) if one.check == "run.json"][-1]
    assert finding.level is Level.NOTE
    assert "killed" in finding.found
    with folder.hold():
        assert [one.level for one in check_folder(folder) if one.check == "run.json"] == [Level.OK]


def test_an_engines_key_in_the_file_makes_the_file_a_secret(tmp_path: Path) -> None:
    engine = {"url": "http://127.0.0.1:9", "api_key": "the engine's own"}
    subject = make_subject(tmp_path, engine=engine)
    subject.folder.config_file.touch(0o644)
    assert not get_bad(check_config_file(subject.folder, make_subject(tmp_path).config))
    (finding,) = get_bad(check_config_file(subject.folder, subject.config))
    assert finding.fix == f"chmod 600 {subject.folder.config_file}"
    assert "the engine's own" not in str(finding)


def test_no_file_means_defaults(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    finding = get_one(check_config_file(subject.folder, subject.config), "configuration")
    assert finding.level is Level.NOTE
    assert "wwwserve init" in finding.fix
