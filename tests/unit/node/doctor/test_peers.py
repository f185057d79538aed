"""A node that is alone, hangs or has fallen behind its peers is told so, by what it says itself."""

from pathlib import Path

import pytest

from tests.unit.node.doctor.subjects import make_info, make_subject
from wwwserve import __version__
from wwwserve.node import Level
from wwwserve.node.doctor.peers import check_node, check_opening, check_peers, check_versions
from wwwserve.values.parameters import PROTOCOL_VERSION


def make_member(**fields: object) -> dict[str, object]:
    return {
        "node": "n",
        "status": "alive",
        "is_linked": True,
        "software": f"wwwserve {__version__}",
        "protocol_min": PROTOCOL_VERSION,
        "protocol_max": PROTOCOL_VERSION,
        **fields,
    }


def test_a_node_that_does_not_run_is_no_error(tmp_path: Path) -> None:
    (finding,) = check_node(make_subject(tmp_path))
    assert finding.level is Level.NOTE
    assert finding.fix.startswith("wwwserve up --home")


def test_a_node_that_starts_or_stops_is_left_alone(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    with subject.folder.hold():
        (finding,) = check_node(subject)
    assert finding.level is Level.NOTE
    assert "starting or stopping" in finding.found


def test_a_node_that_runs_and_does_not_answer_hangs(tmp_path: Path) -> None:
    (finding,) = check_node(make_subject(tmp_path, info=make_info(pid=4711)))
    assert finding.level is Level.ERROR
    assert "kill 4711" in finding.fix
    assert "the-token" not in str(finding)
    (finding,) = check_node(make_subject(tmp_path, info=make_info(), status={}))
    assert finding.level is Level.OK


@pytest.mark.parametrize(
    ("members", "level"),
    [
        ([], Level.NOTE),
        ([make_member(status="dead", is_linked=False)], Level.WARNING),
        ([make_member(is_linked=False)], Level.WARNING),
        ([make_member(), make_member(status="dead")], Level.OK),
    ],
)
def test_a_node_without_links_is_alone(
    tmp_path: Path, members: list[dict[str, object]], level: Level
) -> None:
    subject = make_subject(tmp_path, info=make_info(), status={"members": members})
    (finding,) = check_peers(subject)
    assert finding.level is level
    assert bool(finding.fix) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("opening", "words", "fix"),
    [
        ({"is_open": False, "rest": {"kind": "pause"}}, "pause", "wwwserve resume --home"),
        ({"is_open": False, "rest": None}, "policy.hours", "policy.hours"),
        (
            {"is_open": False, "rest": {"kind": "drain", "is_by_policy": True}},
            "policy.drain",
            "policy.drain in config.toml",
        ),
    ],
)
def test_a_node_that_is_closed_to_others_says_by_whom(
    tmp_path: Path, opening: dict[str, object], words: str, fix: str
) -> None:
    subject = make_subject(tmp_path, info=make_info(), status={"opening": opening})
    (finding,) = check_opening(subject)
    assert finding.level is Level.NOTE
    assert words in finding.found
    assert finding.fix.startswith(fix)
    assert not list(check_opening(make_subject(tmp_path, info=make_info(), status={})))


def test_of_a_node_that_does_not_run_no_peers_are_told(tmp_path: Path) -> None:
    assert not list(check_peers(make_subject(tmp_path)))


@pytest.mark.parametrize(
    ("fields", "level", "words"),
    [
        ({}, Level.OK, "no other node has a newer one"),
        ({"software": "wwwserve 99.0.0"}, Level.NOTE, "1 of 2 other nodes say"),
        ({"software": "wwwserve 99.0.0", "status": "dead"}, Level.OK, "no other node"),
        ({"software": "anything at all"}, Level.OK, "no other node"),
        ({"protocol_min": PROTOCOL_VERSION + 1}, Level.WARNING, "1 of 2 other nodes speak no"),
        ({"protocol_max": 0}, Level.WARNING, "1 of 2 other nodes speak no"),
    ],
)
def test_versions_are_compared_with_those_of_living_peers(
    tmp_path: Path, fields: dict[str, object], level: Level, words: str
) -> None:
    members = [make_member(), make_member(**fields)]
    subject = make_subject(tmp_path, info=make_info(), status={"members": members})
    (finding,) = check_versions(subject)
    assert finding.level is level
    assert words in finding.found
    assert bool(finding.fix) == (level is not Level.OK)


def test_alone_it_tells_its_own_version(tmp_path: Path) -> None:
    (finding,) = check_versions(make_subject(tmp_path))
    assert __version__ in finding.found
