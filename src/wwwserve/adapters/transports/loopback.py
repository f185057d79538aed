"""Links inside one process: the same frames, credits and heartbeats, with no socket beneath.

For tests and demonstrations that need many peers and no ports. Bytes arrive in a later turn of the
loop, in order; identities are believed, since there is nobody to deceive.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wwwserve.adapters.transports.frames import Hello
from wwwserve.adapters.transports.link import Ends, MuxLink
from wwwserve.ports.transport import AT_ODDS, CloseReason, Link, LinkEnded, LinkOwner
from wwwserve.values.ids import NodeId, node_prefix
from wwwserve.values.limits import KIB
from wwwserve.values.parameters import PROTOCOL_VERSION, PROTOCOL_VERSION_MIN
from wwwserve.values.refusals import BadInput

CARRIED_BYTES_MAX: Final = 64 * KIB
"""Bytes under way in one direction above which the sender is asked to wait, like a socket's."""

OnLink = Callable[[Link], LinkOwner]
OnRefused = Callable[[LinkEnded], None]


@dataclass(frozen=True, slots=True)
class _Listener:
    """Who listens at an address, and what is to be told of those who come."""

    transport: "LoopbackTransport"
    on_link: OnLink
    on_refused: OnRefused | None


class LoopbackNetwork:
    """The addresses of one process: who listens where."""

    def __init__(self) -> None:
        self._listeners: dict[str, _Listener] = {}
        self._port = 0

    def add(self, address: str, listener: "_Listener") -> str:
        """Listen at an address; port 0 means any free one. Raises `BadInput` when it is taken."""
        host, _, port = address.rpartition(":")
        if port == "0":
            self._port += 1
            address = f"{host}:{self._port}"
        if address in self._listeners:
            raise BadInput("listen", address, "a free address", "another port, or 0 for any")
        self._listeners[address] = listener
        return address

    def find(self, address: str) -> "_Listener | None":
        """Who listens at an address."""
        return self._listeners.get(address)

    def remove(self, transport: "LoopbackTransport", address: str = "") -> None:
        """Stop listening at an address, or everywhere."""
        self._listeners = {
            key: held
            for key, held in self._listeners.items()
            if held.transport is not transport or key != (address or key)
        }


class LoopbackTransport:
    """The port's `Transport` between the nodes of one `LoopbackNetwork`."""

    def __init__(
        self,
        network: LoopbackNetwork,
        node_id: NodeId,
        network_id: bytes,
        *,
        versions: tuple[int, int] = (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION),
    ) -> None:
        self.node_id = node_id
        self.hello = Hello(versions[0], versions[1], network_id)
        self._network = network
        self._carriers: dict[_Carrier, None] = {}
        self._address = f"loopback:{node_prefix(node_id)}"
        self._is_closed = False

    async def listen(
        self, address: str, on_link: OnLink, on_refused: OnRefused | None = None
    ) -> str:
        """Accept links at an address of the network."""
        self._check_open()
        bound = self._network.add(address, _Listener(self, on_link, on_refused))
        self._address = bound
        return bound

    def stop_listening(self, bound: str) -> None:
        """Accept no more links at an address that `listen` gave; links made there stay."""
        self._network.remove(self, bound)

    async def dial(self, address: str, expected: NodeId | None, on_link: OnLink) -> Link:
        """Make a link to whoever listens there. Raises `LinkEnded`."""
        self._check_open()
        found = self._network.find(address)
        if found is None:
            raise LinkEnded(CloseReason.LOST, f"nobody listens at {address}")
        other = found.transport
        if expected is not None and other.node_id != expected:
            prefixes = node_prefix(other.node_id), node_prefix(expected)
            detail = "node {} answers where {} was expected".format(*prefixes)
            raise LinkEnded(CloseReason.UNWANTED, detail)
        if other.node_id == self.node_id:
            raise LinkEnded(CloseReason.UNWANTED, "this is our own address")
        here, there = _Carrier(self, on_link), _Carrier(other, found.on_link, found.on_refused)
        here.start(there, Ends(other.node_id, is_dialled=True, remote_address=address))
        there.start(here, Ends(self.node_id, is_dialled=False, remote_address=self._address))
        try:
            return await here.opened
        except asyncio.CancelledError:
            here.link.close(CloseReason.LEAVING)
            raise

    async def close(self) -> None:
        """End everything as LEAVING and wait for it."""
        self._is_closed = True
        self._network.remove(self)
        carriers = list(self._carriers)
        for carrier in carriers:
            carrier.link.close(CloseReason.LEAVING)
        for carrier in carriers:
            await carrier.link.wait_closed()

    def keep(self, carrier: "_Carrier") -> None:
        """One more connection."""
        self._carriers[carrier] = None

    def forget(self, carrier: "_Carrier") -> None:
        """The connection is gone."""
        self._carriers.pop(carrier, None)

    def _check_open(self) -> None:
        if self._is_closed:
            raise LinkEnded(CloseReason.LEAVING, "this node is shutting down")


class _Carrier:
    """One end of a connection in memory."""

    link: MuxLink
    _other: "_Carrier"

    def __init__(
        self, home: LoopbackTransport, on_link: OnLink, on_refused: OnRefused | None = None
    ) -> None:
        self._home = home
        self._on_link = on_link
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[MuxLink] = self._loop.create_future()
        self.arriving: deque[bytes] = deque()
        self.arriving_bytes = 0
        self.is_finished = False
        self._is_gone = False

    def start(self, other: "_Carrier", ends: Ends) -> None:
        """Join the two ends."""
        self._other = other
        self._home.keep(self)
        self.link = MuxLink(self, ends, self._home.hello, self)

    def write(self, data: bytes) -> None:
        """Send to the other end."""
        other = self._other
        other.arriving.append(data)
        other.arriving_bytes += len(data)
        if other.arriving_bytes > CARRIED_BYTES_MAX:
            self.link.on_writable(is_writable=False)
        self._loop.call_soon(other.deliver)

    def finish(self) -> None:
        """End both directions once what was written has arrived."""
        self.is_finished = True
        self._loop.call_soon(self._other.lose)
        self._loop.call_soon(self.lose)

    def deliver(self) -> None:
        """Hand over the next piece that was sent to this end."""
        data = self.arriving.popleft()
        self.arriving_bytes -= len(data)
        if not self.is_finished:
            self.link.on_bytes(data)
        if not self.arriving and not self._other.is_finished:
            self._other.link.on_writable(is_writable=True)

    def lose(self) -> None:
        """The connection is gone."""
        if not self._is_gone:
            self._is_gone = True
            self.link.lose("the other end hung up")
            self.link.on_closed()
            self._home.forget(self)

    def on_ready(self, link: MuxLink) -> LinkOwner:
        """Both hellos were good."""
        owner = self._on_link(link)
        if not self.opened.done():
            self.opened.set_result(link)
        return owner

    def on_ended(self, reason: CloseReason, detail: str) -> None:
        """The link is over, perhaps before it was ready."""
        if not self.opened.done():
            ended = LinkEnded(reason, detail, self.link.peer)
            if reason in AT_ODDS and self._on_refused is not None:
                self._on_refused(ended)
            self.opened.set_exception(ended)
            self.opened.exception()
