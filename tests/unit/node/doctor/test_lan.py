"""The local network is judged by what was heard there, this node's own notice included.

What is heard is said by the tests; listening itself needs a network, and is tried on machines of
its own in `tests/integration/test_lan.py`.
"""

from pathlib import Path

from tests.unit.node.doctor.subjects import get_one, make_folder, make_info, make_subject
from wwwserve.adapters.host import NodeKey
from wwwserve.node import Finding, Level
from wwwserve.node.doctor.lan import CHECK, Heard, check_lan, judge_lan
from wwwserve.ports.discovery import Ignored
from wwwserve.values.ids import NodeId

LISTENING = {"listen": "192.0.2.7:8778"}
OTHER = NodeId(b"\x09" * 32)


def judge(path: Path, heard: Heard, links: dict[str, str], *, is_running: bool = True) -> Finding:
    info = make_info() if is_running else None
    subject = make_subject(path, info=info, network={"lan_discovery": True}, links=links)
    return judge_lan(subject, heard)


def get_own(path: Path) -> NodeId:
    return NodeKey.load(make_folder(path).node_key_file).node_id


async def test_off_is_as_it_should_be_unless_the_operator_wants_it(tmp_path: Path) -> None:
    finding = get_one(await check_lan(make_subject(tmp_path)), CHECK)
    assert finding.level is Level.OK
    assert "network.lan_discovery" in finding.fix


def test_a_node_that_is_heard_is_well_and_does_not_count_itself(tmp_path: Path) -> None:
    heard = Heard(nodes={get_own(tmp_path), OTHER})
    finding = judge(tmp_path, heard, LISTENING)
    assert finding.level is Level.OK
    assert "1 other node found" in finding.found
    heard.ignored[Ignored.NETWORK] = 2
    assert "2 notices of other networks" in judge(tmp_path, heard, LISTENING).found


def test_a_running_node_that_is_not_heard_is_told_so(tmp_path: Path) -> None:
    get_own(tmp_path)
    heard = Heard(nodes={OTHER})
    finding = judge(tmp_path, heard, LISTENING)
    assert finding.level is Level.WARNING
    assert "5353" in finding.fix
    assert judge(tmp_path, heard, LISTENING, is_running=False).level is Level.OK


def test_a_node_that_lets_nobody_in_is_told_how_to_be_found(tmp_path: Path) -> None:
    for listen in ("", "127.0.0.1:8778", "[::1]:8778", "localhost:8778"):
        finding = judge(tmp_path, Heard(), {"listen": listen})
        assert finding.level is Level.NOTE
        assert 'links.advertise = ["auto"]' in finding.fix


def test_a_key_that_cannot_be_used_is_no_matter_of_the_network(tmp_path: Path) -> None:
    make_folder(tmp_path).node_key_file.chmod(0o644)
    assert judge(tmp_path, Heard(nodes={OTHER}), LISTENING).level is Level.OK
