"""What a node believes of its newest writes after each kind of end, by its host's boot."""

from pathlib import Path

import pytest

from wwwserve.node.boot_mark import BootMark
from wwwserve.node.state_folder import StateFolder


@pytest.fixture
def home(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path)


def name_boot(folder: Path, boot_id: str) -> Path:
    file = folder / f"host-{boot_id}"
    file.write_text(f"{boot_id}\n", encoding="ascii")
    return file


def test_only_a_machine_that_went_down_under_a_node_makes_it_doubt(
    home: StateFolder, tmp_path: Path
) -> None:
    first, second = name_boot(tmp_path, "first"), name_boot(tmp_path, "second")
    assert BootMark(home, first).set()
    # Killed, and started again on the same boot: the process is gone, its writes are not.
    assert BootMark(home, first).set()
    # The machine went down while the node ran.
    assert not BootMark(home, second).set()
    # Ended in order, and the machine went down after that.
    mark = BootMark(home, second)
    mark.set()
    mark.clear()
    assert BootMark(home, first).set()


def test_where_a_boot_has_no_name_an_end_without_order_makes_it_doubt(
    home: StateFolder, tmp_path: Path
) -> None:
    mark = BootMark(home, tmp_path / "no such file")
    assert mark.set()
    assert not mark.set()
    mark.clear()
    assert mark.set()
