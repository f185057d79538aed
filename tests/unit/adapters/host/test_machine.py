"""How busy a machine is, read from files as the system writes them and from a program's words."""

from pathlib import Path

import pytest

from wwwserve.adapters.host import Machine

HEAD = "cpu  {user} 0 0 {idle} {wait} 0 0 0 {guest} 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n"


class Folder:
    """A pretend machine in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stat = path / "stat"
        self.cards = path / "drm"
        self.tell(user=100, idle=900)

    def tell(self, *, user: int, idle: int, wait: int = 0, guest: int = 0) -> None:
        self.stat.write_text(HEAD.format(user=user, idle=idle, wait=wait, guest=guest))

    def put_card(self, number: int, text: str) -> None:
        folder = self.cards / f"card{number}" / "device"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gpu_busy_percent").write_text(text)

    def put_program(self, script: str) -> str:
        program = self.path / "cards"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return str(program)

    def open(self, program: str = "no-such-program") -> Machine:
        machine = Machine(stat_file=self.stat, cards_folder=self.cards, card_program=program)
        assert machine.read_busy_permille() is None
        return machine


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_processors_are_busy_for_the_time_they_did_not_idle(folder: Folder) -> None:
    machine = folder.open()
    folder.tell(user=150, idle=1_000, wait=50, guest=150)
    assert machine.read_busy_permille() == 250
    folder.tell(user=150, idle=1_100, wait=150, guest=150)
    assert machine.read_busy_permille() == 0


def test_no_time_is_no_reading(folder: Folder) -> None:
    machine = folder.open()
    assert machine.read_busy_permille() is None


def test_a_busy_card_makes_a_busy_machine(folder: Folder) -> None:
    machine = folder.open()
    folder.put_card(0, "7\n")
    folder.put_card(1, "93\n")
    folder.put_card(2, "off\n")
    folder.tell(user=100, idle=1_000)
    assert machine.read_busy_permille() == 930


@pytest.mark.parametrize(
    ("script", "busy"),
    [("echo 12; echo 88", 880), ("echo '[N/A]'", 0), ("exit 9", 0), ("echo 250", 1_000)],
)
def test_a_program_may_tell_of_cards(folder: Folder, script: str, busy: int) -> None:
    machine = folder.open(folder.put_program(script))
    folder.tell(user=100, idle=1_000)
    assert machine.read_busy_permille() == busy


def test_where_no_file_tells_the_load_stands_for_it(tmp_path: Path) -> None:
    machine = Machine(
        stat_file=tmp_path / "none", cards_folder=tmp_path, card_program="no-such-program"
    )
    busy = machine.read_busy_permille()
    assert busy is not None
    assert 0 <= busy <= 1_000
