"""One state folder serves one node, keeps its secrets to its owner, and tells commands the truth.

Real folders and real locks; a second open file stands for a second process, as `flock` sees it.
"""

import os
from pathlib import Path

import pytest

from wwwserve.node import RunInfo, StateFolder, find_state_folder
from wwwserve.values.refusals import BadInput

RUN_INFO = RunInfo(
    pid=1, node="n", gateway="http://127.0.0.1:1", admin="http://127.0.0.1:2", admin_token="secret"
)


def test_the_folder_is_chosen_by_flag_then_variable_then_platform(tmp_path: Path) -> None:
    environ = {"WWWSERVE_HOME": str(tmp_path / "b"), "XDG_DATA_HOME": str(tmp_path / "c")}
    assert find_state_folder(tmp_path / "a", environ).path == tmp_path / "a"
    assert find_state_folder(None, environ).path == tmp_path / "b"
    del environ["WWWSERVE_HOME"]
    assert find_state_folder(None, environ).path == tmp_path / "c" / "wwwserve"
    assert find_state_folder(None, {}).path.is_relative_to(Path.home())


def test_a_second_node_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    home = StateFolder(tmp_path / "home")
    with home.hold():
        assert home.is_held()
        with pytest.raises(BadInput, match=f"in use by process {os.getpid()}"), home.hold():
            pass
        assert home.is_held()
    assert not home.is_held()
    with home.hold():
        pass


def test_what_a_killed_node_left_behind_is_no_running_node(tmp_path: Path) -> None:
    home = StateFolder(tmp_path)
    with home.hold():
        home.write_run_info(RUN_INFO)
        assert home.read_run_info() == RUN_INFO
    assert home.run_file.exists()
    assert home.read_run_info() is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"node":"\xe0"}', b"x" * 100_000])
def test_a_damaged_run_file_is_no_running_node(tmp_path: Path, content: bytes) -> None:
    home = StateFolder(tmp_path)
    with home.hold():
        home.run_file.write_bytes(content)
        assert home.read_run_info() is None


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    home = StateFolder(tmp_path / "deep" / "home")
    home.create()
    home.create()
    home.write_run_info(RUN_INFO)
    home.write_run_info(RUN_INFO)
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert home.run_file.stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(RUN_INFO)
    assert [file.name for file in home.path.iterdir()] == ["run.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="state folder"):
        StateFolder(tmp_path / "file" / "home").create()


def test_a_scrapers_token_outlives_the_node_and_is_kept_private(tmp_path: Path) -> None:
    home = StateFolder(tmp_path / "home")
    home.create()
    token = home.get_metrics_token()
    assert len(token) > 30
    assert home.get_metrics_token() == token
    assert home.metrics_token_file.stat().st_mode & 0o777 == 0o600
    home.metrics_token_file.write_text("chosen by hand\n")
    assert home.get_metrics_token() == "chosen by hand"
    home.metrics_token_file.write_text(" \n")
    assert len(home.get_metrics_token()) > 30
