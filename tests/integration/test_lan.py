"""Real nodes of one local network find each other without a ticket or an address in a file.

Processes of `wwwserve up` on machines of their own (network namespaces on one bridge,
`tests.integration.machines`), as `wwwserve init --lan` makes them: the network is all they share.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.integration.machines import WATCH, Lan, Machine, open_lan
from wwwserve.values.parameters import MAIN, compute_network_id
from wwwserve.wire import parse_ticket

FOUND = "node found on the local network"
IGNORED = "notice on the local network ignored"
ALONE = "this machine is on no network"
MEET_S = 5
"""Nobody should have to wait longer; it takes half a second on two busy cores."""

pytestmark = pytest.mark.slow


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[Lan]:
    async with open_lan(tmp_path) as lan:
        yield lan


async def examine(machine: Machine) -> tuple[str, str]:
    """What `wwwserve doctor` says there of the local network: level and finding."""
    findings = (await machine.run("doctor", "--json"))["findings"]
    (finding,) = (one for one in findings if one["check"] == "local network")
    return finding["level"], finding["found"]


async def wait_met(one: Machine, other: Machine) -> None:
    """Until both hold each other alive."""
    await one.wait_line("member changed", peer=other.node, status="alive")
    await other.wait_line("member changed", peer=one.node, status="alive")


def is_alive(one: Machine, other: Machine) -> bool:
    """Whether the newest that `one` holds of `other` is a record after its first, and alive."""
    last = one.read("member changed", peer=other.node)[-1]
    return (last["status"], last["version"] > 1) == ("alive", True)


def tell_meeting_s(one: Machine, other: Machine) -> float:
    """Seconds from the moment `one` was ready until it held `other` alive."""
    ready, met = one.read("node ready")[0], one.read("member changed", peer=other.node)[0]
    span = datetime.fromisoformat(met["time"]) - datetime.fromisoformat(ready["time"])
    return span.total_seconds()


async def start_watch(lan: Lan) -> Machine:
    """Somebody who only listens."""
    watch = lan.make_machine("10.78.0.250/24")
    await watch.start(*WATCH, compute_network_id(MAIN).hex())
    await watch.wait_line("ready")
    return watch


async def test_nodes_find_each_other_and_strangers_are_left_alone(lan: Lan) -> None:
    one, other = lan.make_machine("10.78.0.1/24"), lan.make_machine("10.78.0.2/24")
    await one.start_node()
    await other.start_node()
    await wait_met(one, other)
    assert tell_meeting_s(other, one) < MEET_S
    # Without a place where others could dial it, a node is not announced, but finds them.
    hidden, stranger = lan.make_machine("10.78.0.3/24"), lan.make_machine("10.78.0.4/24")
    await hidden.start_node("network.lan_discovery=true", on_lan=False)
    await wait_met(hidden, one)
    (told,) = hidden.read("lan discovery on, and nobody can find this node")
    assert "links.listen" in told["fix"]
    await stranger.start_node("network.name=other")
    await stranger.wait_line(IGNORED, reason="of another network")
    await one.wait_line(IGNORED, reason="of another network")
    for machine in (one, other, hidden):
        assert not machine.read(FOUND, peer=stranger.node)
        assert not machine.read(FOUND, peer=hidden.node)
    assert not stranger.read("link opened")
    assert not stranger.read(FOUND)
    level, found = await examine(one)
    assert (level, found.partition(",")[0]) == ("ok", "discovery is on: 1 other node found")


async def test_goodbyes_and_settings_are_noticed_at_once_and_deaths_disturb_nobody(
    lan: Lan,
) -> None:
    watch = await start_watch(lan)
    one, other = lan.make_machine("10.78.0.1/24"), lan.make_machine("10.78.0.2/24")
    await one.start_node()
    await other.start_node()
    await wait_met(one, other)
    name = (await watch.wait_line("found", peer=other.node, addresses=["10.78.0.2"]))["name"]
    # Off and on again by a reload, and the link between the two does not mind.
    text = other.home.config_file.read_text(encoding="utf-8")
    turned_off = text.replace("lan_discovery = true", "lan_discovery = false")
    other.home.config_file.write_text(turned_off, encoding="utf-8")
    other.reload()
    await other.wait_line("lan discovery off")
    await watch.wait_line("gone", name=name)
    other.home.config_file.write_text(text, encoding="utf-8")
    other.reload()
    await watch.wait_line("found", count=2, name=name)
    assert not one.read("link closed")
    await other.stop()
    await watch.wait_line("gone", count=2, name=name)
    assert [line["status"] for line in one.read("member changed", peer=other.node)][-1] == "left"
    # Whoever is killed says nothing, and is met again when it is back.
    one.kill()
    third = lan.make_machine("10.78.0.3/24")
    await third.start_node()
    assert not third.read(FOUND, peer=one.node)
    await one.start_node()
    await third.wait_line("member changed", peer=one.node, status="alive")


async def test_a_machine_without_a_network_waits_for_one(lan: Lan) -> None:
    alone, other = lan.make_machine(is_plugged=False), lan.make_machine("10.78.0.2/24")
    await alone.start_node()
    assert alone.read("node ready")[0]["links"] == []
    await other.start_node()
    warnings = [line for line in alone.read_all() if line.get("level") in ("warning", "error")]
    assert [line["event"] for line in warnings if "engine" not in line] == [ALONE]
    assert (await examine(alone))[0] == "warning"
    alone.plug("10.78.0.1/24")
    await alone.wait_line("own addresses changed", addresses=["10.78.0.1:8778"])
    await wait_met(alone, other)
    assert len(alone.read(ALONE)) == 1
    alone.unplug()
    await alone.wait_line(ALONE, count=2)
    await alone.wait_line("own addresses changed", addresses=[])
    assert (await examine(alone))[0] == "warning"


async def test_a_laptop_that_moves_is_found_in_its_new_place(lan: Lan) -> None:
    watch = await start_watch(lan)
    laptop, other = lan.make_machine("10.78.0.1/24"), lan.make_machine("10.78.0.2/24")
    await laptop.start_node()
    await other.start_node()
    await wait_met(laptop, other)
    await watch.wait_line("found", peer=laptop.node, addresses=["10.78.0.1"])
    laptop.remove("10.78.0.1/24")
    laptop.add("10.78.0.77/24")
    await laptop.wait_line("own addresses changed", addresses=["10.78.0.77:8778"])
    # From its old address it could not say goodbye: what is newest comes first.
    await watch.wait_line("found", peer=laptop.node, addresses=["10.78.0.77", "10.78.0.1"])
    invited = await laptop.run("invite", "--json")
    assert parse_ticket(invited["ticket"]).addresses == ("10.78.0.77:8778",)
    # The old link hears nothing any more: a new one takes its place, or comes after it.
    await other.wait(lambda: is_alive(other, laptop), "a new record of the laptop")


async def test_a_network_of_links_only_is_one(lan: Lan) -> None:
    # No router, no server that gives addresses: only those IPv6 makes itself, each with its zone.
    one, other = lan.make_machine(), lan.make_machine()
    await one.start_node("links.listen=[::]:8778")
    await other.start_node("links.listen=[::]:8778")
    await wait_met(one, other)
    assert one.read("node ready")[0]["links"] == []
