"""What reads bytes from outside keeps its promises, for inputs that a fuzzer makes and made.

Every seed, mutations of it with a fixed chance, and every input that ever broke a target go through
it here, on any platform. The slow tests then let atheris search for a short while in a process for
each target; `make fuzz` does the same for as long as one likes.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from tests.fuzz import campaigns
from tests.fuzz.campaigns import (
    KEPT,
    ROOT,
    TARGETS,
    Campaign,
    explain_absence,
    find_mutator,
    keep_input,
    list_kept,
    load_target,
    read_hex,
    run_campaign,
    write_hex,
)
from tests.fuzz.targets.messages import make_messages
from tests.fuzz.targets.request_frames import make_frames
from wwwserve.wire import Message, RequestFrame

MUTATIONS = 20
"""Of each seed, made with a fixed chance."""
SECONDS = 2
"""Of search for each target."""
KEPT_INPUTS = [(name, path) for name in TARGETS for path in list_kept(name)]


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_mutations_break_nothing(name: str) -> None:
    target = load_target(name)
    seeds = target.make_seeds()
    assert seeds
    mutate = find_mutator(target)
    chance = Random(2603)  # noqa: S311 - a fixed sequence is the point
    made = [mutate(seed, chance) for seed in seeds for _ in range(MUTATIONS)] if mutate else []
    for data in (*seeds, b"", *made):
        if data is not None:
            target.consume(data)


@pytest.mark.parametrize(("name", "path"), KEPT_INPUTS, ids=lambda value: Path(value).stem)
def test_an_input_that_once_broke_a_target_breaks_it_no_more(name: str, path: Path) -> None:
    load_target(name).consume(read_hex(path.read_text(encoding="ascii")))


def test_every_message_and_every_frame_is_among_the_seeds() -> None:
    assert {type(message) for message in make_messages()} == set(get_args(Message))
    assert {type(frame) for frame in make_frames()} == set(get_args(RequestFrame))


def test_every_kept_input_belongs_to_a_target() -> None:
    folders = {path.parent.name for path in KEPT.rglob("*") if path.is_file()}
    assert folders <= set(TARGETS)


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(range(256))])
def test_a_kept_input_reads_back(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "KEPT", tmp_path)
    path = keep_input(Campaign("frames", 1, 1, 1, "it broke", data))
    assert path is not None
    assert list_kept("frames") == [path]
    assert read_hex("# found by chance\n" + path.read_text(encoding="ascii")) == data
    assert max(map(len, write_hex(data).splitlines()), default=0) <= campaigns.HEX_COLUMNS


def test_a_mistyped_target_is_told() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "frame"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such target: frame" in done.stderr
    assert "frames" in done.stderr


@pytest.fixture
def atheris() -> None:
    """Skip where the fuzzer cannot be had, and only there."""
    absence = explain_absence()
    has_wheels = (sys.platform, platform.machine()) == ("linux", "x86_64")
    if absence and has_wheels and os.environ.get("CI") == "true":
        pytest.fail(absence)
    if absence:
        pytest.skip(absence)


@pytest.mark.slow
@pytest.mark.usefixtures("atheris")
@pytest.mark.parametrize("name", TARGETS)
def test_a_short_search_finds_nothing(name: str) -> None:
    campaign = run_campaign(name, SECONDS)
    shown = campaign.broken_by.hex() if campaign.broken_by else "no input"
    assert campaign.failure == "", f"{name} broke by {shown}"
    assert campaign.executions > len(load_target(name).make_seeds())
    assert campaign.branches > 0, "the code under test was not marked"


@pytest.mark.slow
@pytest.mark.usefixtures("atheris")
@pytest.mark.parametrize(
    ("name", "sign", "input_s_max"),
    [("error", "planted", 10), ("hang", "timeout", 1), ("hoard", "out-of-memory", 60)],
)
def test_a_planted_fault_is_found_with_its_input(name: str, sign: str, input_s_max: int) -> None:
    campaign = run_campaign(f"planted.{name}", SECONDS, input_s_max=input_s_max)
    assert sign in campaign.failure
    assert campaign.broken_by == b"broken"
