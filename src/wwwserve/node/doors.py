"""Where a node listens: for users, for its operator and for other nodes; each place can be moved.

Moving comes in two steps, so that a whole new configuration can be taken or left: `prepare` listens
at the new place beside the old one, and `settle` gives the old one up. What came through a door
before it moved goes on.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from wwwserve.values.refusals import BadInput


@dataclass(slots=True)
class Door:
    """One place where a node listens."""

    key: str
    """The setting that says where, for messages."""
    listen: Callable[[str], Awaitable[str]]
    """Listens at `host:port` as well and names that place. Raises `OSError` or `BadInput`."""
    leave: Callable[[str], Awaitable[None]]
    """Ends listening at a place, by its name."""
    address: str = ""
    """`host:port` as configured, port 0 for any; empty: it is closed."""
    bound: str = ""
    """The name of the place where it listens."""
    _old: str = field(default="", repr=False)
    """The place to be given up by `settle`."""

    async def open(self, address: str) -> str:
        """Listen for the first time; empty: nowhere. Raises `OSError` or `BadInput`."""
        self.address, self.bound = address, await self.listen(address) if address else ""
        return self.bound

    async def prepare(self, address: str, undo: AsyncExitStack) -> None:
        """Listen at another address, beside the present one as far as that can be.

        `undo` brings back what was. Raises `BadInput` if the address cannot be had; then nothing
        has changed.
        """
        if address == self.address:
            return
        was_address, was_bound = self.address, self.bound
        old = self.bound
        if address:
            try:
                bound = await self.listen(address)
            except (OSError, BadInput) as error:
                if not _is_same_port(address, was_address):
                    raise self._refuse(address, error) from error
                # Two addresses of one port may exclude each other: then one has to go first.
                bound = await self._swap(address)
                old = ""
        else:
            bound = ""
        self.address, self.bound, self._old = address, bound, old
        undo.push_async_callback(self._return, was_address, was_bound)

    async def settle(self) -> None:
        """Give the old place up."""
        old, self._old = self._old, ""
        if old:
            await self.leave(old)

    async def _swap(self, address: str) -> str:
        await self.leave(self.bound)
        try:
            return await self.listen(address)
        except (OSError, BadInput) as error:
            self.bound = await self.listen(self.address)
            raise self._refuse(address, error) from error

    async def _return(self, address: str, bound: str) -> None:
        if self.bound:
            await self.leave(self.bound)
        is_gone = bool(bound) and not self._old
        self.address, self._old = address, ""
        self.bound = await self.listen(address) if is_gone else bound

    def _refuse(self, address: str, error: Exception) -> BadInput:
        return BadInput(
            field=self.key,
            found=address,
            expected="a free address of this machine",
            fix=f"name another one: {error}",
        )


@dataclass(frozen=True, slots=True)
class Doors:
    """All places where one node listens."""

    links: Door
    gateway: Door
    admin: Door

    async def settle(self) -> None:
        """Give all old places up, the operator's last: an answer may be on its way through it."""
        for door in (self.links, self.gateway, self.admin):
            await door.settle()


def join_address(host: str, port: int) -> str:
    """`host:port`, as doors want it."""
    return f"{host}:{port}"


def split_address(address: str) -> tuple[str, int]:
    """The host and the port of what `join_address` made."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def _is_same_port(one: str, other: str) -> bool:
    port = one.rpartition(":")[2]
    return port != "0" and port == other.rpartition(":")[2]
