"""A door moves in two steps and can go back; two addresses that exclude each other are swapped.

A pretend machine has addresses that can be listened at by one; some exclude each other.
"""

from collections.abc import Iterable
from contextlib import AsyncExitStack

import pytest

from wwwserve.node.doors import Door, join_address, split_address
from wwwserve.values.refusals import BadInput


class Machine:
    """Who listens where."""

    def __init__(self, *taken: str, exclusive: Iterable[set[str]] = ()) -> None:
        self.taken = set(taken)
        self.exclusive = list(exclusive)
        self.open: list[str] = []

    async def listen(self, address: str) -> str:
        others = {other for group in self.exclusive if address in group for other in group}
        if address in self.taken or others & set(self.open):
            raise OSError(98, "address already in use")
        self.open.append(address)
        return address

    async def leave(self, bound: str) -> None:
        self.open.remove(bound)

    async def make_door(self, address: str) -> Door:
        door = Door("links.listen", self.listen, self.leave)
        await door.open(address)
        return door


async def test_both_places_are_open_until_the_old_one_is_given_up() -> None:
    machine = Machine()
    door = await machine.make_door("a:1")
    async with AsyncExitStack() as undo:
        await door.prepare("a:2", undo)
        assert machine.open == ["a:1", "a:2"]
        undo.pop_all()
    await door.settle()
    assert (machine.open, door.bound, door.address) == (["a:2"], "a:2", "a:2")


async def test_what_was_prepared_is_taken_back() -> None:
    machine = Machine()
    door = await machine.make_door("a:1")
    async with AsyncExitStack() as undo:
        await door.prepare("a:2", undo)
    await door.settle()
    assert (machine.open, door.bound, door.address) == (["a:1"], "a:1", "a:1")


async def test_a_taken_address_is_refused_by_the_setting_that_names_it() -> None:
    machine = Machine("a:2")
    door = await machine.make_door("a:1")
    async with AsyncExitStack() as undo:
        with pytest.raises(BadInput) as caught:
            await door.prepare("a:2", undo)
    assert (caught.value.field, caught.value.found) == ("links.listen", "a:2")
    assert "already in use" in caught.value.fix
    assert machine.open == ["a:1"]


async def test_one_port_under_another_host_takes_turns() -> None:
    machine = Machine(exclusive=[{"a:1", "any:1"}])
    door = await machine.make_door("a:1")
    async with AsyncExitStack() as undo:
        await door.prepare("any:1", undo)
        assert machine.open == ["any:1"]
    assert (machine.open, door.bound) == (["a:1"], "a:1"), "taken back, the other way round"
    async with AsyncExitStack() as undo:
        await door.prepare("any:1", undo)
        undo.pop_all()
    await door.settle()
    assert (machine.open, door.bound) == (["any:1"], "any:1")


async def test_a_turn_that_fails_leaves_the_old_place_open() -> None:
    machine = Machine("any:1")
    door = await machine.make_door("a:1")
    async with AsyncExitStack() as undo:
        with pytest.raises(BadInput):
            await door.prepare("any:1", undo)
    assert (machine.open, door.bound) == (["a:1"], "a:1")


async def test_a_door_can_be_closed_and_opened() -> None:
    machine = Machine()
    door = await machine.make_door("a:1")
    for address in ("", "a:1"):
        async with AsyncExitStack() as undo:
            await door.prepare(address, undo)
        assert machine.open == (["a:1"] if door.bound else [])
        async with AsyncExitStack() as undo:
            await door.prepare(address, undo)
            undo.pop_all()
        await door.settle()
        assert door.bound == address
    assert machine.open == ["a:1"]


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 0), ("::1", 8777), ("localhost", 1)])
def test_addresses_are_taken_apart_as_they_were_joined(host: str, port: int) -> None:
    assert split_address(join_address(host, port)) == (host, port)
