"""Whether others can dial a node, and whether those it is to meet answer: by really dialling.

Nodes are transports on loopback with keys of their own; a node that does not run is stood in for
by the examination itself.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.unit.node.doctor.subjects import get_one, make_info, make_subject
from wwwserve.adapters.host import NodeKey
from wwwserve.adapters.transports import TcpTransport
from wwwserve.node import Level
from wwwserve.node.doctor.folder import check_folder
from wwwserve.node.doctor.knocking import SilentOwner
from wwwserve.node.doctor.links import check_links
from wwwserve.values.ids import NodeId, node_text
from wwwserve.values.parameters import MAIN, compute_network_id
from wwwserve.wire import Ticket, ticket_text

NETWORK = compute_network_id(MAIN)
KEY = NodeKey(b"\x05" * 32)
OTHER_KEY = NodeKey(b"\x06" * 32)

Listen = Callable[..., Awaitable[str]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Have a node answer at an address."""
    opened: list[TcpTransport] = []

    async def start(
        key: NodeKey = OTHER_KEY,
        network_id: bytes = NETWORK,
        versions: tuple[int, int] = (1, 1),
    ) -> str:
        transport = TcpTransport(key, network_id, versions=versions)
        opened.append(transport)
        return await transport.listen("127.0.0.1:0", lambda _: SilentOwner())

    yield start
    for transport in opened:
        await transport.close()


def find_silent() -> str:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return f"127.0.0.1:{gone.getsockname()[1]}"


async def test_a_key_that_cannot_be_used_is_told_of_once(tmp_path: Path) -> None:
    subject = make_subject(tmp_path)
    subject.folder.node_key_file.chmod(0o644)
    assert get_one(check_folder(subject.folder), "node key").level is Level.ERROR
    assert [one for one in await check_links(subject) if one.check == "own address"] == []


def make_ticket(address: str, node: NodeId) -> str:
    return ticket_text(Ticket(1, MAIN.network, node, (address,)))


async def test_a_node_that_does_not_run_is_dialled_in_its_place(tmp_path: Path) -> None:
    finding = get_one(await check_links(make_subject(tmp_path)), "own address")
    assert finding.level is Level.NOTE
    assert "for nodes on this machine only" in finding.found
    assert "links.advertise" in finding.fix


async def test_an_address_that_leads_nowhere_is_found_from_here(tmp_path: Path) -> None:
    address = find_silent()
    subject = make_subject(tmp_path, links={"listen": "127.0.0.1:0", "advertise": [address]})
    finding = get_one(await check_links(subject), "own address")
    assert finding.level is Level.WARNING
    assert address in finding.found
    assert "forward TCP port" in finding.fix


async def test_an_address_where_another_node_answers_is_wrong(
    tmp_path: Path, listen: Listen
) -> None:
    links = {"listen": "127.0.0.1:0", "advertise": [await listen()]}
    finding = get_one(await check_links(make_subject(tmp_path, links=links)), "own address")
    assert finding.level is Level.ERROR
    assert "links.advertise" in finding.fix


async def test_the_running_node_answers_for_itself(tmp_path: Path, listen: Listen) -> None:
    info = make_info(node=node_text(KEY.node_id), links=(await listen(KEY),))
    finding = get_one(await check_links(make_subject(tmp_path, info=info)), "own address")
    assert "answers" in finding.found
    stranger = make_info(node=node_text(OTHER_KEY.node_id), links=info.links)
    finding = get_one(await check_links(make_subject(tmp_path, info=stranger)), "own address")
    assert finding.level is Level.ERROR


async def test_a_node_that_only_dials_out_is_told_what_that_means(tmp_path: Path) -> None:
    subject = make_subject(tmp_path, links={"listen": ""})
    finding = get_one(await check_links(subject), "own address")
    assert finding.level is Level.NOTE
    assert "none can dial it" in finding.found


async def test_a_taken_port_is_not_blamed_on_the_address(tmp_path: Path, listen: Listen) -> None:
    subject = make_subject(tmp_path, links={"listen": await listen()})
    finding = get_one(await check_links(subject), "own address")
    assert finding.found.startswith("not checked")


async def test_without_meeting_points_a_node_waits(tmp_path: Path) -> None:
    finding = get_one(await check_links(make_subject(tmp_path)), "meeting points")
    assert finding.level is Level.NOTE
    assert "wwwserve join" in finding.fix
    running = make_subject(tmp_path, status={"members": [{"node": "n"}]})
    assert not [one for one in await check_links(running) if one.check == "meeting points"]


async def test_meeting_points_that_answer_are_good(tmp_path: Path, listen: Listen) -> None:
    address = await listen()
    network = {
        "bootstrap": [address],
        "tickets": [make_ticket(address, OTHER_KEY.node_id)],
    }
    subject = make_subject(tmp_path, network=network)
    finding = get_one(await check_links(subject), "meeting points")
    assert (finding.level, finding.found) == (Level.OK, "all 2 answer")


async def test_one_that_answers_is_enough(tmp_path: Path, listen: Listen) -> None:
    silent = find_silent()
    subject = make_subject(tmp_path, network={"bootstrap": [silent, await listen()]})
    finding = get_one(await check_links(subject), "meeting points")
    assert finding.level is Level.NOTE
    assert silent in finding.found


async def test_none_that_answers_is_a_warning(tmp_path: Path) -> None:
    subject = make_subject(tmp_path, network={"bootstrap": [find_silent()]})
    finding = get_one(await check_links(subject), "meeting points")
    assert finding.level is Level.WARNING
    assert "see that those nodes are up" in finding.fix


async def test_a_ticket_of_a_node_that_moved_away(tmp_path: Path, listen: Listen) -> None:
    network = {"tickets": [make_ticket(await listen(), KEY.node_id)]}
    finding = get_one(await check_links(make_subject(tmp_path, network=network)), "meeting points")
    assert finding.level is Level.WARNING
    assert "a new ticket" in finding.fix


async def test_a_node_of_another_network(tmp_path: Path, listen: Listen) -> None:
    network = {"bootstrap": [await listen(network_id=b"\x07" * len(NETWORK))]}
    finding = get_one(await check_links(make_subject(tmp_path, network=network)), "meeting points")
    assert "network.name" in finding.fix


async def test_a_node_of_another_age(tmp_path: Path, listen: Listen) -> None:
    network = {"bootstrap": [await listen(versions=(90, 99))]}
    finding = get_one(await check_links(make_subject(tmp_path, network=network)), "meeting points")
    assert "the same version" in finding.fix
