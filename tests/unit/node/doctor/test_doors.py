"""Ports that cannot be had, and a gateway that lets in nobody or anybody, are found out.

Ports are really taken by sockets of the test's own.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.node.doctor.subjects import get_bad, get_one, make_info, make_subject
from wwwserve.node import Level
from wwwserve.node.doctor.doors import check_keys, check_ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def find_free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_any_free_port_is_always_to_be_had(tmp_path: Path) -> None:
    findings = list(check_ports(make_subject(tmp_path)))
    assert [one.check for one in findings] == ["gateway.port", "admin.port", "links.listen"]
    assert {one.level for one in findings} == {Level.OK}


def test_a_free_port_is_free(tmp_path: Path) -> None:
    subject = make_subject(tmp_path, gateway={"port": find_free()})
    assert get_one(check_ports(subject), "gateway.port").found.endswith("is free")


def test_a_port_of_another_program_is_named_and_how_to_find_that(
    tmp_path: Path, taken: int
) -> None:
    subject = make_subject(tmp_path, links={"listen": f"127.0.0.1:{taken}"})
    (finding,) = get_bad(check_ports(subject))
    assert (finding.check, finding.level) == ("links.listen", Level.ERROR)
    assert "another program has it" in finding.found
    assert f"lsof -nP -iTCP:{taken}" in finding.fix


def test_a_port_of_this_very_node_is_as_it_should_be(tmp_path: Path, taken: int) -> None:
    info = make_info(gateway=f"http://127.0.0.1:{taken}", links=("203.0.113.7:1",))
    links = {"listen": f"127.0.0.1:{taken + 1}"}
    subject = make_subject(tmp_path, info=info, gateway={"port": taken}, links=links)
    finding = get_one(check_ports(subject), "gateway.port")
    assert (finding.level, finding.found) == (Level.OK, f"127.0.0.1:{taken}, held by this node")


def test_a_node_that_listens_elsewhere_than_it_should_is_told_to_look_again(
    tmp_path: Path, taken: int
) -> None:
    subject = make_subject(
        tmp_path, info=make_info(gateway="http://127.0.0.1:1"), gateway={"port": taken}
    )
    finding = get_one(check_ports(subject), "gateway.port")
    assert finding.level is Level.WARNING
    assert finding.fix.startswith("wwwserve config reload --home")


def test_two_doors_on_one_port_are_an_error(tmp_path: Path) -> None:
    port = find_free()
    subject = make_subject(tmp_path, gateway={"port": port}, admin={"port": port})
    (finding,) = get_bad(check_ports(subject))
    assert (finding.check, finding.level) == ("admin.port", Level.ERROR)
    assert "gateway.port" in finding.found


def test_an_address_of_another_machine_cannot_be_served(tmp_path: Path) -> None:
    subject = make_subject(tmp_path, links={"listen": "192.0.2.1:8778"})
    (finding,) = get_bad(check_ports(subject))
    assert "no address of this machine" in finding.found
    assert "0.0.0.0" in finding.fix  # noqa: S104 - what is advised


def test_keys_are_counted(tmp_path: Path) -> None:
    (finding,) = check_keys(make_subject(tmp_path))
    assert (finding.level, finding.found) == (Level.OK, "1, hashed")


def test_without_a_key_nobody_gets_in(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    subject.folder.api_keys_file.unlink()
    (finding,) = check_keys(subject)
    assert finding.level is Level.WARNING
    assert finding.fix.startswith("wwwserve keys add NAME --home")


def test_without_a_key_other_machines_are_not_served(tmp_path: Path) -> None:
    gateway = {"host": "0.0.0.0", "port": 0}  # noqa: S104 - what is examined
    subject = make_subject(tmp_path, gateway=gateway)
    assert [one.check for one in check_keys(subject)] == ["API keys", "gateway"]
    assert "TLS" in get_one(check_keys(subject), "gateway").fix
    subject.folder.api_keys_file.unlink()
    (finding,) = check_keys(subject)
    assert finding.level is Level.ERROR
    assert "wwwserve keys add NAME" in finding.fix


def test_an_open_gateway_is_worth_a_note(tmp_path: Path) -> None:
    (finding,) = check_keys(make_subject(tmp_path, gateway={"open": True}))
    assert finding.level is Level.NOTE


def test_a_damaged_key_file_is_an_error(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    subject.folder.api_keys_file.write_text("{")
    (finding,) = check_keys(subject)
    assert finding.level is Level.ERROR
    assert "backup" in finding.fix
