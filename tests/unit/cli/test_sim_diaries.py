"""Simulated nodes' diaries that cannot be written are a refusal with a fix, no peer's fault."""

from pathlib import Path
from shutil import rmtree

import pytest

from wwwserve.cli.sim_diaries import HELD_BYTES_MAX, open_diaries
from wwwserve.values.refusals import BadInput


def test_a_folder_that_goes_away_ends_no_run_and_is_refused_after_it(tmp_path: Path) -> None:
    diaries = open_diaries(tmp_path / "kept", ["node"])
    keep = diaries.__enter__()
    assert keep is not None
    rmtree(tmp_path / "kept")
    for _ in range(3):
        keep("node", b"x" * HELD_BYTES_MAX)
    with pytest.raises(BadInput) as caught:
        diaries.__exit__(None, None, None)
    assert caught.value.field == "--diaries"
    assert caught.value.fix


def test_a_folder_that_is_a_file_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("taken")
    with pytest.raises(BadInput) as caught, open_diaries(tmp_path / "kept", ["node"]):
        pytest.fail("it was played")
    assert caught.value.field == "--diaries"
