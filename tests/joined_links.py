"""Two nodes joined by a link of either transport, for suites that run on both."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.link_owners import Recorder
from wwwserve.adapters.host import NodeKey
from wwwserve.adapters.transports import LoopbackNetwork, LoopbackTransport, TcpTransport
from wwwserve.ports.transport import (
    Link,
    Stream,
    Transport,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import (
    FRAME_BYTES_MAX,
)

NETWORK = b"n" * 32
OTHER_NETWORK = b"m" * 32
FULL = bytes(FRAME_BYTES_MAX)

MakeTransport = Callable[..., Transport]


@dataclass(slots=True)
class World:
    """Makes transports of one kind and closes them all."""

    make_one: MakeTransport
    made: list[Transport] = field(default_factory=list)

    def make(self, number: int, **options: object) -> Transport:
        transport = self.make_one(number, **options)
        self.made.append(transport)
        return transport


def get_key(number: int) -> NodeKey:
    return NodeKey(number.to_bytes(32, "big"))


def get_id(number: int) -> NodeId:
    return get_key(number).node_id


def make_tcp(number: int, network_id: bytes = NETWORK, **options: tuple[int, int]) -> Transport:
    return TcpTransport(get_key(number), network_id, **options)


def make_loopback() -> MakeTransport:
    network = LoopbackNetwork()

    def make(number: int, network_id: bytes = NETWORK, **options: tuple[int, int]) -> Transport:
        return LoopbackTransport(network, get_id(number), network_id, **options)

    return make


@dataclass(slots=True)
class Joined:
    """Two nodes with a link between them."""

    here: Link
    there: Link
    here_owner: Recorder
    there_owner: Recorder
    transports: tuple[Transport, Transport]

    async def open_pair(self) -> tuple[Stream, Stream]:
        """A stream opened here, as both ends see it."""
        ours = self.here.open_stream()
        await ours.send(b"first")
        theirs = await self.there_owner.streams.get()
        assert await theirs.receive() == b"first"
        return ours, theirs

    async def exchange(self) -> None:
        """Let everything sent so far arrive, both ways."""
        assert self.here.send_message(b"so far?")
        assert await self.there_owner.messages.get() == b"so far?"
        assert self.there.send_message(b"so far.")
        assert await self.here_owner.messages.get() == b"so far."

    async def fill(self, stream: Stream) -> int:
        """Send full frames until the stream takes no more; says how many it took."""
        sent = 0
        while stream.try_send(FULL):
            sent += 1
            await self.exchange()
        return sent
