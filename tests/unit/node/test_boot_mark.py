"""What a node believes of its newest writes after each kind of end, by its host's boot.

After a machine went down the old mark stays until the wallet has written down what that means.
"""

from pathlib import Path

import pytest

from wwwserve.core.lanes import Lane
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
    assert BootMark(home, first).open()
    # Killed, and started again on the same boot: the process is gone, its writes are not.
    assert BootMark(home, first).open()
    # The machine went down while the node ran.
    assert not BootMark(home, second).open()
    # Ended in order, and the machine went down after that.
    mark = BootMark(home, second)
    mark.open()
    mark.clear()
    assert BootMark(home, first).open()


def test_where_a_boot_has_no_name_an_end_without_order_makes_it_doubt(
    home: StateFolder, tmp_path: Path
) -> None:
    mark = BootMark(home, tmp_path / "no such file")
    assert mark.open()
    assert not mark.open()
    mark.clear()
    assert mark.open()


def test_an_end_before_the_wallet_wrote_of_the_loss_leaves_the_doubt(
    home: StateFolder, tmp_path: Path
) -> None:
    first, second = name_boot(tmp_path, "first"), name_boot(tmp_path, "second")
    BootMark(home, first).open()
    # The machine went down; then the node is killed before anything is written, or only elsewhere.
    assert not BootMark(home, second).open()
    killed = BootMark(home, second)
    assert not killed.open()
    killed.on_written(Lane.CHAIN)
    # Or it ends in order before that, as with a bad configuration.
    ended = BootMark(home, second)
    assert not ended.open()
    ended.clear()
    # Once the wallet has written, the doubt is in its own lane and not in the mark.
    again = BootMark(home, second)
    assert not again.open()
    again.on_written(Lane.FEED)
    assert BootMark(home, second).open()
